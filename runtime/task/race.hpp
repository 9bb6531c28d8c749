// race: the first of several to be done, and the others stopped.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <exception>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "as_task.hpp"
#include "task_scope.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

template <class... T>
struct RaceResult {
  using type = std::common_type_t<T...>;
};
template <class First, class... T>
  requires(std::is_void_v<First> || (std::is_void_v<T> || ...))
struct RaceResult<First, T...> {
  static_assert(std::is_void_v<First> && (std::is_void_v<T> && ...),
                "race() of results and no results: when_any() tells which of them it was");
  using type = void;
};

namespace detail {

[[noreturn]] HEDDLE_EXPORT void throw_race_of_nothing();

/// `take(handle, index)` of the handle that refers to `winner`.
template <class R, std::size_t I = 0, class... T, class Take>
R take_winner(std::tuple<JoinHandle<T>...>& handles, const TaskState& winner, Take take) {
  auto& handle = std::get<I>(handles);
  if constexpr (I + 1 < sizeof...(T))
    if (&handle.state() != &winner) return take_winner<R, I + 1>(handles, winner, take);
  return take(handle, std::integral_constant<std::size_t, I>());
}

template <class R, class Take, class... T>
Task<R> race_tasks(Take take, Task<T>... tasks) {
  TaskScope scope;
  std::exception_ptr failure;
  Task<const TaskState*> finish = scope.first(failure);
  std::tuple<JoinHandle<T>...> handles;
  try {
    std::apply([&](JoinHandle<T>&... handle) { ((handle = scope.spawn(std::move(tasks))), ...); }, handles);
  } catch (...) {
    failure = std::current_exception();
  }
  const TaskState* const winner = co_await std::move(finish);
  co_return take_winner<R>(handles, *winner, take);
}

template <class R, class Take, class T>
Task<R> race_tasks(Take take, std::vector<Task<T>> tasks) {
  if (tasks.empty()) throw_race_of_nothing();
  TaskScope scope;
  std::exception_ptr failure;
  Task<const TaskState*> finish = scope.first(failure);
  std::vector<JoinHandle<T>> handles;
  try {
    handles.reserve(tasks.size());
    for (Task<T>& task : tasks) handles.push_back(scope.spawn(std::move(task)));
  } catch (...) {
    failure = std::current_exception();
  }
  const TaskState* const winner = co_await std::move(finish);
  std::size_t index = 0;
  while (&handles[index].state() != winner) ++index;
  co_return take(handles[index], index);
}

/// What race() takes of the winner: its result alone.
struct TakeResult {
  template <class T, class Index>
  T operator()(JoinHandle<T>& handle, Index) const {
    return handle.result();
  }
};

}  // namespace detail

/// Awaits all `awaitables` at the same time, each in a task of its own, and yields the result of the first
/// that is done (their common type), or throws what that one threw. By then the others were cancelled and are
/// done. Cancelling the caller cancels them all; if one has its result nevertheless, that is yielded.
///
/// Results of losers are dropped, should there be any: of two receives both may have got something. wait()
/// loses nothing. What a loser throws while it is stopped goes to the loop's report handler.
template <Awaitable... A>
  requires(sizeof...(A) > 0)
HEDDLE_CORO_OWNER auto race(A&&... awaitables) {
  using R = typename RaceResult<std::remove_cvref_t<AwaitResult<A>>...>::type;
  return detail::race_tasks<R>(detail::TakeResult(), as_task(std::forward<A>(awaitables))...);
}

/// The same for as many tasks as there are. Throws ValueError when there is none.
template <class T>
HEDDLE_CORO_OWNER Task<T> race(std::vector<Task<T>> tasks) {
  return detail::race_tasks<T>(detail::TakeResult(), std::move(tasks));
}

}  // namespace heddle

HEDDLE_HEADER_END
