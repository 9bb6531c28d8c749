// Semaphore, BoundedSemaphore: so many tasks at a time.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>

#include "../core/wait_list.hpp"
#include "guard.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {
class SemaphoreOperation;
}  // namespace heddle::detail

namespace heddle {

class Semaphore;

namespace detail {

class [[nodiscard]] SemaphoreOperation : public WaitOperation {
 public:
  explicit SemaphoreOperation(Semaphore& semaphore) noexcept : semaphore_(semaphore) {}

  inline bool await_ready();
  template <class Promise>
  inline void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept;
  void await_resume() { take("Semaphore.acquire()"); }

 protected:
  Semaphore& semaphore_;
};

class [[nodiscard]] SemaphoreScopedOperation final : public SemaphoreOperation {
 public:
  using SemaphoreOperation::SemaphoreOperation;

  inline Guard<Semaphore> await_resume();
};

}  // namespace detail

/// A number of permits, as asyncio.Semaphore. Who waits gets one in the order in which it asked. On the
/// loop's thread only. When it is destroyed who waits gets std::logic_error, and a Guard of it is empty.
class Semaphore {
 public:
  explicit Semaphore(std::size_t permits = 1) noexcept : permits_(permits) {}

  /// No permit is left: acquire() would wait.
  bool locked() const noexcept { return permits_ == 0; }
  /// How many permits are left.
  std::size_t value() const noexcept { return permits_; }

  /// `auto guard = co_await semaphore.scoped();` holds a permit until the Guard goes. Cancel-safe: a request
  /// to stop that comes when the permit was handed over already is thrown by the next co_await.
  detail::SemaphoreScopedOperation scoped() noexcept { return detail::SemaphoreScopedOperation(*this); }
  /// The same without a guard.
  detail::SemaphoreOperation acquire() noexcept { return detail::SemaphoreOperation(*this); }
  /// Takes a permit if one is left.
  [[nodiscard]] bool try_acquire() noexcept {
    waiters_.use("Semaphore.acquire()");
    if (permits_ == 0) return false;
    --permits_;
    return true;
  }
  /// Gives a permit to who has waited longest, or back. It need not be one that was acquired, unless the
  /// semaphore is bounded: then ValueError is thrown when there would be more than at first.
  void release() {
    waiters_.use("Semaphore.release()");
    if (permits_ == bound_) [[unlikely]]
      throw_too_many();
    if (!waiters_.empty())
      waiters_.grant_first(granted_);
    else
      ++permits_;
  }

  /// For those who are to know when it is destroyed.
  detail::WeakLinks& weak_links() noexcept { return links_; }

 protected:
  Semaphore(std::size_t permits, std::size_t bound) noexcept : permits_(permits), bound_(bound) {}

 private:
  friend class detail::SemaphoreOperation;

  [[noreturn]] HEDDLE_EXPORT static void throw_too_many();

  detail::WeakLinks links_;
  detail::WaitList waiters_;  // nobody waits while a permit is left
  detail::WaitList granted_;  // who was given one, until its turn
  std::size_t permits_;
  std::size_t bound_ = static_cast<std::size_t>(-1);
};

/// A Semaphore that never has more permits than at first: a release() too many throws ValueError.
class BoundedSemaphore : public Semaphore {
 public:
  explicit BoundedSemaphore(std::size_t permits = 1) noexcept : Semaphore(permits, permits) {}
};

namespace detail {

inline bool SemaphoreOperation::await_ready() {
  check_can_begin();
  return attempt(semaphore_.try_acquire());
}

inline Guard<Semaphore> SemaphoreScopedOperation::await_resume() {
  take("Semaphore.scoped()");
  return Guard<Semaphore>(semaphore_);
}

template <class Promise>
void SemaphoreOperation::await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
  wait(semaphore_.waiters_, semaphore_.granted_, coroutine);
}

}  // namespace detail

}  // namespace heddle

HEDDLE_HEADER_END
