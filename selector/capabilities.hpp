// Capabilities: what a selector can do beyond the contract of BaseSelector.
// SPDX-License-Identifier: MIT
#pragma once

#include "export.hpp"  // first

HEDDLE_HEADER_BEGIN

namespace heddle {

enum class Capability : unsigned {
  FILENO = 1,         ///< has a descriptor of its own: it can be watched by another selector
  REGULAR_FILES = 2,  ///< takes regular files (and calls them ready)
  EDGE_TRIGGER = 4,   ///< takes Trigger::EDGE
  BATCHED_CHANGES =
      8,  ///< registering costs no system call of its own; changes travel with the next select()
  CROSS_THREAD_MODIFY = 16,  ///< registrations may change while another thread is in select(); none here can
};

/// A set of capabilities.
class Capabilities {
 public:
  constexpr Capabilities() noexcept = default;
  constexpr Capabilities(Capability one) noexcept : bits_(static_cast<unsigned>(one)) {}

  [[nodiscard]] constexpr bool has(Capability one) const noexcept {
    return (bits_ & static_cast<unsigned>(one)) != 0;
  }
  friend constexpr Capabilities operator|(Capabilities a, Capabilities b) noexcept {
    a.bits_ |= b.bits_;
    return a;
  }
  friend constexpr bool operator==(Capabilities, Capabilities) noexcept = default;

 private:
  unsigned bits_ = 0;
};

constexpr Capabilities operator|(Capability a, Capability b) noexcept {
  return Capabilities(a) | Capabilities(b);
}

}  // namespace heddle

HEDDLE_HEADER_END
