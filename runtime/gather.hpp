// gather: several tasks at once, and all their results.
// SPDX-License-Identifier: MIT
#pragma once

#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "task_group.hpp"

namespace heddle {

/// Stands for the result of a Task<void> where a value is needed.
struct Nothing {
  friend constexpr bool operator==(Nothing, Nothing) noexcept = default;
};

template <class T>
using ValueOrNothing = std::conditional_t<std::is_void_v<T>, Nothing, T>;

template <class T>
ValueOrNothing<T> result_or_nothing(JoinHandle<T>& handle) {
  if constexpr (std::is_void_v<T>) {
    handle.result();
    return Nothing();
  } else {
    return handle.result();
  }
}

/// Waits for the children of `group`. Throws `failure`, or what failed first, if anything did.
inline Task<void> join_or_throw_first(TaskGroup& group, std::exception_ptr failure) {
  const std::vector<std::exception_ptr> errors = co_await group.close(failure);
  if (!errors.empty()) std::rethrow_exception(errors.front());
}

/// Runs all `tasks` at the same time and yields their results in this order (Nothing for void). The first
/// that fails has its exception thrown, after the others were cancelled and joined. Cancelling the caller
/// cancels them all.
template <class... T>
Task<std::tuple<ValueOrNothing<T>...>> gather(Task<T>... tasks) {
  TaskGroup group;
  std::tuple<JoinHandle<T>...> handles;
  std::exception_ptr failure;
  try {
    std::apply([&](JoinHandle<T>&... handle) { ((handle = group.spawn(std::move(tasks))), ...); }, handles);
  } catch (...) {
    failure = std::current_exception();
  }
  co_await join_or_throw_first(group, failure);
  co_return std::apply(
      [](JoinHandle<T>&... handle) { return std::tuple<ValueOrNothing<T>...>{result_or_nothing(handle)...}; },
      handles);
}

/// The same for as many as there are; no results for Task<void>.
template <class T>
auto gather(std::vector<Task<T>> tasks) -> Task<std::conditional_t<std::is_void_v<T>, void, std::vector<T>>> {
  TaskGroup group;
  std::vector<JoinHandle<T>> handles;
  std::exception_ptr failure;
  try {
    handles.reserve(tasks.size());
    for (Task<T>& task : tasks) handles.push_back(group.spawn(std::move(task)));
  } catch (...) {
    failure = std::current_exception();
  }
  co_await join_or_throw_first(group, failure);
  if constexpr (!std::is_void_v<T>) {
    std::vector<T> results;
    results.reserve(handles.size());
    for (JoinHandle<T>& handle : handles) results.push_back(handle.result());
    co_return results;
  }
}

}  // namespace heddle
