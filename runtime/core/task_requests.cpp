// TaskState: how requests to stop come to a task, are passed on, held off and taken back.
// SPDX-License-Identifier: MIT
#include <cstdint>

#include "operation.hpp"
#include "scheduler.hpp"
#include "task_extras.hpp"
#include "task_owner.hpp"
#include "task_state.hpp"

namespace heddle::detail {

Shield* TaskState::innermost_shield() const noexcept {
  return extras() != nullptr ? extras()->innermost_shield : nullptr;
}

bool TaskState::cancel_inside(unsigned shields) noexcept {
  if (done()) return false;
  owner_->loop().use("JoinHandle.cancel()");
  ask_along(shields);
  forget_asked();
  return true;
}

void TaskState::cancel_all(TaskState* first, const TaskState* spared) noexcept {
  ask_all(first, spared);
  forget_all(first);
}

void TaskState::ask_all(TaskState* first, const TaskState* spared) noexcept {
  for (TaskState* task = first; task != nullptr; task = task->next_sibling_)
    if (task->asked_ == Asked::NO && task != spared) task->ask_along(0);
}

void TaskState::forget_all(TaskState* first) noexcept {
  for (TaskState* task = first; task != nullptr; task = task->next_sibling_) task->forget_asked();
}

// A loop, since tasks may join each other by the hundred thousand; in a circle it comes to one that was
// asked.
void TaskState::ask_along(unsigned shields) noexcept {
  TaskState* last = this;
  TaskState* target = ask(shields);
  while (target != nullptr && target->asked_ == Asked::NO) {
    last = target;
    target = last->ask(0);
  }
  if (target != nullptr && target->asked_ == Asked::NOW) {  // nobody in the circle would ever be done
    last->waiting_->stop_joining();
    last->stop_wait();
  }
  for (TaskState* task = this; task != nullptr && task->asked_ == Asked::NOW;) {
    task->asked_ = Asked::BEFORE;
    task = task->waiting_ != nullptr ? task->waiting_->joined().task : nullptr;
  }
}

void TaskState::forget_asked() noexcept {
  for (TaskState* task = this; task != nullptr && task->asked_ != Asked::NO;) {
    task->asked_ = Asked::NO;
    if (task->waiting_ == nullptr) return;
    const Operation::Joined joined = task->waiting_->joined();
    if (joined.owner != nullptr) forget_all(joined.owner->first_child());
    task = joined.task;
  }
}

// Returns the task to which the request is to be passed on, if there is one.
TaskState* TaskState::ask(unsigned shields) noexcept {
  asked_ = Asked::NOW;
  if (!requests_.make(shields, innermost_shield())) return nullptr;
  const Operation::Stop answer = waiting_ == nullptr ? Operation::Stop::TOO_LATE
                                 : stopping_         ? Operation::Stop::LATER
                                                     : waiting_->cancel();
  if (answer == Operation::Stop::TOO_LATE) {
    update_cancel_due();
    return nullptr;
  }
  requests_.deliver();  // by what the operation ends with
  if (answer == Operation::Stop::STOPPED) stop_wait();
  if (answer != Operation::Stop::PASS_ON) return nullptr;
  const Operation::Joined joined = waiting_->joined();
  if (joined.owner != nullptr) ask_all(joined.owner->first_child());
  return joined.task;
}

void TaskState::stop_wait() noexcept {
  stopping_ = true;
  end_wait();
  schedule();
}

void TaskState::take_back(StopRequests::Count mark, StopRequests::Count delivered_before) noexcept {
  requests_.take_back(mark, delivered_before);
  update_cancel_due();
}

unsigned TaskState::uncancel() noexcept {
  requests_.take_back_any(innermost_shield());
  update_cancel_due();
  return cancel_requests();
}

void TaskState::take_cancel() noexcept {
  requests_.deliver();
  update_cancel_due();
}

void TaskState::defer_cancel() noexcept {
  requests_.defer();
  update_cancel_due();
}

void TaskState::raise_shield(Shield& shield) noexcept {
  requests_.raise(shield, extras()->innermost_shield);
  update_cancel_due();
}

void TaskState::lower_shield() noexcept {
  requests_.lower(extras()->innermost_shield);
  update_cancel_due();
}

// A task that runs now finds out by its budget.
void TaskState::update_cancel_due() noexcept {
  if (requests_.is_due() == cancel_due()) return;
  budget_ = static_cast<std::int8_t>(requests_.is_due() ? no_budget : task_budget);
  if (current.task == this) current.budget = budget_;
}

}  // namespace heddle::detail
