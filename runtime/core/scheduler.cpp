// Scheduler: how its end begins, and what is said where no loop runs.
// SPDX-License-Identifier: MIT
#include "scheduler.hpp"

#include <stdexcept>
#include <utility>

#include "task_state.hpp"

namespace heddle::detail {

void Scheduler::begin_close(const TaskState* spared) noexcept {
  if (std::exchange(closing_, true)) return;
  for (TaskState* task = first_child(); task != nullptr; task = task->next_sibling())
    if (task != spared) task->cancel();
}

void throw_no_loop() { throw std::logic_error("no event loop is running on this thread"); }

}  // namespace heddle::detail
