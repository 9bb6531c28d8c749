// Interval: when the next tick is due, and who waits for it.
// SPDX-License-Identifier: MIT
#include "interval.hpp"

#include <cstdint>
#include <stdexcept>
#include <utility>

#include "../../selector/errors.hpp"
#include "../core/scheduler.hpp"
#include "../core/wait_list.hpp"

namespace heddle {

using namespace detail;

Interval::Interval(Timeout period, MissedTick missed)
    : Interval(running_loop().deadline_after(period.duration()), period, missed) {}

Interval::Interval(Deadline first, Timeout period, MissedTick missed)
    : period_(period.duration()), next_(first.time()), missed_(missed) {
  if (period.only_polls()) throw ValueError("the period of an Interval must be positive");
}

Interval& Interval::operator=(const Interval& other) {
  reset_at(other.next_);
  period_ = other.period_;
  missed_ = other.missed_;
  return *this;
}

Interval::~Interval() {
  if (waiting_ != nullptr) waiting_->abandon();
}

void Interval::reset() { reset_at(running_loop().deadline_after(period_)); }

void Interval::reset_at(Deadline next) {
  if (waiting_ != nullptr) waiting_->rearm(next.time());
  next_ = next.time();
}

TimePoint Interval::take(TimePoint now) noexcept {
  const TimePoint due = next_;
  next_ = later(due, period_);
  if (now < next_ || missed_ == MissedTick::BURST) return due;
  if (missed_ == MissedTick::DELAY) {
    next_ = later(now, period_);
  } else {
    // Unsigned, because from the least point of time to the greatest it is too long for a Duration.
    const std::uint64_t late = static_cast<std::uint64_t>(now.time_since_epoch().count()) -
                               static_cast<std::uint64_t>(due.time_since_epoch().count());
    const auto period = static_cast<std::uint64_t>(period_.count());
    next_ = later(now, period_ - Duration(static_cast<Duration::rep>(late % period)));
  }
  return due;
}

bool Interval::Tick::await_ready() {
  begin();
  if (interval_.waiting_ != nullptr) throw std::logic_error("two tasks wait for a tick of one Interval");
  stopped_ = abandoned_ = false;  // it may have been awaited before
  due_ = current.loop->time() >= interval_.next_;
  return due_ && finished();
}

void Interval::Tick::arm() {
  if (due_)  // the budget is spent
    wake();
  else
    current.loop->timers().add(*this, interval_.next_);
  interval_.waiting_ = this;
}

void Interval::Tick::expire(Timer& timer) noexcept { static_cast<Tick&>(timer).wake(); }

// The next tick is another one, also for a task that was woken for the one before.
void Interval::Tick::rearm(TimePoint deadline) {
  if (stopped_) return;
  Scheduler& loop = task_->owner()->loop();
  loop.use("Interval.reset()");
  TimerHeap& timers = loop.timers();
  const std::uint32_t before = slot;
  timers.add(*this, deadline);  // first: it may throw
  const std::uint32_t added = std::exchange(slot, before);
  timers.remove(*this);
  slot = added;
}

void Interval::Tick::abandon() noexcept {
  if (armed()) task_->owner()->loop().timers().remove(*this);
  abandoned_ = true;
  wake();
}

TimePoint Interval::Tick::await_resume() {
  if (abandoned_) {
    if (stopped_) throw_cancelled();
    throw_destroyed("Interval.tick()");
  }
  interval_.waiting_ = nullptr;
  if (stopped_) throw_cancelled();
  return interval_.take(current.loop->time());
}

Operation::Stop Interval::Tick::cancel() noexcept {
  if (!armed() && !abandoned_) return Stop::TOO_LATE;
  task_->owner()->loop().timers().remove(*this);
  stopped_ = true;
  return Stop::STOPPED;
}

WaitInfo Interval::Tick::describe() const noexcept {
  WaitInfo info;
  info.what = "the tick of an Interval";
  if (armed()) info.until = interval_.next_;
  return info;
}

}  // namespace heddle
