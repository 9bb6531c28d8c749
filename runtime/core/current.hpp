// current: what runs on this thread now. The hot paths look here and nowhere else.
// SPDX-License-Identifier: MIT
#pragma once

#include <coroutine>

#include "../../selector/export.hpp"
#include "../../selector/system.hpp"

namespace heddle {

class EventLoop;
class RunQueue;
class TaskOwner;
class TaskState;

/// The operation that finishes after that many others of its task did, without suspending, has to wait a
/// turn.
inline constexpr int task_budget = 127;
/// The next co_await has to throw.
inline constexpr int no_budget = -1;

/// The running loop and task of a thread.
struct Current {
  EventLoop* loop = nullptr;
  TaskState* task = nullptr;
  System* system = nullptr;    ///< the loop's
  RunQueue* ready = nullptr;   ///< the same
  TaskOwner* owner = nullptr;  ///< the loop, as the owner of tasks
  TimePoint now{};             ///< the loop's clock as it was when it looked at the selector last
  // One look at the sign of each of these two tells that all is as usual. (Of what is counted by one the sign
  // costs nothing to look at; whether it is positive would have to be asked.)

  /// How many more operations the task may finish without suspending before it goes to the back of the queue.
  /// Negative also when its next co_await has to throw, and when no task runs.
  int budget = no_budget;
  /// Counts up to 0, the next look at the selector. Positive when a turn has left something for the loop to
  /// attend to.
  int turns = 0;
  std::coroutine_handle<> target;  ///< a coroutine to go on with, where the compiler can't jump to it

  /// A task has ended, or `target` is set.
  void call_loop() noexcept {
    if (turns < 0) turns += call;
  }
  /// `turns`, whether or not the loop is called.
  int turn_number() const noexcept { return turns > 0 ? turns - call : turns; }
  void call_answered() noexcept {
    if (turns > 0) turns -= call;
  }

 private:
  static constexpr int call = 1 << 30;
};

[[gnu::tls_model("initial-exec")]] HEDDLE_EXPORT inline constinit thread_local Current current{};

}  // namespace heddle
