// Cancelled, TimeoutError, Interrupted, Deadlock: one copy of each, for all libraries of a program.
// SPDX-License-Identifier: MIT
#include "cancelled.hpp"

namespace heddle {

Cancelled::Cancelled() noexcept = default;
Cancelled::Cancelled(const Cancelled&) noexcept = default;
Cancelled::~Cancelled() = default;

TimeoutError::TimeoutError() : std::runtime_error("timed out") {}
TimeoutError::TimeoutError(const TimeoutError&) noexcept = default;
TimeoutError::~TimeoutError() = default;

Interrupted::Interrupted() : std::runtime_error("interrupted by SIGINT") {}
Interrupted::Interrupted(const Interrupted&) noexcept = default;
Interrupted::~Interrupted() = default;

Deadlock::Deadlock(const char* tasks) : std::logic_error(tasks) {}
Deadlock::Deadlock(const Deadlock&) noexcept = default;
Deadlock::~Deadlock() = default;

}  // namespace heddle
