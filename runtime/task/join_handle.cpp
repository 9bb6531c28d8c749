// JoinOperation: waiting for a task's end, and stopping it.
// SPDX-License-Identifier: MIT
#include "join_handle.hpp"

#include <stdexcept>

namespace heddle::detail {

void JoinOperation::throw_awaits_itself() { throw std::logic_error("a task can't await itself"); }

Operation::Stop JoinOperation::cancel() noexcept {
  if (target_.done()) return Stop::TOO_LATE;
  if (passes_on_) return Stop::PASS_ON;
  stop_joining();
  return Stop::STOPPED;
}

Operation::Joined JoinOperation::joined() const noexcept {
  Joined joined;
  if (passes_on_) joined.task = &target_;
  return joined;
}

void JoinOperation::stop_joining() noexcept {
  target_.remove_observer(*this);
  stopped_ = true;
}

// No task runs, or its budget is spent, or it was asked to stop while it ran.
bool JoinOperation::begin_unusually() {
  if (current.task == nullptr) throw_no_task("co_await");
  if (!current.task->cancel_due()) return target_.done() && finished();
  if (target_.done() || !passes_on_) check_task();
  return false;
}

void JoinOperation::pass_on_what_is_due() noexcept {
  task_->take_cancel();
  target_.cancel();
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
