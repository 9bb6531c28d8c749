// Latch: waiting until something has happened so many times.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <coroutine>
#include <cstddef>

#include "../core/wait_list.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {
class LatchOperation;
}  // namespace heddle::detail

namespace heddle {

class Latch;

namespace detail {

class [[nodiscard]] LatchOperation final : public WaitOperation {
 public:
  /// Counts down by `arrivals` before it waits.
  LatchOperation(Latch& latch, std::size_t arrivals) noexcept : latch_(latch), arrivals_(arrivals) {}

  inline bool await_ready();
  template <class Promise>
  inline void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept;
  void await_resume() const { check("Latch.wait()"); }

 private:
  Latch& latch_;
  std::size_t arrivals_;
};

}  // namespace detail

/// A counter that goes down to zero once, as std::latch, for tasks. On the loop's thread only. Who waits
/// when it is destroyed gets std::logic_error.
class Latch {
 public:
  explicit Latch(std::size_t count) noexcept : count_(count) {}

  /// How much is left.
  std::size_t count() const noexcept { return count_; }
  /// At zero: wait() returns at once.
  bool try_wait() const noexcept { return count_ == 0; }
  /// Throws ValueError if there is less left than `by`; then nothing has changed.
  void count_down(std::size_t by = 1) {
    waiters_.use("Latch.count_down()");
    if (by > count_) throw_too_many();
    count_ -= by;
    if (count_ == 0) waiters_.grant_all();
  }

  /// `co_await latch.wait()` returns when the count is zero, at once if it is. Cancel-safe.
  detail::LatchOperation wait() noexcept { return detail::LatchOperation(*this, 0); }
  /// The same after a count_down(). When it is cancelled while it waits, it has counted down nevertheless.
  detail::LatchOperation arrive_and_wait(std::size_t by = 1) noexcept {
    return detail::LatchOperation(*this, by);
  }

 private:
  friend class detail::LatchOperation;

  [[noreturn]] HEDDLE_EXPORT static void throw_too_many();

  detail::WaitList waiters_;
  std::size_t count_;
};

namespace detail {

inline bool LatchOperation::await_ready() {
  check_can_begin();
  latch_.waiters_.use("Latch.wait()");
  if (arrivals_ != 0) latch_.count_down(arrivals_);
  return attempt(latch_.try_wait());
}

template <class Promise>
void LatchOperation::await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
  wait(latch_.waiters_, coroutine);
}

}  // namespace detail

}  // namespace heddle

HEDDLE_HEADER_END
