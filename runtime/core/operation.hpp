// Operation: the base of everything a task can be suspended at, and the protocol by which it is asked to
// stop.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <coroutine>
#include <exception>
#include <optional>

#include "../../selector/events.hpp"
#include "async_frame.hpp"
#include "cancelled.hpp"
#include "task_state.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

[[noreturn]] HEDDLE_EXPORT void throw_no_task(const char* operation);
/// Throws Cancelled if the current task was asked to stop, std::logic_error if no task runs.
HEDDLE_EXPORT void check_task();
/// raise_cancelled(), or what an Injection has in place of it. Cold, so that the call lies in that part of a
/// coroutine which the compiler puts aside. The unwinder goes twice through all that a function does to its
/// stack before the call it passes: in the usual part that is a row of pops for each way out, in this
/// nothing.
[[gnu::cold]] HEDDLE_EXPORT void raise_stop();
/// What await_resume() of an operation that was stopped calls: the request to stop comes out of the co_await.
[[noreturn, gnu::always_inline]] inline void throw_cancelled() {
  raise_stop();
  std::terminate();  // nobody catches it
}

/// What an operation says of itself in a dump of the tasks.
struct WaitInfo {
  const char* what = "an operation";  ///< a noun, of static storage
  int fd = -1;                        ///< the descriptor waited for, and for what
  EventMask events{0};
  std::optional<TimePoint> until = {};
  const TaskState* task = nullptr;  ///< the task whose end is waited for
  bool for_children = false;        ///< nothing but a request to stop can end it before the children are done
};

/// A leaf awaitable: what is at the end of every chain of co_awaits. It lives in the frame of the coroutine
/// that awaits it.
///
/// An operation derives from this and is awaited in these steps. await_ready() or await_suspend() calls
/// begin(), then tries to finish without waiting; if it could, and finished() agrees, the coroutine isn't
/// suspended. Otherwise await_suspend() calls suspend() and arranges for wake() to be called. After a wake(),
/// on the task's turn, advance() says whether the task may go on. await_resume() yields the result, or throws
/// Cancelled if cancel() had stopped it.
class HEDDLE_EXPORT Operation {
 public:
  /// How an operation answers a request to stop.
  enum class Stop : unsigned char {
    STOPPED,   ///< It stopped, nothing was done or lost, and await_resume() will throw Cancelled.
    LATER,     ///< It will stop or finish in a while, and calls wake() then.
    PASS_ON,   ///< The same, and those whose end it waits for, joined(), are to be asked, too.
    TOO_LATE,  ///< It has its result. The request stays, for the task's next co_await.
  };

  Operation(const Operation&) noexcept {}
  Operation& operator=(const Operation&) = delete;

  /// The task's turn has come: true if it may be resumed, false if it has to wait on (wake() is called again
  /// then). Not virtual: suspend() notes which one to call.
  bool advance() noexcept { return true; }
  /// Called when the task is asked to stop while it waits for this operation.
  virtual Stop cancel() noexcept = 0;
  /// Whose end an operation waits for that answers PASS_ON: a task's, or that of all children of an owner.
  struct Joined {
    TaskState* task = nullptr;
    TaskOwner* owner = nullptr;
  };
  virtual Joined joined() const noexcept;
  /// Of one that joins a task: it stops now, as if it had answered STOPPED.
  virtual void stop_joining() noexcept;
  /// Called while a task waits for this operation, by its loop's thread.
  virtual WaitInfo describe() const noexcept;

 protected:
  friend class TaskState;

  Operation() noexcept {}
  ~Operation() = default;

  /// Notes the current task. Throws Cancelled if it was asked to stop, before anything is done;
  /// std::logic_error if no task runs.
  void begin() {
    check_can_begin();
    task_ = current.task;
  }
  static void check_can_begin() {
    if (current.budget < 0) [[unlikely]]
      check_task();
  }

  /// An operation is done without having waited. False when the task has spent its budget: it is to suspend()
  /// and wake() itself then, so that others get their turn.
  static bool finished() noexcept {
    if (--current.budget >= 0) [[likely]]
      return true;
    note_budget_spent();
    return false;
  }
  static void note_budget_spent() noexcept;

  /// Suspends the task until `self`, which is this operation as its own type, has advanced.
  template <class Self>
  void suspend(Self& self, std::coroutine_handle<> coroutine, AsyncFrame* frame) noexcept {
    task_->suspend(self, &turn<Self>, coroutine, frame);
  }
  template <class Self, class Promise>
  void suspend(Self& self, std::coroutine_handle<Promise> coroutine) noexcept {
    suspend(self, coroutine, frame_of(coroutine.promise()));
  }

  void wake() noexcept { task_->schedule(); }

  /// The turn of a task that is suspended at a Self.
  template <class Self>
  static void turn(Runnable& runnable) {
    auto& task = static_cast<TaskState&>(runnable);
    task.begin_turn();
    if (static_cast<Self&>(task.waiting_for()).advance()) task.go_on();
  }

  TaskState* task_;  // set by begin()
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
