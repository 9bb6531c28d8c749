// DatagramDetails as the control messages of recvmsg(2) and sendmsg(2). Not installed.
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/socket.h>

#include <cstddef>

#include "datagram_details.hpp"

namespace heddle::detail {

/// Room for the control messages of a datagram: all of which DatagramDetails are made, IPv4's and IPv6's, and
/// a timestamp of the user's.
inline constexpr std::size_t control_room = 192;

/// Whether write_control() has to know where the datagram goes.
inline bool names_source(const DatagramDetails& details) noexcept {
  return details.local.length() != 0 || details.interface != 0;
}

/// What of `details` a datagram of `size` bytes needs is written to `room`, of control_room aligned bytes;
/// returns how many those were. `to`: where it goes; no address where that is unknown, which it may be unless
/// names_source().
std::size_t write_control(std::byte* room, const DatagramDetails& details, std::size_t size,
                          const Address& to) noexcept;

/// What a received message says of its datagram.
void read_control(msghdr& message, DatagramDetails& details) noexcept;

}  // namespace heddle::detail
