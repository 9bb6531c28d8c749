// AwaitResult: what a co_await of something yields, for the functions that take any awaitable.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <utility>

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

/// The awaiter that `co_await awaitable` uses.
template <class A>
decltype(auto) get_awaiter(A&& awaitable) {
  if constexpr (requires { std::forward<A>(awaitable).operator co_await(); })
    return std::forward<A>(awaitable).operator co_await();
  else if constexpr (requires { operator co_await(std::forward<A>(awaitable)); })
    return operator co_await(std::forward<A>(awaitable));
  else
    return std::forward<A>(awaitable);
}

}  // namespace detail

/// The type of `co_await std::declval<A>()`.
template <class A>
using AwaitResult = decltype(detail::get_awaiter(std::declval<A>()).await_resume());

/// Something that can be awaited in a Task.
template <class A>
concept Awaitable = requires { typename AwaitResult<A>; };

}  // namespace heddle

HEDDLE_HEADER_END
