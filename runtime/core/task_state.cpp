// TaskState: running, cancelling and finishing a spawned task; the out-of-line parts of Task.
// SPDX-License-Identifier: MIT
#include "task_state.hpp"

#include <cxxabi.h>

#include <algorithm>
#include <stdexcept>
#include <typeinfo>

#include "injection.hpp"
#include "operation.hpp"
#include "spawned_task.hpp"  // nearly every task is a SpawnedTask<void>: seen here, the compiler calls that directly
#include "task_extras.hpp"
#include "task_locals.hpp"
#include "trace.hpp"

namespace heddle::detail {

namespace {

// While a coroutine that never started is destroyed, what it was given may be a Task that nobody awaited
// either.
constinit thread_local bool discarding = false;

void discard(std::coroutine_handle<> coroutine) noexcept {
  const bool before = std::exchange(discarding, true);
  coroutine.destroy();
  discarding = before;
}

}  // namespace

Outcome outcome_in_flight() noexcept {
  const std::type_info* const type = abi::__cxa_current_exception_type();
  return type != nullptr && *type == typeid(Cancelled) ? Outcome::CANCELLED : Outcome::ERROR;
}

Outcome outcome_in_flight(const AsyncFrame& frame) noexcept {
  const Outcome outcome = outcome_in_flight();
  if (outcome == Outcome::ERROR) note_leaving(frame);
  return outcome;
}

void drop_unawaited(std::coroutine_handle<> coroutine, const AsyncFrame& frame) noexcept {
  if (!discarding && std::uncaught_exceptions() == 0) {
    Report report{"a Task was never awaited", nullptr, frame.where};
    if (current.task != nullptr) {
      report.task_name = current.task->name();
      report.task_id = current.task->id();
    }
    deliver_report(report);
  }
  discard(coroutine);
}

void throw_task_spent() {
  throw std::logic_error(
      "a Task can be awaited, spawned or run once, and this one was already (or it was moved from)");
}

void throw_no_task(const char* operation) {
  throw std::logic_error(std::string(operation) +
                         " outside of a task: run the coroutine by heddle::run() or heddle::spawn()");
}

namespace {

constinit thread_local Injection* injection = nullptr;

[[noreturn]] void throw_injected() {
  std::exchange(injection->task, nullptr)->uncancel();
  std::rethrow_exception(injection->error);
}

}  // namespace

void set_injection(Injection* to_throw) noexcept { injection = to_throw; }

void raise_stop() {
  if (injection != nullptr && injection->task != nullptr && injection->task == current.task) throw_injected();
  raise_cancelled();
}

void check_task() {
  if (current.task == nullptr) throw_no_task("co_await");
  if (!current.task->cancel_due()) return;
  current.task->take_cancel();
  throw_cancelled();
}

Operation::Joined Operation::joined() const noexcept { return {}; }
void Operation::stop_joining() noexcept {}
WaitInfo Operation::describe() const noexcept { return {}; }

void Operation::note_budget_spent() noexcept { current.loop->count_budget_yield(); }

// Apart, so that the usual task's end saves no registers for it.
[[gnu::noinline]] void TaskState::destroy_rare_parts() noexcept {
  if (outcome_ == Outcome::ERROR && !retrieved_) report_unretrieved();
  if (root_) discard(root_);
  if (TaskExtras* const extras = this->extras()) {
    release_locals(extras->locals);
    delete extras;
  }
  if (outcome_ == Outcome::ERROR) error_.~exception_ptr();
}

std::string_view TaskState::name() const noexcept {
  return extras() != nullptr ? std::string_view(extras()->name) : std::string_view();
}

void TaskState::set_name(std::string_view name) { make_extras().name = name; }

std::span<const std::source_location> TaskState::trace() const noexcept {
  return extras() != nullptr ? std::span<const std::source_location>(extras()->trace)
                             : std::span<const std::source_location>();
}

TaskExtras& TaskState::make_extras() {
  if (TaskExtras* const extras = this->extras()) return *extras;
  auto* const extras = new TaskExtras;
  extras->last_observer = last_observer();
  extras_or_observer_ = reinterpret_cast<std::uintptr_t>(extras) | has_extras;
  return *extras;
}

TaskLocals*& TaskState::make_locals() {
  TaskExtras& extras = make_extras();
  extras_or_observer_ |= has_locals;
  return extras.locals;
}

// A child without memory for its parent's locals begins without any.
void TaskState::inherit_locals(const TaskState& spawner) noexcept try {
  TaskLocals*& locals = make_locals();  // first: it may throw
  locals = share_locals(spawner.extras()->locals);
} catch (const std::bad_alloc&) {
}

bool TaskState::started() const noexcept { return run != &run_first; }

void TaskState::add_group(TaskOwner& group) {
  TaskOwner*& groups = make_extras().groups;
  group.next_group_ = groups;
  groups = &group;
}

void TaskState::remove_group(TaskOwner& group) noexcept {
  TaskOwner** link = &extras()->groups;
  while (*link != &group) link = &(*link)->next_group_;
  *link = group.next_group_;
}

const TaskOwner* TaskState::first_group() const noexcept {
  return extras() != nullptr ? extras()->groups : nullptr;
}

// Where the queue is is known before the task has come from memory, so many of them may be on their way at
// once.
void TaskState::schedule() noexcept {
  __builtin_prefetch(resume_.address(), 1);
  if (&owner_->loop() != current.loop) [[unlikely]]
    return schedule_elsewhere();
  schedule_on(*current.ready);
}

[[gnu::noinline]] void TaskState::schedule_elsewhere() noexcept {
  owner_->loop().use(waiting_ != nullptr ? waiting_->describe().what : "a task");
  schedule_on(owner_->loop().ready_queue());
}

inline TaskObserver* TaskState::last_observer() const noexcept {
  if ((extras_or_observer_ & has_extras) != 0) return extras()->last_observer;
  return reinterpret_cast<TaskObserver*>(extras_or_observer_);
}

inline void TaskState::set_last_observer(TaskObserver* last) noexcept {
  if ((extras_or_observer_ & has_extras) != 0)
    extras()->last_observer = last;
  else
    extras_or_observer_ = reinterpret_cast<std::uintptr_t>(last);
}

// A ring, so that the task needs no more than its last one; linked both ways, so that any of many leaves in
// a step.
void TaskState::add_observer(TaskObserver& observer) noexcept {
  owner_->loop().use("a wait for a task's end");
  TaskObserver* const last = last_observer();
  observer.previous_observer_ = last != nullptr ? last : &observer;
  observer.next_observer_ = last != nullptr ? std::exchange(last->next_observer_, &observer) : &observer;
  observer.next_observer_->previous_observer_ = &observer;
  set_last_observer(&observer);
}

void TaskState::remove_observer(TaskObserver& observer) noexcept {
  TaskObserver* const after = std::exchange(observer.next_observer_, nullptr);
  if (after == nullptr) return;
  if (after == &observer) return set_last_observer(nullptr);
  TaskObserver* const before = observer.previous_observer_;
  if (last_observer() == &observer) set_last_observer(before);
  before->next_observer_ = after;
  after->previous_observer_ = before;
}

inline TaskObserver& TaskState::pop_observer(const TaskObserver& last) noexcept {
  TaskObserver& first = *last.next_observer_;
  remove_observer(first);
  return first;
}

void TaskState::run_first(Runnable& runnable) {
  auto& self = static_cast<TaskState&>(runnable);
  self.begin_turn();
  if (self.cancel_due()) [[unlikely]]
    return self.end_unstarted();
  self.go_on();
}

[[gnu::noinline]] void TaskState::end_unstarted() noexcept {
  discard(std::exchange(root_, nullptr));
  finish();
}

void TaskState::run_ended(Runnable& runnable) {
  auto& self = static_cast<TaskState&>(runnable);
  self.begin_turn();
  self.stopping_ = false;
  const bool is_guest = self.is_guest();
  self.go_on();
  if (is_guest) [[unlikely]]
    self.end_guest_turn();
}

[[gnu::noinline]] void TaskState::go_to_targets() noexcept {
  while (current.target) std::exchange(current.target, nullptr).resume();
}

void TaskState::end_turn() noexcept {
  if (current.target) [[unlikely]]
    go_to_targets();
  current.call_answered();
  TaskState* const task = current.task;  // none, if a callback has resumed a coroutine that is no task's
  if (task != nullptr && task->waiting_ == nullptr && task->root_.done()) task->finish();
  if (current.keeps_error) [[unlikely]]
    end_trace();
}

void TaskState::finish() noexcept {
  Outcome outcome = Outcome::CANCELLED;
  if (root_) {
    outcome = settle();
    root_.destroy();
    root_ = nullptr;
  }
  outcome_ = outcome;
  *link_ = next_sibling_;
  if (next_sibling_ != nullptr) next_sibling_->link_ = link_;
  if (extras_or_observer_ != 0)
    while (const TaskObserver* const last = last_observer()) pop_observer(*last).task_done(*this);
  TaskOwner& owner = *std::exchange(owner_, nullptr);
  if (&owner != current.loop) owner.remove_child(*this);
  current.task = nullptr;
  release();
}

void TaskState::destroy() noexcept {
  if (root_ || (extras_or_observer_ & has_extras) != 0 || outcome_ == Outcome::ERROR) [[unlikely]]
    destroy_rare_parts();
  delete this;
}

Outcome TaskState::keep_error(const std::exception_ptr& error) noexcept {
  ::new (static_cast<void*>(&error_)) std::exception_ptr(error);
  keep_trace();
  return Outcome::ERROR;
}

// A trace is a help only: without memory there is none.
void TaskState::keep_trace() noexcept try {
  if (AsyncTrace trace = trace_in_flight(error_); !trace.empty()) make_extras().trace = std::move(trace);
} catch (const std::bad_alloc&) {
}

void TaskState::report_unretrieved() noexcept {
  deliver_report(Report{"nobody retrieved an exception", error(), where_, name(), id_, trace()});
}

void TaskState::throw_value_taken() {
  throw std::logic_error("the result of a task is given once, and this one was taken already");
}

void TaskState::throw_outcome() const {
  if (outcome_ == Outcome::CANCELLED) {
    // It stands for the requests that came after the end of this task, too.
    if (current.task != nullptr && current.task->cancel_due()) current.task->take_cancel();
    throw Cancelled();
  }
  resume_trace(error_, trace());
  std::rethrow_exception(error_);
}

}  // namespace heddle::detail
