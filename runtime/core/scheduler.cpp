// Scheduler: what is said where no loop runs.
// SPDX-License-Identifier: MIT
#include "scheduler.hpp"

#include <stdexcept>

namespace heddle::detail {

void throw_no_loop() { throw std::logic_error("no event loop is running on this thread"); }

}  // namespace heddle::detail
