// Scheduler: what is said where no loop runs, and where it has closed.
// SPDX-License-Identifier: MIT
#include "scheduler.hpp"

#include <stdexcept>

namespace heddle::detail {

void throw_no_loop() { throw std::logic_error("no event loop is running on this thread"); }

void Scheduler::throw_loop_closed() { throw std::logic_error("the event loop is closed"); }

}  // namespace heddle::detail
