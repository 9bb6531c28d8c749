// timeout, timeout_at, wait_for, shield: limits to how long something may take, and to who may stop it.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <source_location>
#include <type_traits>
#include <utility>

#include "../../selector/timeout.hpp"
#include "../core/awaitable.hpp"
#include "../core/cancelled.hpp"
#include "../core/deadline.hpp"
#include "../core/task.hpp"
#include "../core/task_state.hpp"
#include "../core/timer_heap.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

/// While it lives, the current task is asked to stop at a deadline. To live in a coroutine of that task.
class HEDDLE_EXPORT DeadlineScope : private Timer {
 public:
  /// nullopt: never. Throws std::bad_alloc.
  explicit DeadlineScope(Timeout after);
  explicit DeadlineScope(TimePoint deadline);
  ~DeadlineScope();

  /// To be asked when a Cancelled came out: true if it was this deadline's doing and nobody else's.
  bool is_cause() noexcept;

 private:
  static void expire(Timer& timer) noexcept;
  void take_back() noexcept;

  TaskState& task_;
  unsigned requests_before_;
  unsigned shields_ = task_.shields();
  StopRequests::Count own_request_ = 0;  // the mark of ours, once expired_
  bool expired_ = false;
};

template <class A, class Limit>
Task<std::remove_cvref_t<AwaitResult<A>>> run_with_deadline(Limit limit, A awaitable) {
  DeadlineScope scope(limit);
  try {
    co_return co_await std::forward<A>(awaitable);
  } catch (const Cancelled&) {
    if (!scope.is_cause()) throw;
  }
  throw TimeoutError();
}

}  // namespace detail

/// Awaits `awaitable`; if `duration` passes first, cancels what it is suspended at and throws TimeoutError
/// when that has stopped. Nests: only the scope whose own deadline passed throws. A result that arrived in
/// time, or while it was being stopped, is returned. An lvalue must outlive the call; what is passed as
/// rvalue is owned.
template <Awaitable A>
HEDDLE_CORO_OWNER auto timeout(Timeout duration, A&& awaitable) {
  return detail::run_with_deadline<A, Timeout>(duration, std::forward<A>(awaitable));
}
/// timeout() by asyncio's name, with asyncio's order of arguments.
template <Awaitable A>
HEDDLE_CORO_OWNER auto wait_for(A&& awaitable, Timeout duration) {
  return detail::run_with_deadline<A, Timeout>(duration, std::forward<A>(awaitable));
}
/// timeout() until a point of the loop's time().
template <Awaitable A>
HEDDLE_CORO_OWNER auto timeout_at(Deadline deadline, A&& awaitable) {
  return detail::run_with_deadline<A, TimePoint>(deadline.time(), std::forward<A>(awaitable));
}

namespace detail {

/// While it lives, requests to stop the current task wait.
class HEDDLE_EXPORT ShieldScope : private Shield {
 public:
  /// Throws std::bad_alloc, and then there is no shield.
  ShieldScope() : ShieldScope(NOT_YET) { raise(); }
  /// Of a shield that raise() will raise, where that must not fail. Throws std::bad_alloc.
  enum Later : bool { NOT_YET };
  explicit ShieldScope(Later);
  ~ShieldScope() { lower(); }

  /// Once.
  void raise() noexcept {
    task_.raise_shield(*this);
    raised_ = true;
  }
  /// Nothing if it isn't raised.
  void lower() noexcept {
    if (std::exchange(raised_, false)) task_.lower_shield();
  }

 private:
  TaskState& task_;
  bool raised_ = false;
};

template <class A>
Task<std::remove_cvref_t<AwaitResult<A>>> run_shielded(A awaitable) {
  const ShieldScope scope;
  co_return co_await std::forward<A>(awaitable);
}

}  // namespace detail

/// Keeps a request to stop the caller away from what is awaited.
///
/// shield(handle), of a JoinHandle or a Future, also of a temporary, as in `shield(spawn(f()))`: what the
/// handle refers to is not stopped, but the wait is, at once, as asyncio's shield() does. So
/// `timeout(d, shield(handle))` throws TimeoutError at its deadline, and the task goes on.
///
/// shield(awaitable), of anything else: is awaited to its end whatever happens, within this task; a request
/// to stop that comes meanwhile is thrown by the next co_await.
template <Awaitable A>
HEDDLE_CORO_OWNER auto shield(A&& awaitable) {
  if constexpr (requires { std::forward<A>(awaitable).shielded(); })
    return std::forward<A>(awaitable).shielded();
  else
    return detail::run_shielded<A>(std::forward<A>(awaitable));
}

}  // namespace heddle

HEDDLE_HEADER_END
