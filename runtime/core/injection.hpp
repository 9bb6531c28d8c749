// Injection: an exception that comes out of a co_await in place of a Cancelled. For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include <exception>

#include "../../selector/export.hpp"

namespace heddle::detail {

class TaskState;

/// Turns the next Cancelled with which an operation of `task` ends into `error`, and takes the request to
/// stop back. So a task that is asked to stop sees its operation fail instead.
struct Injection {
  TaskState* task = nullptr;
  std::exception_ptr error;
};

/// The one of this thread from now on, nullptr for none. It is disarmed (task = nullptr) when it is thrown.
HEDDLE_EXPORT void set_injection(Injection* injection) noexcept;

}  // namespace heddle::detail
