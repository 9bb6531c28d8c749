// when_any: race(), and which one it was.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <utility>
#include <variant>
#include <vector>

#include "nothing.hpp"
#include "race.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// The result of one of many, and which one that was.
template <class T>
struct Winner {
  Winner(std::size_t i, detail::ValueOrNothing<T>&& v) : index(i), value(std::move(v)) {}

  std::size_t index;
  detail::ValueOrNothing<T> value;
};

namespace detail {

/// What when_any() takes of the winner.
template <class... T>
struct TakeVariant {
  template <class U, class Index>
  std::variant<ValueOrNothing<T>...> operator()(JoinHandle<U>& handle, Index) const {
    return std::variant<ValueOrNothing<T>...>(std::in_place_index<Index::value>, result_or_nothing(handle));
  }
};
struct TakeWinner {
  template <class T>
  Winner<T> operator()(JoinHandle<T>& handle, std::size_t index) const {
    return Winner<T>(index, result_or_nothing(handle));
  }
};

}  // namespace detail

/// race() for results of different types: yields a std::variant whose index() tells which of `awaitables` was
/// done first, with that one's result (Nothing for void).
template <Awaitable... A>
  requires(sizeof...(A) > 0)
HEDDLE_CORO_OWNER auto when_any(A&&... awaitables) {
  using Take = detail::TakeVariant<std::remove_cvref_t<AwaitResult<A>>...>;
  using R = std::variant<detail::ValueOrNothing<std::remove_cvref_t<AwaitResult<A>>>...>;
  return detail::race_tasks<R>(Take(), as_task(std::forward<A>(awaitables))...);
}

/// race() of as many tasks as there are, yielding the winner's place among them too. Throws ValueError when
/// there is none.
template <class T>
HEDDLE_CORO_OWNER Task<Winner<T>> when_any(std::vector<Task<T>> tasks) {
  return detail::race_tasks<Winner<T>>(detail::TakeWinner(), std::move(tasks));
}

}  // namespace heddle

HEDDLE_HEADER_END
