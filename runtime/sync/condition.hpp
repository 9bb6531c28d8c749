// Condition: releasing a lock until another task has changed what it protects.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <coroutine>
#include <cstddef>
#include <type_traits>

#include "../core/task.hpp"
#include "../core/wait_list.hpp"
#include "lock.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

class Condition;

namespace detail {

/// Waits first for a notification, in the condition's list, and then for the lock, in that one's. Either may
/// be destroyed before: who counts on the lock waits for it all the same, as long as there is one.
class HEDDLE_EXPORT ConditionOperation final : public WaitOperation {
 public:
  explicit ConditionOperation(Condition& condition) noexcept : condition_(condition) {}
  ConditionOperation(const ConditionOperation& other) noexcept
      : WaitOperation(other), condition_(other.condition_) {}

  bool await_ready();
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept;
  void await_resume();

  Stop cancel() noexcept override;

 private:
  friend class heddle::Condition;

  void begin_wait() noexcept;
  bool acquire() noexcept;
  void lose_condition() noexcept;

  Condition& condition_;
  WeakLink<Condition> alive_;  // while it waits, and until its turn
  WeakLink<Lock> lock_;        // the same
  bool notified_ = false;
  bool stopped_ = false;
};

}  // namespace detail

/// As asyncio.Condition. On the loop's thread only. When it is destroyed who waits gets std::logic_error,
/// with the lock held again, if that is still there.
class HEDDLE_EXPORT Condition {
 public:
  /// With a lock of its own.
  Condition() noexcept : lock_(own_) {}
  /// With one that is shared, and that must outlive its use.
  explicit Condition(Lock& lock) noexcept : lock_(lock) {}
  ~Condition();

  Lock& lock() const noexcept { return lock_; }
  detail::LockScopedOperation scoped() const noexcept { return lock_.scoped(); }
  detail::LockOperation acquire() const noexcept { return lock_.acquire(); }
  void release() const { lock_.release(); }
  bool locked() const noexcept { return lock_.locked(); }

  /// `co_await condition.wait()` releases the lock, waits for a notification, and returns when it has the
  /// lock again. Throws std::logic_error if the lock isn't held. When it is cancelled it throws Cancelled,
  /// with the lock held again; if it was notified before, the notification is delivered, and the request to
  /// stop is thrown by the next co_await.
  [[nodiscard]] detail::ConditionOperation wait() noexcept { return detail::ConditionOperation(*this); }

  /// Waits until `predicate()` is true, and yields what it returned. It is called with the lock held, at once
  /// and after each notification.
  template <class Predicate>
  auto wait_for(Predicate predicate) -> Task<std::decay_t<std::invoke_result_t<Predicate&>>> {
    for (;;) {
      auto result = predicate();
      if (result) co_return result;
      co_await wait();
    }
  }

  /// Wakes the `count` tasks that have waited longest. They get the lock one by one, in their order, after
  /// the caller has released it. Throws std::logic_error if the lock isn't held.
  void notify(std::size_t count = 1);
  void notify_all() { notify(static_cast<std::size_t>(-1)); }

  /// For those who are to know when it is destroyed.
  detail::WeakLinks& weak_links() noexcept { return links_; }

 private:
  friend class detail::ConditionOperation;

  Lock own_;
  Lock& lock_;
  detail::WaitList waiters_;
  detail::WeakLinks links_;
};

namespace detail {

template <class Promise>
void ConditionOperation::await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
  wait(condition_.waiters_, coroutine);
  begin_wait();
}

}  // namespace detail

}  // namespace heddle

HEDDLE_HEADER_END
