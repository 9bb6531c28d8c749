// Operation: the base of everything a task can be suspended at, and the protocol by which it is told to stop.
// SPDX-License-Identifier: MIT
#pragma once

#include <coroutine>

#include "async_frame.hpp"
#include "cancelled.hpp"
#include "task_state.hpp"

namespace heddle {

[[noreturn]] HEDDLE_EXPORT void throw_no_task(const char* operation);

/// A leaf awaitable: what is at the end of every chain of co_awaits. It lives in the frame of the coroutine
/// that awaits it.
///
/// An operation derives from this and is awaited in these steps. await_ready() calls begin(), tries to finish
/// without waiting, and if it could, returns finished(); else false. await_suspend() calls suspend() and
/// arranges for wake() to be called. After a wake(), on the task's turn, advance() says whether the task may
/// go on. await_resume() yields the result, or throws Cancelled if cancel() had stopped it.
class HEDDLE_EXPORT Operation {
 public:
  /// How an operation answers a request to stop.
  enum class Stop : unsigned char {
    STOPPED,   ///< It stopped, nothing was done or lost, and await_resume() will throw Cancelled.
    LATER,     ///< It will stop or finish in a while, and calls wake() then.
    TOO_LATE,  ///< It has its result. The request stays, for the task's next co_await.
  };

  Operation(const Operation&) noexcept {}
  Operation& operator=(const Operation&) = delete;

  /// The task's turn has come: true if it may be resumed, false if it has to wait on (wake() is called again
  /// then).
  virtual bool advance() noexcept;
  /// Called when the task is asked to stop while it waits for this operation.
  virtual Stop cancel() noexcept = 0;

 protected:
  Operation() noexcept = default;
  ~Operation() = default;

  /// Notes the current task. Throws Cancelled if it was asked to stop, before anything is done;
  /// std::logic_error if no task runs.
  void begin() {
    task_ = current.task;
    if (task_ == nullptr) [[unlikely]]
      throw_no_task("co_await");
    if (task_->cancel_due()) [[unlikely]] {
      task_->take_cancel();
      throw Cancelled();
    }
  }

  /// An operation is done without having waited. False when the task has spent its budget: it is to suspend()
  /// and wake() itself then, so that others get their turn.
  static bool finished() noexcept { return --current.budget > 0; }

  template <class Promise>
  void suspend(std::coroutine_handle<Promise> coroutine) noexcept {
    task_->suspend(*this, coroutine, frame_of(coroutine.promise()));
  }

  void wake() noexcept { task_->schedule(); }

  TaskState* task_ = nullptr;
};

}  // namespace heddle
