// all_tasks: in the order in which they were spawned.
// SPDX-License-Identifier: MIT
#include "task_handle.hpp"

#include <algorithm>
#include <stdexcept>

#include "../core/scheduler.hpp"

namespace heddle {

using namespace detail;

void TaskHandle::throw_empty() {
  throw std::logic_error("a TaskHandle that refers to no task was asked for it");
}

TaskHandle current_task() noexcept {
  return current.task != nullptr ? TaskHandle(*current.task) : TaskHandle();
}

std::vector<TaskHandle> all_tasks(const Scheduler& loop) {
  std::vector<TaskState*> states;
  loop.collect_tasks(states);
  std::sort(states.begin(), states.end(),
            [](const TaskState* a, const TaskState* b) { return a->id() < b->id(); });
  std::vector<TaskHandle> tasks;
  tasks.reserve(states.size());
  for (TaskState* const state : states) tasks.emplace_back(*state);
  return tasks;
}

std::vector<TaskHandle> all_tasks() { return all_tasks(running_loop()); }

}  // namespace heddle
