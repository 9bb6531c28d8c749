// What each example server says first, for whoever started it.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdio>
#include <heddle/io/address/address.hpp>
#include <heddle/runtime/loop/event_loop.hpp>
#include <vector>

inline void announce(const std::vector<heddle::Address>& addresses) {
  for (const heddle::Address& address : addresses)
    std::printf("listening on %s (selector %s)\n", to_string(address).c_str(),
                heddle::EventLoop::running().selector_name());
  std::fflush(stdout);
}
