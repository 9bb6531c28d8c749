// Lock: one task at a time.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include "../core/wait_list.hpp"
#include "guard.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {
class ConditionOperation;
class LockOperation;
}  // namespace heddle::detail

namespace heddle {

class Lock;

namespace detail {

class [[nodiscard]] LockOperation : public WaitOperation {
 public:
  explicit LockOperation(Lock& lock) noexcept : lock_(lock) {}

  inline bool await_ready();
  template <class Promise>
  inline void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept;
  void await_resume() { take("Lock.acquire()"); }

 protected:
  Lock& lock_;
};

class [[nodiscard]] LockScopedOperation final : public LockOperation {
 public:
  using LockOperation::LockOperation;

  inline Guard<Lock> await_resume();
};

}  // namespace detail

/// Mutual exclusion of tasks across their co_awaits, as asyncio.Lock. It is handed from one to the next in
/// the order in which they asked; not recursive; it doesn't know who holds it. On the loop's thread only: it
/// is no std::mutex. When it is destroyed who waits gets std::logic_error, and a Guard of it is empty.
class Lock {
 public:
  bool locked() const noexcept { return locked_; }

  /// `auto guard = co_await lock.scoped();` holds the lock until the Guard goes. Cancel-safe: a request to
  /// stop that comes when the lock was handed over already is thrown by the next co_await.
  detail::LockScopedOperation scoped() noexcept { return detail::LockScopedOperation(*this); }
  /// The same without a guard: somebody has to release() it.
  detail::LockOperation acquire() noexcept { return detail::LockOperation(*this); }
  /// Takes the lock if nobody holds it.
  [[nodiscard]] bool try_acquire() noexcept {
    waiters_.use("Lock.acquire()");
    if (locked_) return false;
    locked_ = true;
    return true;
  }
  /// Hands the lock to who has waited longest. Throws std::logic_error if it isn't held.
  void release() {
    waiters_.use("Lock.release()");
    if (!waiters_.empty())
      waiters_.grant_first(granted_);
    else if (locked_) [[likely]]
      locked_ = false;
    else
      throw_not_held();
  }

  // What <mutex> calls these, for std::unique_lock(lock, std::try_to_lock) and std::adopt_lock.
  [[nodiscard]] bool try_lock() noexcept { return try_acquire(); }
  void unlock() { release(); }

  /// For those who are to know when it is destroyed.
  detail::WeakLinks& weak_links() noexcept { return links_; }

 private:
  friend class Condition;
  friend class detail::ConditionOperation;
  friend class detail::LockOperation;

  [[noreturn]] HEDDLE_EXPORT static void throw_not_held();

  detail::WeakLinks links_;
  detail::WaitList waiters_;  // nobody waits for a lock that is free
  detail::WaitList granted_;  // who was handed it, until its turn
  bool locked_ = false;
};

namespace detail {

inline bool LockOperation::await_ready() {
  check_can_begin();
  return attempt(lock_.try_acquire());
}

inline Guard<Lock> LockScopedOperation::await_resume() {
  take("Lock.scoped()");
  return Guard<Lock>(lock_);
}

template <class Promise>
void LockOperation::await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
  wait(lock_.waiters_, lock_.granted_, coroutine);
}

}  // namespace detail

}  // namespace heddle

HEDDLE_HEADER_END
