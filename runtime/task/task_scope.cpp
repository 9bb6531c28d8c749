// TaskScope: waiting for the first child, and for the last.
// SPDX-License-Identifier: MIT
#include "task_scope.hpp"

#include <cassert>

#include "../../selector/errors.hpp"
#include "../core/all_done.hpp"
#include "race.hpp"

namespace heddle::detail {

namespace {

TaskState& parent_task() {
  if (current.task == nullptr) throw_no_task("starting several tasks at once");
  return *current.task;
}

}  // namespace

void throw_race_of_nothing() { throw ValueError("a race of no tasks has no winner"); }

TaskScope::TaskScope() : TaskOwner(parent_task().owner()->loop()), parent_(*current.task) {
  parent_.add_group(*this);
}

TaskScope::~TaskScope() {
  assert(first_child() == nullptr);
  parent_.remove_group(*this);
}

void TaskScope::child_done(TaskState& child) noexcept {
  parent_.waits_on();
  // Those that end by our own request have not been first.
  if (first_ == nullptr && (!stopping_ || child.outcome() != Outcome::CANCELLED)) first_ = &child;
  if (first_ != nullptr || first_child() == nullptr) AllDone::notify(waits_for_first_);
}

void TaskScope::stop_children() noexcept {
  stopping_ = true;
  cancel_children();
}

Task<bool> TaskScope::close() {
  bool stop = false;
  stop_children();
  while (first_child() != nullptr) {
    try {
      co_await all_done();
    } catch (const Cancelled&) {
      stop = true;
    }
  }
  co_return stop;
}

void TaskScope::put_off_stop(const std::exception_ptr& thrown_now) noexcept {
  if (thrown_now) try {
      std::rethrow_exception(thrown_now);
    } catch (const Cancelled&) {
      return;
    } catch (...) {
    }
  parent_.defer_cancel();
}

Task<const TaskState*> TaskScope::first(const std::exception_ptr& failure) {
  return wait_for_first(failure, close());
}

Task<const TaskState*> TaskScope::wait_for_first(const std::exception_ptr& failure, Task<bool> closing) {
  bool stop = false;
  if (!failure) try {
      co_await AllDone(waits_for_first_, first_ != nullptr || first_child() == nullptr,
                       "the first of its children", true);
    } catch (const Cancelled&) {
      stop = true;
    }
  if (co_await std::move(closing)) stop = true;
  if (failure) {
    if (stop) put_off_stop(failure);
    std::rethrow_exception(failure);
  }
  if (stop) {
    // To the result of one that somebody else has cancelled the request would be a second Cancelled.
    if (first_ == nullptr || first_->outcome() == Outcome::CANCELLED) throw Cancelled();
    parent_.defer_cancel();
  }
  co_return first_;
}

Task<void> TaskScope::all(const std::exception_ptr& failure) { return wait_for_all(failure, close()); }

Task<void> TaskScope::wait_for_all(const std::exception_ptr& failure, Task<bool> closing) {
  bool stop = false;
  while (!failure && first_child() != nullptr) try {
      co_await all_done(stop);
    } catch (const Cancelled&) {
      stop = true;
      stop_children();
    }
  if (co_await std::move(closing)) stop = true;
  if (failure) {
    if (stop) put_off_stop(failure);
    std::rethrow_exception(failure);
  }
  if (stop) throw Cancelled();
}

}  // namespace heddle::detail
