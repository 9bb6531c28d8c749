// Cancelled, TimeoutError, Interrupted: the exceptions by which the runtime itself speaks to a task.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <stdexcept>

HEDDLE_HEADER_BEGIN

namespace heddle {

/// Thrown out of a co_await in a task that was asked to stop. Let it pass, or clean up and rethrow it. It is
/// no std::exception, so that `catch (const std::exception&)` around a request doesn't swallow the request to
/// stop.
struct HEDDLE_EXPORT Cancelled {
  Cancelled() noexcept;
  Cancelled(const Cancelled&) noexcept;
  Cancelled& operator=(const Cancelled&) noexcept = default;
  virtual ~Cancelled();
};

/// A timeout() or timeout_at() expired before what it guarded was done.
struct HEDDLE_EXPORT TimeoutError : std::runtime_error {
  TimeoutError();
  TimeoutError(const TimeoutError&) noexcept;
  ~TimeoutError() override;
};

/// run() was ended by SIGINT before its task had a result.
struct HEDDLE_EXPORT Interrupted : std::runtime_error {
  Interrupted();
  Interrupted(const Interrupted&) noexcept;
  ~Interrupted() override;
};

/// A loop that checks for it (LoopOptions::detect_deadlock) found that nothing can happen any more: no
/// task is ready, and none waits for a deadline, a descriptor, a signal or another thread. what() lists the
/// tasks.
struct HEDDLE_EXPORT Deadlock : std::logic_error {
  explicit Deadlock(const char* tasks);
  Deadlock(const Deadlock&) noexcept;
  ~Deadlock() override;
};

namespace detail {

/// `throw Cancelled()` at two thirds of its cost (cancelled.cpp tells how). It isn't declared as one that
/// never returns, because it may: if nobody catches the exception.
[[gnu::cold]] HEDDLE_EXPORT void raise_cancelled();

}  // namespace detail

}  // namespace heddle

HEDDLE_HEADER_END
