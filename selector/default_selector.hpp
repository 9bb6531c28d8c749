// DefaultSelector: the best selector class of the platform this is compiled for.
// SPDX-License-Identifier: MIT
#pragma once

#if defined(__linux__)
#include "epoll_selector.hpp"
#else
#include "poll_selector.hpp"
#endif

namespace heddle {

#if defined(__linux__)
using DefaultSelector = EpollSelector;
#else
using DefaultSelector = PollSelector;
#endif

}  // namespace heddle
