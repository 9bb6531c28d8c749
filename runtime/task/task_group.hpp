// task_group / TaskGroup: tasks that have an end in common.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <exception>
#include <source_location>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include "../core/exception_group.hpp"
#include "../core/finished_tasks.hpp"
#include "../core/operation.hpp"
#include "../core/report.hpp"
#include "../core/task.hpp"
#include "../core/task_state.hpp"
#include "join_handle.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// Tasks that can't outlive the task_group() call which made the group. If one fails, the others, and the
/// body, are cancelled; all that fails is collected. To be used in tasks of that group, the body and its
/// children.
class HEDDLE_EXPORT TaskGroup final : public detail::TaskOwner {
 public:
  /// Starts `task` in this group; where something has failed already, it is cancelled before it starts.
  /// Throws std::logic_error when the group has ended.
  template <class T>
  JoinHandle<T> spawn(Task<T> task HEDDLE_CORO_BOUND,
                      std::source_location where = std::source_location::current()) {
    check_open();
    JoinHandle<T> handle = spawn_for(*this, std::move(task), where);
    if (aborting_) handle.cancel();
    return handle;
  }
  /// The same for `function(arguments...)`, which the new task owns.
  template <class F, class... A>
    requires CoroutineFunction<std::decay_t<F>, std::decay_t<A>...>
  auto spawn(F&& function, A&&... arguments) {
    return spawn(detail::invoke_owned<std::decay_t<F>, std::decay_t<A>...>(std::forward<F>(function),
                                                                           std::forward<A>(arguments)...),
                 std::source_location());
  }

  /// Asks all tasks of the group to stop; the body goes on.
  void cancel() noexcept { cancel_children(); }

  // For task_group() and gather(), which make sure that close() is awaited.

  /// What a child that is cancelled, by itself or by others than the group, is to it.
  enum class OnCancelled : bool {
    GOES_ON,  ///< a child that is done
    ENDS,     ///< the end of the group, as a failure is; and each request to stop the parent goes to all
              ///< children
  };

  /// The group of the current task.
  explicit TaskGroup(OnCancelled on_cancelled = OnCancelled::GOES_ON);
  ~TaskGroup();
  /// Waits for all children, having cancelled them if the body failed or was cancelled. `body` is what the
  /// body threw, and is read when this is awaited: to be called before anything is spawned, because
  /// without memory for its coroutine nobody could be waited for. Yields all that failed; throws Cancelled if
  /// it was this task that was to stop and nothing failed.
  Task<std::vector<std::exception_ptr>> close(const std::exception_ptr& body);
  /// Throws an ExceptionGroup of what close() has yielded, unless that is nothing.
  void throw_if_any(std::vector<std::exception_ptr> errors) const;

 private:
  void child_done(detail::TaskState& child) noexcept override;
  void check_open() const;
  void abort() noexcept;

  detail::TaskState& parent_;
  unsigned parent_shields_ = parent_.shields();
  unsigned requests_before_ = parent_.requests_delivered();  // to stop the parent
  detail::StopRequests::Count own_request_ = 0;              // the mark of ours, once cancelled_parent_
  detail::FinishedTasks failed_;
  AsyncTrace body_trace_;
  OnCancelled on_cancelled_;
  bool child_cancelled_ = false;  // and that ends the group
  bool asked_to_stop_ = false;    // while close() waits, and that was passed on to the children
  bool aborting_ = false;
  bool closing_ = false;
  bool closed_ = false;
  bool cancelled_parent_ = false;  // to get it out of the body
};

/// Runs `body(group)`, which returns a Task and may spawn() into the group; returns what it returns once
/// every task of the group is done. If the body or a task fails, the rest is cancelled and joined, and an
/// ExceptionGroup with everything that failed is thrown. A request to stop the caller stops them all.
template <class Body>
auto task_group(Body body) -> std::invoke_result_t<Body&, TaskGroup&> {
  using T = typename std::invoke_result_t<Body&, TaskGroup&>::value_type;
  TaskGroup group;
  std::exception_ptr failure;
  auto closing = group.close(failure);
  if constexpr (std::is_void_v<T>) {
    try {
      co_await body(group);
    } catch (...) {
      failure = std::current_exception();
    }
    group.throw_if_any(co_await std::move(closing));
  } else {
    std::vector<T> result;  // of one: T need not be default-constructible
    try {
      result.push_back(co_await body(group));
    } catch (...) {
      failure = std::current_exception();
    }
    group.throw_if_any(co_await std::move(closing));
    co_return std::move(result.front());
  }
}

}  // namespace heddle

HEDDLE_HEADER_END
