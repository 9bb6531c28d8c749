// DeadlineScope: whose request it was that stopped a task is found by counting them, as asyncio.timeout()
// does.
// SPDX-License-Identifier: MIT
#include "timeout.hpp"

#include "../core/operation.hpp"
#include "../core/scheduler.hpp"

namespace heddle::detail {

namespace {

TaskState& current_task(const char* operation) {
  if (current.task == nullptr) throw_no_task(operation);
  return *current.task;
}

}  // namespace

ShieldScope::ShieldScope(Later) : task_(current_task("shield()")) {
  static_cast<void>(task_.make_extras());  // where a task keeps its innermost shield
}

DeadlineScope::DeadlineScope(Timeout after)
    : Timer(&expire), task_(current_task("timeout()")), requests_before_(task_.requests_delivered()) {
  if (!after.forever()) current.loop->timers().add(*this, current.loop->deadline_after(after.duration()));
}

DeadlineScope::DeadlineScope(TimePoint at)
    : Timer(&expire), task_(current_task("timeout_at()")), requests_before_(task_.requests_delivered()) {
  current.loop->timers().add(*this, at);
}

DeadlineScope::~DeadlineScope() {
  if (armed())
    current.loop->timers().remove(*this);
  else
    take_back();
}

void DeadlineScope::expire(Timer& timer) noexcept {
  auto& self = static_cast<DeadlineScope&>(timer);
  self.expired_ = true;
  self.own_request_ = self.task_.mark_request(self.shields_);
  self.task_.cancel_inside(self.shields_);
}

void DeadlineScope::take_back() noexcept {
  if (!std::exchange(expired_, false)) return;
  task_.take_back(own_request_, requests_before_);
}

bool DeadlineScope::is_cause() noexcept {
  if (!expired_) return false;
  take_back();
  return task_.requests_in_force() <= requests_before_;
}

}  // namespace heddle::detail
