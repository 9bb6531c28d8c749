// EventMask to and from the bits of poll(2), which poll, /dev/poll and io_uring use. For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include "../events.hpp"

namespace heddle::detail {

/// POLLIN for READ, POLLOUT for WRITE.
[[nodiscard]] short to_poll(EventMask events) noexcept;
/// An error, a hang-up or a closed descriptor is READ and WRITE.
[[nodiscard]] EventMask from_poll(int revents) noexcept;
/// A hang-up, an error, or a closed descriptor.
[[nodiscard]] bool is_hangup(int revents) noexcept;

}  // namespace heddle::detail
