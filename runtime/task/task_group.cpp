// TaskGroup: what happens when a child fails, when the parent is to stop, and at the end.
// SPDX-License-Identifier: MIT
#include "task_group.hpp"

#include <algorithm>
#include <cassert>
#include <string>

#include "../core/all_done.hpp"
#include "../core/scheduler.hpp"
#include "../core/trace.hpp"

namespace heddle {

using namespace detail;

namespace {

TaskState& parent_task() {
  if (current.task == nullptr) throw_no_task("task_group()");
  return *current.task;
}

}  // namespace

TaskGroup::TaskGroup(OnCancelled on_cancelled)
    : TaskOwner(running_loop()), parent_(parent_task()), on_cancelled_(on_cancelled) {
  parent_.add_group(*this);
}

TaskGroup::~TaskGroup() {
  assert(first_child() == nullptr);
  parent_.remove_group(*this);
}

void TaskGroup::check_open() const {
  if (closed_) throw std::logic_error("spawn() into a TaskGroup that has ended");
}

void TaskGroup::abort() noexcept {
  aborting_ = true;
  cancel_children();
}

void TaskGroup::child_done(TaskState& child) noexcept {
  parent_.waits_on();
  if (child.outcome() == Outcome::ERROR) {
    child.mark_retrieved();
    failed_.push(child);
  } else if (child.outcome() != Outcome::CANCELLED || on_cancelled_ != OnCancelled::ENDS) {
    return;
  }
  if (aborting_ || asked_to_stop_) return;  // they have been asked
  child_cancelled_ = child.outcome() == Outcome::CANCELLED;
  abort();
  pass_nothing_on();
  if (closing_) return;
  own_request_ = parent_.mark_request(parent_shields_);
  cancelled_parent_ = parent_.cancel_inside(parent_shields_);
}

Task<std::vector<std::exception_ptr>> TaskGroup::close(const std::exception_ptr& body) {
  closing_ = true;
  bool stop = false;         // a request to stop that this task has to pass on
  bool body_failed = false;  // by something else
  if (body) {
    body_trace_ = trace_in_flight(body);
    if (!aborting_) abort();
    try {
      std::rethrow_exception(body);
    } catch (const Cancelled&) {
      stop = true;
    } catch (...) {
      body_failed = true;
    }
  }
  if (cancelled_parent_) {
    parent_.take_back(own_request_, requests_before_);
    if (parent_.requests_in_force() <= requests_before_) stop = false;  // nobody else has asked for it
  }
  while (first_child() != nullptr) {
    try {
      if (on_cancelled_ == OnCancelled::ENDS && !aborting_)
        co_await all_done(asked_to_stop_);
      else
        co_await all_done();
    } catch (const Cancelled&) {
      stop = true;
      if (!aborting_) abort();
    }
  }
  stop = stop || asked_to_stop_;
  closed_ = true;
  std::vector<std::exception_ptr> errors;
  for (const TaskState* child = failed_.first(); child != nullptr; child = child->next_sibling())
    errors.push_back(child->error());
  // It may be a child's that the body joined and let pass.
  if (body_failed && std::find(errors.begin(), errors.end(), body) == errors.end()) errors.push_back(body);
  if (stop) {
    if (errors.empty()) throw Cancelled();
    // The errors are thrown now, and the request to stop by the next co_await. (A Cancelled that was thrown
    // by hand, or by a task that the body has joined, has no request behind it.)
    if (parent_.requests_in_force() > requests_before_) parent_.defer_cancel();
  }
  if (child_cancelled_ && errors.empty()) throw Cancelled();
  if (!failed_.empty())
    resume_trace(errors.front(), failed_.first()->trace());  // gather() throws the first again
  co_return errors;
}

void TaskGroup::throw_if_any(std::vector<std::exception_ptr> errors) const {
  if (errors.empty()) return;
  std::vector<AsyncTrace> traces;
  for (const TaskState* child = failed_.first(); child != nullptr; child = child->next_sibling())
    traces.emplace_back(child->trace().begin(), child->trace().end());
  if (traces.size() < errors.size()) traces.push_back(body_trace_);
  throw ExceptionGroup(std::move(errors), std::move(traces));
}

}  // namespace heddle
