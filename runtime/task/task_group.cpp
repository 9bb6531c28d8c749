// TaskGroup: what happens when a child fails, when the parent is to stop, and at the end.
// SPDX-License-Identifier: MIT
#include "task_group.hpp"

#include <algorithm>
#include <cassert>
#include <string>

#include "../core/trace.hpp"
#include "../loop/event_loop.hpp"

namespace heddle {

namespace {

TaskState& parent_task() {
  if (current.task == nullptr) throw_no_task("task_group()");
  return *current.task;
}

std::string message_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& exception) {
    return exception.what();
  } catch (...) {
    return "no std::exception";
  }
}

std::string summary_of(const std::vector<std::exception_ptr>& exceptions, const char* in) {
  std::string text =
      std::to_string(exceptions.size()) + (exceptions.size() == 1 ? " error in " : " errors in ") + in;
  const char* separator = ": ";
  for (const std::exception_ptr& exception : exceptions) {
    text += separator + message_of(exception);
    separator = "; ";
  }
  return text;
}

}  // namespace

ExceptionGroup::ExceptionGroup(std::vector<std::exception_ptr> exceptions, std::vector<AsyncTrace> traces,
                               const char* in)
    : std::runtime_error(summary_of(exceptions, in)),
      exceptions_(std::move(exceptions)),
      traces_(std::move(traces)) {
  traces_.resize(exceptions_.size());
}
ExceptionGroup::ExceptionGroup(const ExceptionGroup&) = default;
ExceptionGroup::~ExceptionGroup() = default;

// Waits until the group has no children.
class TaskGroup::Join final : public Operation {
 public:
  explicit Join(TaskGroup& group) noexcept : group_(group) {}

  bool await_ready() {
    begin();
    return group_.first_child() == nullptr;
  }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
    group_.joining_ = this;
    suspend(*this, coroutine);
  }
  void await_resume() const {
    if (stopped_) throw_cancelled();
  }
  WaitInfo describe() const noexcept override {
    WaitInfo info;
    info.what = "its children";
    info.for_children = true;
    return info;
  }

  Stop cancel() noexcept override {
    if (group_.joining_ == nullptr) return Stop::TOO_LATE;
    group_.joining_ = nullptr;
    stopped_ = true;
    return Stop::STOPPED;
  }
  void group_empty() noexcept {
    group_.joining_ = nullptr;
    wake();
  }

 private:
  TaskGroup& group_;
  bool stopped_ = false;
};

TaskGroup::TaskGroup() : TaskOwner(EventLoop::running()), parent_(parent_task()) { parent_.add_group(*this); }

TaskGroup::~TaskGroup() {
  assert(first_child() == nullptr);
  parent_.remove_group(*this);
  while (failed_ != nullptr) std::exchange(failed_, failed_->next_sibling_)->release();
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
    child.add_reference();
    child.next_sibling_ = nullptr;
    *failed_end_ = &child;
    failed_end_ = &child.next_sibling_;
    if (!aborting_) {
      abort();
      if (!closing_ && !cancelled_parent_) cancelled_parent_ = parent_.cancel_inside(parent_shields_);
    }
  }
  if (first_child() == nullptr && joining_ != nullptr) joining_->group_empty();
}

Task<std::vector<std::exception_ptr>> TaskGroup::close(const std::exception_ptr& body) {
  closing_ = true;
  bool stop = false;         // a request to stop that this task has to pass on
  bool body_failed = false;  // by something else
  if (body) {
    body_trace_ = trace_in_flight(body);
    abort();
    try {
      std::rethrow_exception(body);
    } catch (const Cancelled&) {
      stop = true;
    } catch (...) {
      body_failed = true;
    }
  }
  if (cancelled_parent_) {
    parent_.uncancel(requests_before_);
    if (parent_.requests_in_force() <= requests_before_) stop = false;  // nobody else has asked for it
  }
  while (first_child() != nullptr) {
    try {
      co_await Join(*this);
    } catch (const Cancelled&) {
      stop = true;
      if (!aborting_) abort();
    }
  }
  closed_ = true;
  std::vector<std::exception_ptr> errors;
  for (const TaskState* child = failed_; child != nullptr; child = child->next_sibling_)
    errors.push_back(child->error());
  // It may be a child's that the body joined and let pass.
  if (body_failed && std::find(errors.begin(), errors.end(), body) == errors.end()) errors.push_back(body);
  if (stop) {
    if (errors.empty()) throw Cancelled();
    // The errors are thrown now, and the request to stop by the next co_await.
    parent_.defer_cancel();
  }
  if (failed_ != nullptr) resume_trace(errors.front(), failed_->trace());  // gather() throws the first again
  co_return errors;
}

void TaskGroup::throw_if_any(std::vector<std::exception_ptr> errors) const {
  if (errors.empty()) return;
  std::vector<AsyncTrace> traces;
  for (const TaskState* child = failed_; child != nullptr; child = child->next_sibling_)
    traces.emplace_back(child->trace().begin(), child->trace().end());
  if (traces.size() < errors.size()) traces.push_back(body_trace_);
  throw ExceptionGroup(std::move(errors), std::move(traces));
}

}  // namespace heddle
