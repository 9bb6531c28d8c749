// StopRequests: requests change their state by whole groups, so counts are enough to tell them apart.
// SPDX-License-Identifier: MIT
#include "stop_requests.hpp"

#include <utility>

namespace heddle::detail {

namespace {

constexpr StopRequests::Count most_deliveries = (StopRequests::Count{1} << 31) - 1;

StopRequests::Count level_of(const Shield* innermost) noexcept {
  return innermost != nullptr ? innermost->level() : 0;
}

}  // namespace

// The shield that parts `level` from what is inside of it.
Shield& StopRequests::shield_at(Count level, Shield* innermost) noexcept {
  Shield* shield = innermost;
  while (shield->level_ != level + 1) shield = shield->outer_;
  return *shield;
}

bool StopRequests::make(Count level, Shield* innermost) noexcept {
  if (level_of(innermost) <= level) {
    pending_ = plus(pending_, 1);
    return true;
  }
  Count& held = shield_at(level, innermost).held_;
  held = plus(held, 1);
  return false;
}

// A request has been delivered if anything was, at its level, since it was made.
StopRequests::Count StopRequests::mark(Count level, const Shield* innermost) const noexcept {
  if (level_of(innermost) <= level) return deliveries_;
  return shield_at(level, const_cast<Shield*>(innermost)).deliveries_;
}

void StopRequests::take_back(Count mark, Count delivered_before) noexcept {
  const bool was_pending = mark == deliveries_;
  if (was_pending ? pending_ != 0 : delivered_ == 0 && pending_ != 0)
    --pending_;
  else if (delivered_ != 0)
    --delivered_;
  if (delivered_ <= delivered_before || delivered_ == 0) again_ = 0;
}

void StopRequests::take_back_any(Shield* innermost) noexcept {
  if (delivered_ != 0) {
    --delivered_;
  } else if (pending_ != 0) {
    --pending_;
  } else {
    Shield* holder = nullptr;
    for (Shield* shield = innermost; shield != nullptr; shield = shield->outer_)
      if (shield->held_ != 0) holder = shield;
    if (holder != nullptr) --holder->held_;
  }
  if (delivered_ == 0) again_ = 0;
}

void StopRequests::deliver() noexcept {
  again_ = 0;
  if (pending_ == 0) return;
  delivered_ = plus(delivered_, std::exchange(pending_, 0));
  deliveries_ = (deliveries_ + 1) & most_deliveries;
}

bool StopRequests::defer() noexcept {
  again_ = delivered_ != 0;
  return again_ != 0;
}

void StopRequests::raise(Shield& shield, Shield*& innermost) noexcept {
  shield.level_ = level_of(innermost) + 1;
  shield.held_ = std::exchange(pending_, 0);
  shield.deliveries_ = deliveries_;
  shield.again_ = again_ != 0;
  again_ = 0;
  shield.outer_ = std::exchange(innermost, &shield);
}

void StopRequests::lower(Shield*& innermost) noexcept {
  Shield& shield = *std::exchange(innermost, innermost->outer_);
  pending_ = plus(pending_, std::exchange(shield.held_, 0));
  deliveries_ = shield.deliveries_ & most_deliveries;
  if (shield.again_ && delivered_ != 0) again_ = 1;
}

StopRequests::Count StopRequests::all(const Shield* innermost) const noexcept {
  Count sum = in_force();
  for (const Shield* shield = innermost; shield != nullptr; shield = shield->outer_)
    sum = plus(sum, shield->held_);
  return sum;
}

}  // namespace heddle::detail
