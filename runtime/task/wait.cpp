// WaitTasksOperation: one observer for each task that is waited for.
// SPDX-License-Identifier: MIT
#include "wait.hpp"

#include <utility>

#include "../core/ref.hpp"
#include "../core/scheduler.hpp"

namespace heddle::detail {

struct WaitTasksOperation::Watched final : TaskObserver {
  void task_done(TaskState& done) noexcept override { operation->count(done); }

  WaitTasksOperation* operation = nullptr;
  Ref<TaskState> task;
};

WaitTasksOperation::WaitTasksOperation(std::size_t tasks, ReturnWhen when, Timeout timeout)
    : Timer(&expire), tasks_(new Watched[tasks]), timeout_(timeout), when_(when) {}

WaitTasksOperation::WaitTasksOperation(WaitTasksOperation&& other) noexcept
    : Operation(other),
      Timer(&expire),
      tasks_(std::exchange(other.tasks_, nullptr)),
      size_(std::exchange(other.size_, std::size_t{0})),
      timeout_(other.timeout_),
      when_(other.when_) {}

WaitTasksOperation::~WaitTasksOperation() { delete[] tasks_; }

void WaitTasksOperation::add(TaskState& task) noexcept { tasks_[size_++].task = Ref<TaskState>(task); }

bool WaitTasksOperation::satisfied() const noexcept {
  return left_ == 0 || (when_ == ReturnWhen::FIRST_COMPLETED && left_ < size_) ||
         (when_ == ReturnWhen::FIRST_EXCEPTION && failed_);
}

void WaitTasksOperation::count(const TaskState& task) noexcept {
  --left_;
  if (task.outcome() == Outcome::ERROR) failed_ = true;
  if (!waits_) return;
  task_->waits_on();
  if (!satisfied()) return;
  end_wait();
  wake();
}

bool WaitTasksOperation::await_ready() {
  begin();
  left_ = size_;
  failed_ = stopped_ = false;  // it may have been awaited before
  for (std::size_t i = 0; i < size_; ++i)
    if (tasks_[i].task->done()) count(*tasks_[i].task);
  return (satisfied() || timeout_.only_polls()) && finished();
}

void WaitTasksOperation::begin_wait() {
  if (satisfied() || timeout_.only_polls()) {  // the budget is spent
    wake();
    return;
  }
  Scheduler& loop = task_->owner()->loop();
  if (!timeout_.forever()) loop.timers().add(*this, loop.deadline_after(timeout_.duration()));
  waits_ = true;
  for (std::size_t i = 0; i < size_; ++i) {
    tasks_[i].operation = this;
    if (!tasks_[i].task->done()) tasks_[i].task->add_observer(tasks_[i]);
  }
}

void WaitTasksOperation::end_wait() noexcept {
  waits_ = false;
  task_->owner()->loop().timers().remove(*this);
  for (std::size_t i = 0; i < size_; ++i)
    if (!tasks_[i].task->done()) tasks_[i].task->remove_observer(tasks_[i]);
}

void WaitTasksOperation::expire(Timer& timer) noexcept {
  auto& self = static_cast<WaitTasksOperation&>(timer);
  self.end_wait();
  self.wake();
}

Operation::Stop WaitTasksOperation::cancel() noexcept {
  if (!waits_) return Stop::TOO_LATE;
  end_wait();
  stopped_ = true;
  return Stop::STOPPED;
}

std::size_t WaitTasksOperation::await_resume() const {
  if (stopped_) throw_cancelled();
  std::size_t done = 0;
  for (std::size_t i = 0; i < size_; ++i) done += tasks_[i].task->done();
  return done;
}

}  // namespace heddle::detail
