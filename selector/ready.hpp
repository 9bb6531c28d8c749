// Ready: one entry of the list that select() returns.
// SPDX-License-Identifier: MIT
#pragma once

#include "export.hpp"  // first

#include <cstddef>
#include <span>
#include <utility>

#include "selector_key.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// A registration that is ready, as it stood when select() returned: `for (auto [key, events] :
/// selector.select())`.
struct Ready {
  SelectorKey key;
  EventMask events;  ///< never empty, never more than key.events
  /// The peer will send no more, there is an error, or there is urgent data, before which a read stops short.
  /// Promised for Trigger::EDGE only.
  bool hangup;

  template <std::size_t I>
  [[nodiscard]] constexpr const auto& get() const noexcept {
    static_assert(I < 2);
    if constexpr (I == 0) {
      return key;
    } else {
      return events;
    }
  }
};

/// Valid until the next select(), whatever is registered or unregistered meanwhile.
using ReadyList = std::span<const Ready>;

}  // namespace heddle

template <>
struct std::tuple_size<heddle::Ready> {
  static constexpr std::size_t value = 2;
};
template <>
struct std::tuple_element<0, heddle::Ready> {
  using type = const heddle::SelectorKey;
};
template <>
struct std::tuple_element<1, heddle::Ready> {
  using type = const heddle::EventMask;
};

HEDDLE_HEADER_END
