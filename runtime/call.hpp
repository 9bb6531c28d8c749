// call: std::invoke without the cost of including <functional>.
// SPDX-License-Identifier: MIT
#pragma once

#include <type_traits>
#include <utility>

namespace heddle {

/// `function(arguments...)`; a pointer to a member function is called on the first argument, an object or a
/// pointer to one.
template <class F, class... A>
decltype(auto) call(F& function, A&&... arguments) {
  return function(std::forward<A>(arguments)...);
}

template <class R, class C, class Object, class... A>
  requires std::is_function_v<R>
decltype(auto) call(R C::*& member, Object&& object, A&&... arguments) {
  if constexpr (std::is_base_of_v<C, std::remove_cvref_t<Object>>)
    return (std::forward<Object>(object).*member)(std::forward<A>(arguments)...);
  else
    return ((*object).*member)(std::forward<A>(arguments)...);
}

}  // namespace heddle
