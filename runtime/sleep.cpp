// SleepOperation: a timer in the frame of the coroutine that sleeps.
// SPDX-License-Identifier: MIT
#include "sleep.hpp"

#include "event_loop.hpp"

namespace heddle {

void SleepOperation::arm() {
  EventLoop& loop = *current.loop;
  fired_ = stopped_ = false;  // it may have been awaited before
  if (!absolute_) {
    if (duration_.forever()) return;
    if (duration_.only_looks()) {
      fired_ = true;
      wake();
      return;
    }
    deadline = loop.deadline_after(duration_.duration());
  }
  loop.timers().add(*this, deadline);
}

void SleepOperation::expire(Timer& timer) noexcept {
  auto& self = static_cast<SleepOperation&>(timer);
  self.fired_ = true;
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
  if (armed()) info.until = deadline;
  return info;
}

Operation::Stop YieldOperation::cancel() noexcept {
  stopped_ = true;
  return Stop::STOPPED;
}

}  // namespace heddle
