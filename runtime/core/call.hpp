// call: std::invoke without the cost of including <functional>.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <type_traits>
#include <utility>

// For functions that return a Task without being coroutines: those who need no frame of their own. An OWNER
// moves what it is given as an rvalue into the Task, so that doesn't dangle.
#if defined(__has_cpp_attribute)
#if __has_cpp_attribute(clang::coro_wrapper) && __has_cpp_attribute(clang::coro_disable_lifetimebound)
#define HEDDLE_CORO_WRAPPER [[clang::coro_wrapper]]
#define HEDDLE_CORO_OWNER [[clang::coro_wrapper, clang::coro_disable_lifetimebound]]
#endif
#endif
// The result runs what the parameter refers to: clang then warns where that is a temporary, as in
// `auto handle = spawn([&]() -> Task<void> {...}())`.
#if defined(__has_cpp_attribute)
#if __has_cpp_attribute(clang::lifetimebound)
#define HEDDLE_CORO_BOUND [[clang::lifetimebound]]
#endif
#endif
#ifndef HEDDLE_CORO_BOUND
#define HEDDLE_CORO_BOUND
#endif
#ifndef HEDDLE_CORO_WRAPPER
#define HEDDLE_CORO_WRAPPER
#define HEDDLE_CORO_OWNER
#endif

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// `function(arguments...)`; a pointer to a member function is called on the first argument, an object or a
/// pointer to one.
template <class F, class... A>
HEDDLE_CORO_WRAPPER decltype(auto) call(F& function, A&&... arguments) {
  return function(std::forward<A>(arguments)...);
}

template <class R, class C, class Object, class... A>
  requires std::is_function_v<R>
HEDDLE_CORO_WRAPPER decltype(auto) call(R C::*& member, Object&& object, A&&... arguments) {
  if constexpr (std::is_base_of_v<C, std::remove_cvref_t<Object>>)
    return (std::forward<Object>(object).*member)(std::forward<A>(arguments)...);
  else
    return ((*object).*member)(std::forward<A>(arguments)...);
}

}  // namespace heddle::detail

HEDDLE_HEADER_END
