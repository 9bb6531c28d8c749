// Broadcast: the errors of sending and receiving.
// SPDX-License-Identifier: MIT
#include "broadcast.hpp"

#include <string>

#include "../../selector/errors.hpp"

namespace heddle {

using namespace detail;

Lagged::Lagged(std::uint64_t count)
    : std::runtime_error("Subscription.receive(): " + std::to_string(count) + " items were missed"),
      missed(count) {}
Lagged::~Lagged() = default;

BroadcastState::BroadcastState(std::size_t capacity) : capacity_(capacity) {
  if (capacity == 0) throw ValueError("Broadcast: the capacity must be at least 1");
}

void BroadcastState::throw_closed() { throw std::logic_error("Broadcast.send(): the channel is closed"); }

void BroadcastState::throw_lagged(std::uint64_t& position) const {
  const std::uint64_t oldest = sent_ - capacity_;
  throw Lagged(oldest - std::exchange(position, oldest));
}

}  // namespace heddle
