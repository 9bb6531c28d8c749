// EventMask: what a registration asks for and what a selector reports, EVENT_READ and EVENT_WRITE.
// SPDX-License-Identifier: MIT
#pragma once

#include "export.hpp"  // first

#include <string>

HEDDLE_HEADER_BEGIN

namespace heddle {

/// A set of events. It may hold bits that mean nothing, so that register_() can refuse them with the value
/// they had.
class EventMask {
 public:
  constexpr EventMask() noexcept = default;
  constexpr explicit EventMask(int bits) noexcept : bits_(bits) {}

  [[nodiscard]] constexpr int bits() const noexcept { return bits_; }
  [[nodiscard]] constexpr bool contains(EventMask other) const noexcept {
    return (bits_ & other.bits_) == other.bits_;
  }
  /// READ, WRITE or both, and nothing else.
  [[nodiscard]] constexpr bool valid() const noexcept { return bits_ != 0 && (bits_ & ~3) == 0; }
  constexpr explicit operator bool() const noexcept { return bits_ != 0; }

  friend constexpr EventMask operator|(EventMask a, EventMask b) noexcept {
    return EventMask(a.bits_ | b.bits_);
  }
  friend constexpr EventMask operator&(EventMask a, EventMask b) noexcept {
    return EventMask(a.bits_ & b.bits_);
  }
  friend constexpr EventMask operator^(EventMask a, EventMask b) noexcept {
    return EventMask(a.bits_ ^ b.bits_);
  }
  /// The complement within READ | WRITE.
  friend constexpr EventMask operator~(EventMask a) noexcept { return EventMask(~a.bits_ & 3); }
  constexpr EventMask& operator|=(EventMask other) noexcept { return *this = *this | other; }
  constexpr EventMask& operator&=(EventMask other) noexcept { return *this = *this & other; }
  constexpr EventMask& operator^=(EventMask other) noexcept { return *this = *this ^ other; }
  friend constexpr bool operator==(EventMask, EventMask) noexcept = default;

 private:
  int bits_ = 0;
};

inline constexpr EventMask EVENT_READ{1};
inline constexpr EventMask EVENT_WRITE{2};

/// "READ", "WRITE", "READ|WRITE", "0"; bits that mean nothing are added as a number: "READ|0x8".
[[nodiscard]] HEDDLE_EXPORT std::string to_string(EventMask events);

/// Prints to any stream; needs <ostream> only where it is used.
template <class Traits>
std::basic_ostream<char, Traits>& operator<<(std::basic_ostream<char, Traits>& out, EventMask events) {
  return out << to_string(events).c_str();
}

}  // namespace heddle

HEDDLE_HEADER_END
