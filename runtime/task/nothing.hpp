// Nothing: the result of a Task<void> where a value is needed.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <type_traits>

#include "join_handle.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// Stands for the result of a Task<void> where a value is needed.
struct Nothing {
  friend constexpr bool operator==(Nothing, Nothing) noexcept = default;
};

namespace detail {

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

}  // namespace detail

}  // namespace heddle

HEDDLE_HEADER_END
