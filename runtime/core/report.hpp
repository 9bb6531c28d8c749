// Report, AsyncTrace: what went wrong that nobody else would hear of, and where it was.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstdint>
#include <exception>
#include <source_location>
#include <span>
#include <string_view>
#include <vector>

HEDDLE_HEADER_BEGIN

namespace heddle {

/// The places by which an exception went through coroutines, innermost first: for each coroutine the co_await
/// that it had entered last (or the coroutine itself, if none), then the place where the task was spawned,
/// and, when another task joined it, how it went on there.
using AsyncTrace = std::vector<std::source_location>;

/// Something that went wrong and that nobody else will hear of.
struct Report {
  std::string_view message;         ///< what happened
  std::exception_ptr error;         ///< null for what is no exception
  std::source_location where;       ///< where the task was spawned or, of one never awaited, which coroutine
  std::string_view task_name = {};  ///< empty: it has none
  std::uint64_t task_id = 0;        ///< 0: it wasn't in a task
  std::span<const std::source_location> trace = {};
};

/// Prints a report on stderr, with the trace: what a loop does without a handler.
HEDDLE_EXPORT void print_report(const Report& report) noexcept;

/// In a catch block: the trace of the exception that is handled, if it came through a coroutine on this
/// thread (out of a co_await, or of run()). Empty if it didn't, or if another has come through one since.
HEDDLE_EXPORT AsyncTrace async_trace();

/// How a trace is printed: a line for each place.
HEDDLE_EXPORT void print_trace(std::span<const std::source_location> trace) noexcept;

}  // namespace heddle

HEDDLE_HEADER_END
