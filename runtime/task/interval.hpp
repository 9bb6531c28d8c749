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
/// noticed, so that delays don't add up. One task at a time may wait for it.
class HEDDLE_EXPORT Interval final {
 public:
  /// The first tick comes a period from now, by the running loop's clock. Throws ValueError for a period that
  /// is not positive, std::logic_error if no loop runs on this thread.
  explicit Interval(Timeout period, MissedTick missed = MissedTick::SKIP);
  /// The first tick comes at `first`, a point of the loop's time().
  Interval(Deadline first, Timeout period, MissedTick missed = MissedTick::SKIP);

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

    Stop cancel() noexcept override;

   private:
    static void expire(detail::Timer& timer) noexcept;
    void arm();

    Interval& interval_;
    bool fired_ = false;
    bool stopped_ = false;
  };

  /// Waits for the next tick, or not at all if it is overdue, and yields when it was due. A tick that was not
  /// yielded because the wait was cancelled is yielded by the next tick(). Throws std::logic_error while
  /// another task waits.
  Tick tick() noexcept { return Tick(*this); }

  /// The next tick comes a period from now.
  void reset();
  /// The next tick comes at `next`.
  void reset_at(Deadline next) noexcept { next_ = next.time(); }

  Duration period() const noexcept { return period_; }
  /// When the next tick is due.
  TimePoint next() const noexcept { return next_; }

 private:
  TimePoint take(TimePoint now) noexcept;

  Duration period_;
  TimePoint next_;
  MissedTick missed_;
  bool waited_for_ = false;
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
