// Disturber: which places count, and what is done at the one.
// SPDX-License-Identifier: MIT
#include "disturber.hpp"

#include <utility>

#include "../core/operation.hpp"

namespace heddle::detail {

Disturber::Disturber(Disturbance disturbance, std::uint64_t number, std::exception_ptr error,
                     const DisturbOptions& options) noexcept
    : disturbance_(disturbance), options_(options), left_(number) {
  injection_.error = std::move(error);
  set_injection(&injection_);
}

Disturber::~Disturber() { set_injection(nullptr); }

void Disturber::disturb_if_due() noexcept {
  if (TaskState* const task = std::exchange(due_, nullptr)) disturb(*task);
}

bool Disturber::before_step(Runnable& next) noexcept {
  if (due_ != nullptr) return false;
  if (done_ || disturbance_ != Disturbance::CANCEL) return true;
  if (auto* const task = dynamic_cast<TaskState*>(&next))
    visit(*task, task->started() ? ", about to go on" : ", not started");
  return due_ == nullptr;
}

void Disturber::after_step(TaskState& task) noexcept {
  if (done_ || due_ != nullptr || !can_disturb(task)) return;
  visit(task, ", suspended");
}

bool Disturber::can_disturb(const TaskState& task) const noexcept {
  if (disturbance_ == Disturbance::CANCEL) return true;
  if (disturbance_ != Disturbance::THROW) return false;
  const WaitInfo wait = task.waits_at()->describe();
  return wait.task == nullptr && !wait.for_children;
}

void Disturber::visit(TaskState& task, const char* state) noexcept {
  if (main_ == nullptr || (options_.main_only && &task != main_)) return;
  if (left_ == 0 || --left_ != 0) return;
  place_ = &task == main_ ? "the main task" : "task " + std::to_string(task.id());
  if (!task.name().empty()) place_.append(" \"").append(task.name()).append("\"");
  place_ += state;
  for (const AsyncFrame* frame = task.leaf(); frame != nullptr; frame = frame->parent())
    if (frame->where.line() != 0)
      place_.append(" at ")
          .append(frame->where.file_name())
          .append(":")
          .append(std::to_string(frame->where.line()));
  if (options_.from_outside)
    due_ = &task;
  else
    disturb(task);
}

void Disturber::disturb(TaskState& task) noexcept {
  done_ = true;
  if (disturbance_ == Disturbance::THROW) {
    injection_.task = &task;
    task.cancel_inside(task.shields());
  } else {
    task.cancel();
  }
}

}  // namespace heddle::detail
