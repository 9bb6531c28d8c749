// run: a program's way in: one loop, one main task, and nothing left over when it returns.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <source_location>
#include <type_traits>

#include "../core/cancelled.hpp"
#include "../core/task.hpp"
#include "../loop/event_loop.hpp"
#include "join_handle.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

/// When a task is done, the others of its loop are asked to stop: before their next turn, because what lived
/// in its coroutine, at which they may wait, has gone with it.
class HEDDLE_EXPORT ClosesLoop final : private TaskObserver {
 public:
  /// `task` must not be done, and must outlive this. `spared` isn't asked.
  explicit ClosesLoop(TaskState& task, const TaskState* spared = nullptr) noexcept
      : task_(task), loop_(task.owner()->loop()), spared_(spared) {
    task.add_observer(*this);
  }
  ~ClosesLoop() {
    if (!task_.done()) task_.remove_observer(*this);
  }

 private:
  void task_done(TaskState& task) noexcept override;

  TaskState& task_;
  Scheduler& loop_;
  const TaskState* spared_;
};

/// Throws std::logic_error if a loop runs on this thread.
HEDDLE_EXPORT void check_no_loop_runs();
/// Runs `main` on `loop` to its end, then closes the loop. SIGINT cancels `main`, where nobody else handles
/// SIGINT. Returns whether it did.
HEDDLE_EXPORT bool drive_main(EventLoop& loop, TaskState& main);

}  // namespace detail

/// Runs `main` on a new event loop until it is done and returns its result, or throws what it threw. Then
/// every task that is still alive is cancelled and joined, and all timers and callbacks are dropped. What
/// lived in `main` has gone by then: a task that waited for it gets Cancelled.
///
/// The first SIGINT cancels `main`, as in asyncio.run(): a Task<void> that ends by that returns normally, a
/// Task<T> throws Interrupted. A second SIGINT ends the process. A handler for SIGINT that was there before
/// is left alone. Throws std::logic_error when a loop runs on this thread already, ValueError for an unknown
/// selector.
template <class T>
T run(Task<T> main, const LoopOptions& options = {},
      std::source_location where = std::source_location::current()) {
  detail::check_no_loop_runs();
  LoopOptions own = options;
  own.one_thread = true;
  EventLoop loop(own);
  JoinHandle<T> handle = spawn_for(loop, std::move(main), where);
  handle.set_name("main");
  const bool interrupted = detail::drive_main(loop, handle.state());
  if (interrupted && handle.cancelled()) {
    if constexpr (std::is_void_v<T>)
      return;
    else
      throw Interrupted();
  }
  return handle.result();
}

}  // namespace heddle

HEDDLE_HEADER_END
