// JoinOperation: waiting for a task's end, and stopping it.
// SPDX-License-Identifier: MIT
#include "join_handle.hpp"

#include <stdexcept>

namespace heddle::detail {

void JoinOperation::throw_awaits_itself() { throw std::logic_error("a task can't await itself"); }

Operation::Stop JoinOperation::cancel() noexcept {
  if (passing_on_) {  // tasks that wait for each other: here the circle is broken
    target_.remove_observer(*this);
    stopped_ = true;
    return Stop::STOPPED;
  }
  passing_on_ = true;
  const bool passed_on = target_.cancel();
  passing_on_ = false;
  return passed_on ? Stop::LATER : Stop::TOO_LATE;
}

WaitInfo JoinOperation::describe() const noexcept {
  WaitInfo info;
  info.what = "task";
  info.task = &target_;
  return info;
}

void JoinOperation::task_done(TaskState&) noexcept { wake(); }

void throw_not_done() {
  throw std::logic_error("the result of a task was asked for before the task was done");
}

void throw_empty_handle() { throw std::logic_error("a handle that refers to no task was asked for one"); }

}  // namespace heddle::detail
