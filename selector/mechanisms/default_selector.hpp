// DefaultSelector: the best selector class of the platform this is compiled for.
// SPDX-License-Identifier: MIT
#pragma once

#include "../export.hpp"  // first

#if defined(__linux__)
#include "epoll_selector.hpp"
#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__) || \
    defined(__DragonFly__)
#include "kqueue_selector.hpp"
#elif defined(__sun)
#include "devpoll_selector.hpp"
#else
#include "poll_selector.hpp"
#endif

HEDDLE_HEADER_BEGIN

namespace heddle {

#if defined(__linux__)
using DefaultSelector = EpollSelector;
#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__) || \
    defined(__DragonFly__)
using DefaultSelector = KqueueSelector;
#elif defined(__sun)
using DefaultSelector = DevpollSelector;
#else
using DefaultSelector = PollSelector;
#endif

}  // namespace heddle

HEDDLE_HEADER_END
