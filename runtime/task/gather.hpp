// gather: several tasks at once, and all their results.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "as_task.hpp"
#include "nothing.hpp"
#include "task_group.hpp"
#include "task_scope.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

/// Throws what failed first, if anything did.
inline void throw_first(const std::vector<std::exception_ptr>& errors) {
  if (!errors.empty()) std::rethrow_exception(errors.front());
}

template <class... T>
Task<std::tuple<ValueOrNothing<T>...>> gather_tasks(Task<T>... tasks) {
  TaskGroup group(TaskGroup::OnCancelled::ENDS);
  std::exception_ptr failure;
  auto closing = group.close(failure);
  std::tuple<JoinHandle<T>...> handles;
  try {
    std::apply([&](JoinHandle<T>&... handle) { ((handle = group.spawn(std::move(tasks))), ...); }, handles);
  } catch (...) {
    failure = std::current_exception();
  }
  throw_first(co_await std::move(closing));
  co_return std::apply(
      [](JoinHandle<T>&... handle) { return std::tuple<ValueOrNothing<T>...>{result_or_nothing(handle)...}; },
      handles);
}

}  // namespace detail

/// Awaits all `awaitables` at the same time, each in a task of its own, and yields their results in this
/// order (Nothing for void). The first that fails has its exception thrown, after the others were cancelled
/// and joined; the same for one that ends cancelled though nobody has asked the caller to stop. Each request
/// to stop the caller until then is passed on to all of them, as in asyncio.
template <Awaitable... A>
HEDDLE_CORO_OWNER auto gather(A&&... awaitables) {
  return detail::gather_tasks(as_task(std::forward<A>(awaitables))...);
}

/// The same for as many tasks as there are; no results for Task<void>.
template <class T>
auto gather(std::vector<Task<T>> tasks) -> Task<std::conditional_t<std::is_void_v<T>, void, std::vector<T>>> {
  TaskGroup group(TaskGroup::OnCancelled::ENDS);
  std::exception_ptr failure;
  auto closing = group.close(failure);
  std::vector<JoinHandle<T>> handles;
  try {
    handles.reserve(tasks.size());
    for (Task<T>& task : tasks) handles.push_back(group.spawn(std::move(task)));
  } catch (...) {
    failure = std::current_exception();
  }
  detail::throw_first(co_await std::move(closing));
  if constexpr (!std::is_void_v<T>) {
    std::vector<T> results;
    results.reserve(handles.size());
    for (JoinHandle<T>& handle : handles) results.push_back(handle.result());
    co_return results;
  }
}

namespace detail {

template <class... T>
Task<std::tuple<JoinHandle<T>...>> settle_tasks(Task<T>... tasks) {
  TaskScope scope;
  std::exception_ptr failure;
  Task<void> finish = scope.all(failure);
  std::tuple<JoinHandle<T>...> handles;
  try {
    std::apply([&](JoinHandle<T>&... handle) { ((handle = scope.spawn(std::move(tasks))), ...); }, handles);
  } catch (...) {
    failure = std::current_exception();
  }
  co_await std::move(finish);
  co_return handles;
}

}  // namespace detail

/// gather() with return_exceptions: waits for all, whatever they end with, and yields their handles, which
/// are done and have the result() or the error(). Each request to stop the caller is passed on to all of
/// them, and Cancelled thrown when they are done.
template <Awaitable... A>
HEDDLE_CORO_OWNER auto gather_settled(A&&... awaitables) {
  return detail::settle_tasks(as_task(std::forward<A>(awaitables))...);
}
template <class T>
Task<std::vector<JoinHandle<T>>> gather_settled(std::vector<Task<T>> tasks) {
  detail::TaskScope scope;
  std::exception_ptr failure;
  Task<void> finish = scope.all(failure);
  std::vector<JoinHandle<T>> handles;
  try {
    handles.reserve(tasks.size());
    for (Task<T>& task : tasks) handles.push_back(scope.spawn(std::move(task)));
  } catch (...) {
    failure = std::current_exception();
  }
  co_await std::move(finish);
  co_return handles;
}

}  // namespace heddle

HEDDLE_HEADER_END
