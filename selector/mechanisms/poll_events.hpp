// Event masks in the words of poll(2), which poll, /dev/poll and io_uring all speak. For the .cpp files here.
// SPDX-License-Identifier: MIT
#pragma once

#include "../events.hpp"

namespace heddle {

/// POLLIN for READ, POLLOUT for WRITE.
[[nodiscard]] short to_poll(EventMask events) noexcept;
/// An error, a hang-up or a closed descriptor wakes whoever waits, in both directions.
[[nodiscard]] EventMask from_poll(int revents) noexcept;
/// The peer will send no more, or there is an error.
[[nodiscard]] bool is_hangup(int revents) noexcept;

}  // namespace heddle
