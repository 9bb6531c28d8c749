// current: what runs on this thread now. The hot paths read this and nothing else.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <coroutine>

#include "../../selector/system.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

class DescriptorTable;
class RunQueue;
class Scheduler;
class TaskState;

/// The operation that finishes after that many others of its task did, without suspending, has to wait a
/// turn.
inline constexpr int task_budget = 127;
/// The next co_await has to throw.
inline constexpr int no_budget = -1;

/// The running loop and task of a thread.
struct Current {
  Scheduler* loop = nullptr;
  TaskState* task = nullptr;
  System* system = nullptr;                ///< the loop's
  RunQueue* ready = nullptr;               ///< the loop's
  DescriptorTable* descriptors = nullptr;  ///< the loop's
  TimePoint now{};                         ///< the loop's clock when the selector was polled last

  // Two counters with a second meaning in their sign, because the processor sets its sign flag with every
  // decrement and increment: testing it costs no instruction of its own, testing a separate flag would.

  /// How many more operations the running task may finish without suspending, before it goes to the back of
  /// the queue. Negative: that many are spent, or the next co_await has to throw Cancelled, or no task runs;
  /// check_task() finds out which.
  int budget = no_budget;
  /// Minus the number of steps that the loop still takes before it reads its clock, or polls the selector
  /// again; each step adds one. Positive: the step has left something for the loop to attend to, and
  /// `attention` was added.
  int steps = 0;
  int granted = 0;  ///< of this turn's steps, those that are taken and those that `steps` still counts
  bool keeps_error = false;        ///< the exception that left a coroutine in this turn: end_trace()
  int charged = 0;                 ///< steps that are taken besides, and that `steps` didn't count
  std::coroutine_handle<> target;  ///< a coroutine to go on with, where the compiler can't jump to it

  /// A task has ended, or `target` is set: the loop attends to that when the step is over.
  void call_loop() noexcept {
    if (steps < 0) steps += attention;
  }
  /// The loop may take so many more steps.
  void grant(int more) noexcept {
    granted += more;
    steps = -more;
  }
  /// How many steps of the turn are over, whether or not the loop was called.
  int step_number() const noexcept { return granted + (steps > 0 ? steps - attention : steps); }
  void call_answered() noexcept {
    if (steps > 0) steps -= attention;
  }
  /// The running task has done, by one operation, what takes as long as `operations` of them, and the step as
  /// long as `more_steps` besides itself: so it has to wait its turn, and the selector is polled, that much
  /// earlier.
  void charge(int operations, int more_steps) noexcept {
    if (budget > 0) budget = operations < budget ? budget - operations : 0;
    const int left = -1 - (steps > 0 ? steps - attention : steps);
    const int taken = more_steps < left ? more_steps : left > 0 ? left : 0;
    steps += taken;
    charged += more_steps - taken;
  }

 private:
  static constexpr int attention = 1 << 30;  // more than any number of steps
};

// Reached without a call, and so of the static TLS that the C library has little of for a library loaded
// later: what is not as hot lies behind a pointer. Not inline, because the linkers of GCC's programs make one
// of an inline variable's copies in all libraries, though each copy of heddle must have its own.
[[gnu::tls_model("initial-exec")]] HEDDLE_EXPORT extern constinit thread_local Current current;

}  // namespace heddle::detail

HEDDLE_HEADER_END
