// Scheduler: how its end begins, and what is said where no loop runs, and where it has closed.
// SPDX-License-Identifier: MIT
#include "scheduler.hpp"

#include <stdexcept>

#include "task_state.hpp"

namespace heddle::detail {

void Scheduler::begin_close(const TaskState* spared) noexcept {
  if (phase_ != Phase::OPEN) return;
  phase_ = Phase::CLOSING;
  TaskState::cancel_all(first_child(), spared);
}

void throw_no_loop() { throw std::logic_error("no event loop is running on this thread"); }

void Scheduler::throw_loop_closed() { throw std::logic_error("the event loop is closed"); }

}  // namespace heddle::detail
