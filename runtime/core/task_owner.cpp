// TaskOwner, AllDone: what is done with the children of one owner, and the wait for their end.
// SPDX-License-Identifier: MIT
#include "task_owner.hpp"

#include "all_done.hpp"
#include "task_state.hpp"

namespace heddle::detail {

void TaskOwner::cancel_children() noexcept { TaskState::cancel_all(children_); }

void TaskOwner::collect_tasks(std::vector<TaskState*>& tasks) const {
  for (TaskState* task = children_; task != nullptr; task = task->next_sibling()) {
    tasks.push_back(task);
    for (const TaskOwner* group = task->first_group(); group != nullptr;
         group = TaskState::next_group(*group))
      group->collect_tasks(tasks);
  }
}

void TaskOwner::remove_child(TaskState& child) noexcept {
  child_done(child);
  if (children_ == nullptr) AllDone::notify(waiting_);
}

void TaskOwner::pass_nothing_on() noexcept {
  if (waiting_ != nullptr) waiting_->pass_nothing_on();
}

Operation::Stop AllDone::cancel() noexcept {
  if (waiting_ == nullptr) return Stop::TOO_LATE;
  if (owner_ != nullptr) {
    *asked_ = true;
    return Stop::PASS_ON;
  }
  waiting_ = nullptr;
  stopped_ = true;
  return Stop::STOPPED;
}

Operation::Joined AllDone::joined() const noexcept {
  Joined joined;
  joined.owner = owner_;
  return joined;
}

WaitInfo AllDone::describe() const noexcept {
  WaitInfo info;
  info.what = what_;
  info.for_children = for_children_;
  return info;
}

}  // namespace heddle::detail
