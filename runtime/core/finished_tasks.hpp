// FinishedTasks: tasks that are done and are kept for what they ended with.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include "task_state.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// In the order in which they were added. A task that is done has left its owner's list, so its links are
/// free for this one: adding can't fail. Each task is in one such list at most, and the list holds a
/// reference to it.
class FinishedTasks {
 public:
  FinishedTasks() noexcept = default;
  FinishedTasks(const FinishedTasks&) = delete;
  FinishedTasks& operator=(const FinishedTasks&) = delete;
  ~FinishedTasks() {
    while (first_ != nullptr) {
      TaskState& task = *first_;
      first_ = task.next_sibling_;
      task.release();
    }
  }

  bool empty() const noexcept { return first_ == nullptr; }
  /// Follow by TaskState::next_sibling().
  const TaskState* first() const noexcept { return first_; }
  void push(TaskState& task) noexcept {
    task.add_reference();
    task.next_sibling_ = nullptr;
    *end_ = &task;
    end_ = &task.next_sibling_;
  }

 private:
  TaskState* first_ = nullptr;
  TaskState** end_ = &first_;
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
