// finally: cleanup that may await, and that is done whatever happened before it.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "../../selector/timeout.hpp"
#include "../core/awaitable.hpp"
#include "../core/report.hpp"
#include "../core/task.hpp"
#include "nothing.hpp"
#include "timeout.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

/// Throws what finally() has to throw after `body` and `cleanup` have thrown that, null for nothing.
HEDDLE_EXPORT void throw_after_cleanup(std::exception_ptr body, const AsyncTrace& body_trace,
                                       std::exception_ptr cleanup);

}  // namespace detail

/// An awaitable, or a function without arguments that may return one.
template <class C>
concept Cleanup = Awaitable<C> || std::is_invocable_v<C&>;

namespace detail {

template <class C>
Task<void> run_cleanup(C cleanup) {
  if constexpr (Awaitable<C>)
    static_cast<void>(co_await std::forward<C>(cleanup));
  else if constexpr (Awaitable<std::invoke_result_t<C&>>)
    static_cast<void>(co_await cleanup());
  else
    static_cast<void>(cleanup());
  co_return;
}

template <class A, class R = std::remove_cvref_t<AwaitResult<A>>>
Task<R> run_finally(A body, Task<void> cleanup) {
  std::exception_ptr failure;
  AsyncTrace trace;
  std::exception_ptr cleanup_failure;
  std::optional<ValueOrNothing<R>> result;
  ShieldScope shield(ShieldScope::NOT_YET);
  try {
    if constexpr (std::is_void_v<R>)
      co_await std::forward<A>(body);
    else
      result.emplace(co_await std::forward<A>(body));
  } catch (...) {
    failure = std::current_exception();
    trace = async_trace();
  }
  shield.raise();
  try {
    co_await cleanup;
  } catch (...) {
    cleanup_failure = std::current_exception();
  }
  shield.lower();
  throw_after_cleanup(std::move(failure), trace, std::move(cleanup_failure));
  if constexpr (!std::is_void_v<R>) co_return std::move(*result);
}

}  // namespace detail

/// Awaits `body` and then, whether it returned, threw or was cancelled, `cleanup`: an awaitable, or a
/// function that may return one. Requests to stop that come during the cleanup wait until it is done. Yields
/// what `body` yields or throws what it threw. If the cleanup fails too, what the body threw goes on and the
/// cleanup's exception goes to the loop's report handler; but in place of a Cancelled the cleanup's
/// exception is thrown, and the request to stop comes out of the next co_await.
///
///     co_await finally(work(connection), connection.shutdown());
///
/// What is passed as rvalue is owned, an lvalue must outlive the call. Nothing is done if the task is
/// cancelled before its first step.
template <Awaitable A, Cleanup C>
HEDDLE_CORO_OWNER auto finally(A&& body, C&& cleanup) {
  return detail::run_finally<A>(std::forward<A>(body), detail::run_cleanup<C>(std::forward<C>(cleanup)));
}
/// The same, but if the cleanup takes longer than `limit` it is cancelled, and has failed with TimeoutError.
template <Awaitable A, Cleanup C>
HEDDLE_CORO_OWNER auto finally(A&& body, C&& cleanup, Timeout limit) {
  return detail::run_finally<A>(std::forward<A>(body),
                                timeout(limit, detail::run_cleanup<C>(std::forward<C>(cleanup))));
}

}  // namespace heddle

HEDDLE_HEADER_END
