// sleep, sleep_until, yield: waiting for time to pass, or for the others to have their turn.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include "../../selector/timeout.hpp"
#include "../core/deadline.hpp"
#include "../core/operation.hpp"
#include "../core/timer_heap.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

class HEDDLE_EXPORT SleepOperation final : public Operation, private Timer {
 public:
  explicit SleepOperation(Timeout duration) noexcept
      : Timer(&expire), absolute_(false), duration_(duration.duration()) {}
  explicit SleepOperation(const TimePoint& until) noexcept
      : Timer(&expire), absolute_(true), duration_(until.time_since_epoch()) {}
  SleepOperation(const SleepOperation& other) noexcept
      : Operation(other), Timer(&expire), absolute_(other.absolute_), duration_(other.duration_) {}
  SleepOperation& operator=(const SleepOperation&) = delete;

  bool await_ready() {
    begin();
    return false;
  }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) {
    arm();
    suspend(*this, coroutine);
  }
  void await_resume() const {
    if (stopped_) throw_cancelled();
  }

  Stop cancel() noexcept override;
  WaitInfo describe() const noexcept override;

 private:
  void arm();
  static void expire(Timer& timer) noexcept;

  bool forever() const noexcept { return duration_ == Timeout().duration(); }

  // A million sleep at once.
  bool absolute_;
  bool fired_ = false;
  bool stopped_ = false;
  Duration duration_;  // absolute: since the clock's epoch
};
static_assert(sizeof(void*) != 8 || sizeof(SleepOperation) == 40, "flags where Timer leaves room");

}  // namespace detail

/// Suspends the task for `duration`, never less, and hardly more (see EventLoop::call_later); nullopt: until
/// it is cancelled. Zero and less gives the others their turn, as asyncio's sleep(0).
[[nodiscard]] inline detail::SleepOperation sleep(Timeout duration) noexcept {
  return detail::SleepOperation(duration);
}
/// The same until a point of the loop's time(). (By reference: GCC 12 keeps a copy in the coroutine's frame.)
[[nodiscard]] inline detail::SleepOperation sleep_until(const TimePoint& deadline) noexcept {
  return detail::SleepOperation(deadline);
}
template <class D>
[[nodiscard]] detail::SleepOperation sleep_until(
    const std::chrono::time_point<std::chrono::steady_clock, D>& deadline) {
  return detail::SleepOperation(Deadline(deadline).time());
}

namespace detail {

class HEDDLE_EXPORT YieldOperation final : public Operation {
 public:
  bool await_ready() {
    check_can_begin();
    return false;
  }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
    current.task->suspend(*this, &turn<YieldOperation>, coroutine, frame_of(coroutine.promise())).requeue();
  }
  void await_resume() const {
    if (stopped_) [[unlikely]]
      throw_cancelled();
  }

  Stop cancel() noexcept override;

 private:
  bool stopped_ = false;
};

}  // namespace detail

/// Goes to the back of the queue: all that is ready now runs first.
[[nodiscard]] inline detail::YieldOperation yield() noexcept { return detail::YieldOperation(); }

}  // namespace heddle

HEDDLE_HEADER_END
