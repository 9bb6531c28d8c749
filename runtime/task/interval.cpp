// Interval: when the next tick is due.
// SPDX-License-Identifier: MIT
#include "interval.hpp"

#include <stdexcept>

#include "../../selector/errors.hpp"
#include "../core/scheduler.hpp"

namespace heddle {

using namespace detail;

namespace {

TimePoint after(TimePoint from, Duration time) noexcept {
  return time > TimePoint::max() - from ? TimePoint::max() : from + time;
}

}  // namespace

Interval::Interval(Timeout period, MissedTick missed)
    : Interval(running_loop().deadline_after(period.duration()), period, missed) {}

Interval::Interval(Deadline first, Timeout period, MissedTick missed)
    : period_(period.duration()), next_(first.time()), missed_(missed) {
  if (period.only_polls()) throw ValueError("the period of an Interval must be positive");
}

void Interval::reset() { next_ = running_loop().deadline_after(period_); }

TimePoint Interval::take(TimePoint now) noexcept {
  const TimePoint due = next_;
  next_ = after(due, period_);
  if (now < next_ || missed_ == MissedTick::BURST) return due;
  if (missed_ == MissedTick::DELAY)
    next_ = after(now, period_);
  else
    next_ = after(now, period_ - (now - due) % period_);
  return due;
}

bool Interval::Tick::await_ready() {
  begin();
  if (interval_.waited_for_) throw std::logic_error("two tasks wait for a tick of one Interval");
  fired_ = stopped_ = false;  // it may have been awaited before
  if (current.loop->time() < interval_.next_) return false;
  fired_ = true;
  return finished();
}

void Interval::Tick::arm() {
  if (fired_) {  // the budget is spent
    wake();
    return;
  }
  current.loop->timers().add(*this, interval_.next_);
  interval_.waited_for_ = true;
}

void Interval::Tick::expire(Timer& timer) noexcept {
  auto& self = static_cast<Tick&>(timer);
  self.fired_ = true;
  self.interval_.waited_for_ = false;
  self.wake();
}

TimePoint Interval::Tick::await_resume() {
  if (stopped_) throw_cancelled();
  return interval_.take(current.loop->time());
}

Operation::Stop Interval::Tick::cancel() noexcept {
  if (fired_) return Stop::TOO_LATE;
  task_->owner()->loop().timers().remove(*this);
  interval_.waited_for_ = false;
  stopped_ = true;
  return Stop::STOPPED;
}

}  // namespace heddle
