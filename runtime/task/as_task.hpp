// as_task: any awaitable as a Task, so that it can be spawned.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <type_traits>
#include <utility>

#include "../core/awaitable.hpp"
#include "../core/call.hpp"
#include "../core/task.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

template <class A>
Task<std::remove_cvref_t<AwaitResult<A>>> await_in_task(A awaitable) {
  co_return co_await std::forward<A>(awaitable);
}

}  // namespace detail

/// A Task that awaits `awaitable`; a Task that is passed as rvalue is that Task itself. An lvalue must
/// outlive it; what is passed as rvalue is owned.
template <Awaitable A>
HEDDLE_CORO_OWNER auto as_task(A&& awaitable) -> Task<std::remove_cvref_t<AwaitResult<A>>> {
  if constexpr (std::is_same_v<A, Task<std::remove_cvref_t<AwaitResult<A>>>>)
    return std::move(awaitable);
  else
    return detail::await_in_task<A>(std::forward<A>(awaitable));
}

}  // namespace heddle

HEDDLE_HEADER_END
