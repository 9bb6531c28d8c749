// TaskOwner, TaskObserver: whom a running task belongs to, and who is notified of its end.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <vector>

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

class AllDone;
class Scheduler;
class TaskState;

/// Whoever a running task belongs to: its loop, a TaskGroup, a server. Every task has exactly one owner until
/// it is done.
class HEDDLE_EXPORT TaskOwner {
 public:
  Scheduler& loop() const noexcept { return loop_; }
  TaskState* first_child() const noexcept { return children_; }

  /// Asks every child to stop.
  void cancel_children() noexcept;
  /// Adds the children, those of the groups within them, and so on. Throws std::bad_alloc.
  void collect_tasks(std::vector<TaskState*>& tasks) const;

 protected:
  explicit TaskOwner(Scheduler& loop) noexcept : loop_(loop) {}
  TaskOwner(const TaskOwner&) = delete;
  TaskOwner& operator=(const TaskOwner&) = delete;
  ~TaskOwner() = default;

  /// `co_await all_done()` waits until there are no children; one task at a time may. Cancel-safe. Not for a
  /// loop, whose children's end nobody notifies. In all_done.hpp.
  AllDone all_done() noexcept;
  /// The same, but a request to stop who waits doesn't end the wait: it is passed on to all children, and
  /// `asked` set.
  AllDone all_done(bool& asked) noexcept;
  /// From now on it is ended by a request, as one by all_done() is.
  void pass_nothing_on() noexcept;

  /// `child` has its outcome and is on the list no more. A loop has nothing to do then, and isn't called.
  virtual void child_done(TaskState& /*child*/) noexcept {}

 private:
  friend class TaskState;
  /// child_done(), and who waits for all of them.
  void remove_child(TaskState& child) noexcept;

  Scheduler& loop_;
  TaskState* children_ = nullptr;
  TaskOwner* next_group_ = nullptr;  // of the same task
  AllDone* waiting_ = nullptr;
};

/// Is notified when a task is done. Linked through itself into the task's list, so it must not move or die
/// before it was notified or removed.
class HEDDLE_EXPORT TaskObserver {
 public:
  TaskObserver(const TaskObserver&) = delete;
  TaskObserver& operator=(const TaskObserver&) = delete;

 protected:
  TaskObserver() noexcept = default;
  ~TaskObserver() = default;

 private:
  friend class TaskState;
  /// `task` has its outcome, and this is on its list no more.
  virtual void task_done(TaskState& task) noexcept = 0;

  TaskObserver* next_observer_ = nullptr;  // null: it is on no list
  TaskObserver* previous_observer_ = nullptr;
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
