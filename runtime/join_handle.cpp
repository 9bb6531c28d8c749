// JoinOperation: the list of those who wait for a task, kept by the task.
// SPDX-License-Identifier: MIT
#include "join_handle.hpp"

#include <stdexcept>

#include "event_loop.hpp"

namespace heddle {

bool JoinOperation::await_ready() {
  begin();
  if (&target_ == task_) throw std::logic_error("a task can't await itself");
  return target_.done() && finished();
}

void JoinOperation::enqueue() noexcept {
  if (target_.done()) {
    wake();
    return;
  }
  JoinOperation** last = &target_.joiners_;
  while (*last != nullptr) last = &(*last)->next_;
  *last = this;
}

Operation::Stop JoinOperation::cancel() noexcept { return target_.cancel() ? Stop::LATER : Stop::TOO_LATE; }

void JoinOperation::target_done() noexcept {
  target_.joiners_ = next_;
  wake();
}

void throw_not_done() {
  throw std::logic_error("the result of a task was asked for before the task was done");
}

TaskOwner& running_owner() { return EventLoop::running(); }

}  // namespace heddle
