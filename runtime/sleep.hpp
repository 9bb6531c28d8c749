// sleep, sleep_until, yield: waiting for time to pass, or for the others to have their turn.
// SPDX-License-Identifier: MIT
#pragma once

#include "../selector/timeout.hpp"
#include "operation.hpp"
#include "timer_heap.hpp"

namespace heddle {

class HEDDLE_EXPORT SleepOperation final : public Operation, private Timer {
 public:
  explicit SleepOperation(Timeout duration) noexcept : Timer(&expire), duration_(duration) {}
  explicit SleepOperation(TimePoint until) noexcept : Timer(&expire), absolute_(true) { deadline = until; }
  SleepOperation(const SleepOperation& other) noexcept
      : Operation(other), Timer(&expire), duration_(other.duration_), absolute_(other.absolute_) {
    deadline = other.deadline;
  }
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

  Timeout duration_;
  bool absolute_ = false;
  bool fired_ = false;
  bool stopped_ = false;
};

/// Suspends the task for `duration`, never less; nullopt: until it is cancelled. Zero and less gives the
/// others their turn, as asyncio's sleep(0).
inline SleepOperation sleep(Timeout duration) noexcept { return SleepOperation(duration); }
/// The same until a point of the loop's time().
inline SleepOperation sleep_until(TimePoint deadline) noexcept { return SleepOperation(deadline); }

class HEDDLE_EXPORT YieldOperation final : public Operation {
 public:
  bool await_ready() {
    begin();
    return false;
  }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
    suspend(*this, coroutine);
    wake();
  }
  void await_resume() const {
    if (stopped_) throw_cancelled();
  }

  Stop cancel() noexcept override;

 private:
  bool stopped_ = false;
};

/// Goes to the back of the queue: all that is ready now runs first.
inline YieldOperation yield() noexcept { return YieldOperation(); }

}  // namespace heddle
