// current: what runs on this thread now. The hot paths look here and nowhere else.
// SPDX-License-Identifier: MIT
#pragma once

#include <coroutine>

#include "../selector/export.hpp"

namespace heddle {

class EventLoop;
class System;
class TaskState;

/// How many operations a task may finish in a row without suspending.
inline constexpr int task_budget = 128;

/// The running loop and task of a thread.
struct Current {
  EventLoop* loop;
  TaskState* task;
  System* system;  ///< the loop's
  /// How many more operations the task may finish without suspending before it goes to the back of the queue.
  /// Not positive also when its next co_await has to throw, and when no task runs: one look tells whether all
  /// is as usual.
  int budget;
  /// A turn has left something for the loop to look at: a task that ended, or a coroutine to go on with.
  bool attention;
  std::coroutine_handle<> target;  ///< that coroutine, where the compiler can't jump to it
};

[[gnu::tls_model("initial-exec")]] HEDDLE_EXPORT inline constinit thread_local Current current{};

}  // namespace heddle
