// SleepOperation: a timer in the frame of the coroutine that sleeps.
// SPDX-License-Identifier: MIT
#include "sleep.hpp"

#include <algorithm>

#include "../core/scheduler.hpp"

namespace heddle::detail {

void SleepOperation::arm() {
  Scheduler& loop = *current.loop;
  fired_ = stopped_ = false;  // it may have been awaited before
  fetches(task_);
  if (absolute_) {
    loop.timers().add(*this, TimePoint(duration_));
    return;
  }
  if (forever()) return;
  if (duration_ <= Duration(0)) {
    fired_ = true;
    wake();
    return;
  }
  loop.timers().add(*this, loop.deadline_after(duration_));
}

void SleepOperation::expire(Timer& timer) noexcept {
  auto& self = static_cast<SleepOperation&>(timer);
  self.fired_ = true;
  self.task_->fetch_siblings();
  self.wake();
}

Operation::Stop SleepOperation::cancel() noexcept {
  if (fired_) return Stop::TOO_LATE;
  task_->owner()->loop().timers().remove(*this);
  stopped_ = true;
  return Stop::STOPPED;
}

WaitInfo SleepOperation::describe() const noexcept {
  WaitInfo info;
  info.what = "sleep";
  // Of a duration, as of when the loop read its clock last before: that is microseconds early at most.
  if (absolute_)
    info.until = TimePoint(duration_);
  else if (armed())
    info.until = task_->suspended_since() + std::min(duration_, TimePoint::max() - task_->suspended_since());
  return info;
}

Operation::Stop YieldOperation::cancel() noexcept {
  stopped_ = true;
  return Stop::STOPPED;
}

}  // namespace heddle::detail
