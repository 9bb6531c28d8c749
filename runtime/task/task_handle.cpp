// all_tasks: the tasks of a loop and of the groups within them.
// SPDX-License-Identifier: MIT
#include "task_handle.hpp"

#include <algorithm>

#include "../loop/event_loop.hpp"

namespace heddle {

namespace {

void collect(const TaskOwner& owner, std::vector<TaskHandle>& tasks) {
  for (TaskState* task = owner.first_child(); task != nullptr; task = task->next_sibling()) {
    tasks.emplace_back(*task);
    for (const TaskOwner* group = task->first_group(); group != nullptr;
         group = TaskState::next_group(*group))
      collect(*group, tasks);
  }
}

}  // namespace

TaskHandle current_task() noexcept {
  return current.task != nullptr ? TaskHandle(*current.task) : TaskHandle();
}

std::vector<TaskHandle> all_tasks(const EventLoop& loop) {
  std::vector<TaskHandle> tasks;
  collect(loop, tasks);
  std::sort(tasks.begin(), tasks.end(),
            [](const TaskHandle& a, const TaskHandle& b) { return a.id() < b.id(); });
  return tasks;
}

std::vector<TaskHandle> all_tasks() { return all_tasks(EventLoop::running()); }

}  // namespace heddle
