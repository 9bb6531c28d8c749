// TaskScope: children of one call that are waited for one after the other; what race, as_completed and
// gather_settled stand on.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <exception>
#include <source_location>
#include <utility>

#include "../core/operation.hpp"
#include "../core/task.hpp"
#include "../core/task_state.hpp"
#include "join_handle.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// Tasks that a coroutine starts and sees to their end, whatever happens: it has to await first(), all()
/// or close() before it ends, and to call it before it starts any: without memory for their coroutines nobody
/// could be waited for. Unlike those of a TaskGroup they may fail one by one: that stops nobody, and a
/// failure that nobody retrieves goes to the loop's report handler.
class HEDDLE_EXPORT TaskScope final : public TaskOwner {
 public:
  /// The scope of the current task. Throws std::logic_error if none runs.
  TaskScope();
  ~TaskScope();

  template <class T>
  JoinHandle<T> spawn(Task<T> task, std::source_location where = std::source_location::current()) {
    return spawn_for(*this, std::move(task), where);
  }

  /// Waits until one child is done and yields it, after all others were asked to stop and are done. When this
  /// task is asked to stop, they all are; one that has a result or failed nevertheless is yielded, and the
  /// request comes out of the next co_await. Otherwise Cancelled. `failure`, if not null by then, is thrown
  /// instead, after the same. Somebody has to keep a handle of each child meanwhile.
  HEDDLE_CORO_WRAPPER Task<const TaskState*> first(const std::exception_ptr& failure);
  /// Waits until all children are done. Each time when this task is asked to stop, they are, and Cancelled is
  /// thrown at the end.
  /// `failure`, if not null, is thrown, after they were stopped.
  HEDDLE_CORO_WRAPPER Task<void> all(const std::exception_ptr& failure);
  /// Asks all children to stop and waits until they are done, whatever requests to stop this task gets
  /// meanwhile. Yields whether there were such: the caller throws Cancelled for them, or puts it off.
  Task<bool> close();
  /// The requests that close() has told of come out of the next co_await; but if a Cancelled is thrown now,
  /// it stands for them, too.
  void put_off_stop(const std::exception_ptr& thrown_now) noexcept;

 private:
  Task<const TaskState*> wait_for_first(const std::exception_ptr& failure, Task<bool> closing);
  Task<void> wait_for_all(const std::exception_ptr& failure, Task<bool> closing);
  void child_done(TaskState& child) noexcept override;
  void stop_children() noexcept;

  TaskState& parent_;
  AllDone* waits_for_first_ = nullptr;
  const TaskState* first_ = nullptr;
  bool stopping_ = false;
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
