// finally: which of two exceptions goes on.
// SPDX-License-Identifier: MIT
#include "finally.hpp"

#include "../core/task_state.hpp"
#include "../core/trace.hpp"

namespace heddle::detail {

namespace {

bool is_cancelled(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Cancelled&) {
    return true;
  } catch (...) {
    return false;
  }
}

}  // namespace

void throw_after_cleanup(std::exception_ptr body, const AsyncTrace& body_trace, std::exception_ptr cleanup) {
  if (!cleanup) {
    if (!body) return;
    resume_trace(body, body_trace);
    std::rethrow_exception(std::move(body));
  }
  TaskState& task = *current.task;
  if (body && !is_cancelled(body)) {
    if (!is_cancelled(cleanup))
      deliver_report(Report{"a cleanup failed after what it was for had failed", cleanup, task.where(),
                            task.name(), task.id(), trace_in_flight(cleanup)});
    resume_trace(body, body_trace);
    std::rethrow_exception(std::move(body));
  }
  // A Cancelled may also have been thrown by hand, or by a task that was awaited: then nothing is due.
  if (body && !is_cancelled(cleanup) && task.requests_in_force() > 0) task.defer_cancel();
  std::rethrow_exception(std::move(cleanup));
}

}  // namespace heddle::detail
