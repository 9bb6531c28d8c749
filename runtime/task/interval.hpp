// Interval: ticks at equal distances, without drift.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <coroutine>

#include "../../selector/timeout.hpp"
#include "../core/deadline.hpp"
#include "../core/operation.hpp"
#include "../core/timer_heap.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// What an Interval does about the ticks that were due while nobody waited, as tokio's MissedTickBehavior.
enum class MissedTick : unsigned char {
  SKIP,   ///< They are left out; the next ones come when they would have come anyway.
  BURST,  ///< They are made up for at once, one after the other: none is lost.
  DELAY,  ///< They are left out, and the next one comes a period after the late one.
};

/// A point of time every `period`. Each tick is reckoned from the one before and not from when it was
/// noticed, so that delays don't add up. One task at a time may wait for it; when it is destroyed that one
/// gets std::logic_error. A copy has the same period and the same next tick, and nobody waits for it; what an
/// Interval is assigned that a task waits for is what the task waits for from then on. On the loop's thread
/// only.
class HEDDLE_EXPORT Interval final {
 public:
  /// The first tick comes a period from now, by the running loop's clock. Throws ValueError for a period that
  /// is not positive, std::logic_error if no loop runs on this thread.
  explicit Interval(Timeout period, MissedTick missed = MissedTick::SKIP);
  /// The first tick comes at `first`, a point of the loop's time().
  Interval(Deadline first, Timeout period, MissedTick missed = MissedTick::SKIP);
  Interval(const Interval& other) noexcept
      : period_(other.period_), next_(other.next_), missed_(other.missed_) {}
  /// Throws std::bad_alloc as reset_at() does.
  Interval& operator=(const Interval& other);
  ~Interval();

  class HEDDLE_EXPORT Tick final : public detail::Operation, private detail::Timer {
   public:
    explicit Tick(Interval& interval) noexcept : detail::Timer(&expire), interval_(interval) {}
    Tick(const Tick& other) noexcept
        : detail::Operation(other), detail::Timer(&expire), interval_(other.interval_) {}
    Tick& operator=(const Tick&) = delete;

    bool await_ready();
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> coroutine) {
      arm();
      suspend(*this, coroutine);
    }
    TimePoint await_resume();

    bool advance() const noexcept { return !armed(); }
    Stop cancel() noexcept override;
    detail::WaitInfo describe() const noexcept override;

   private:
    friend class Interval;

    static void expire(detail::Timer& timer) noexcept;
    void arm();
    void rearm(TimePoint deadline);
    void abandon() noexcept;

    Interval& interval_;
    bool due_ = false;
    bool stopped_ = false;
    bool abandoned_ = false;
  };

  /// Waits for the next tick, or not at all if it is overdue, and yields when it was due. A tick that was not
  /// yielded because the wait was cancelled is yielded by the next tick(). Throws std::logic_error while
  /// another task waits.
  Tick tick() noexcept { return Tick(*this); }

  /// The next tick comes a period from now; also for the task that waits for it. Throws std::bad_alloc as
  /// reset_at() does.
  void reset();
  /// The next tick comes at `next`. Throws std::bad_alloc if a task waits, and then nothing has changed.
  void reset_at(Deadline next);

  Duration period() const noexcept { return period_; }
  /// When the next tick is due.
  TimePoint next() const noexcept { return next_; }

 private:
  TimePoint take(TimePoint now) noexcept;

  Duration period_;
  TimePoint next_;
  MissedTick missed_;
  Tick* waiting_ = nullptr;  // until its turn
};

/// An Interval; the first tick comes a period from now.
inline Interval interval(Timeout period, MissedTick missed = MissedTick::SKIP) {
  return Interval(period, missed);
}
/// The same with the first tick at `first`.
inline Interval interval_at(Deadline first, Timeout period, MissedTick missed = MissedTick::SKIP) {
  return Interval(first, period, missed);
}

}  // namespace heddle

HEDDLE_HEADER_END
