// EventMask to and from the bits of poll(2).
// SPDX-License-Identifier: MIT
#include "poll_events.hpp"

#include <poll.h>

namespace heddle::detail {

short to_poll(EventMask events) noexcept {
  const int read = events.contains(EVENT_READ) ? POLLIN : 0;
  const int write = events.contains(EVENT_WRITE) ? POLLOUT : 0;
  return static_cast<short>(read | write);
}

EventMask from_poll(int revents) noexcept {
  if (is_hangup(revents)) return EVENT_READ | EVENT_WRITE;
  return EventMask((revents & POLLIN ? 1 : 0) | (revents & POLLOUT ? 2 : 0));
}

bool is_hangup(int revents) noexcept { return (revents & (POLLERR | POLLHUP | POLLNVAL)) != 0; }

}  // namespace heddle::detail
