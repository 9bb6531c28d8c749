// The trace of the exception in flight, as coroutines and tasks note it. For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include "async_frame.hpp"
#include "report.hpp"

namespace heddle::detail {

class TaskState;

/// The exception that is being handled leaves the coroutine of `frame`.
void note_leaving(const AsyncFrame& frame) noexcept;
/// The trace of `error`, if it is the one that left a coroutine last; empty otherwise, or without memory.
AsyncTrace trace_in_flight(const std::exception_ptr& error) noexcept;
/// The turn in which an exception left a coroutine is over: whatever is thrown later is another one.
void end_trace() noexcept;
/// Hands a report to the running loop's handler, or prints it.
HEDDLE_EXPORT void deliver_report(const Report& report) noexcept;
/// `error` is about to be thrown again, in another task or out of run(): its trace goes on from `trace`.
void resume_trace(const std::exception_ptr& error, std::span<const std::source_location> trace) noexcept;

/// An exception is about to leave the last of heddle's: should it end the process, its trace is printed
/// before what std::terminate() does otherwise.
void trace_at_terminate() noexcept;

}  // namespace heddle::detail
