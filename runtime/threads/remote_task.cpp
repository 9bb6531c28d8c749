// RemoteTask: messages to a task's loop, and how other threads learn of its end.
// SPDX-License-Identifier: MIT
#include "remote_task.hpp"

#include <atomic>
#include <cstdint>

#include "../loop/event_loop.hpp"
#include "../loop/mailbox.hpp"

namespace heddle::detail {

namespace {

// The head of the list of waiters once the task is done.
RemoteWait* done_mark() noexcept { return reinterpret_cast<RemoteWait*>(std::uintptr_t{1}); }

// A message is run by the loop, not on behalf of the task whose turn was last.
void clear_current_task() noexcept {
  current.task = nullptr;
  current.budget = no_budget;
}

class WatchedTask final : public RemoteTask {
 public:
  explicit WatchedTask(TaskState& task) noexcept
      : RemoteTask(task.done() ? nullptr : &static_cast<EventLoop&>(task.owner()->loop()).mailbox()) {
    if (task.done())
      finish();
    else
      watch(task);
  }

 private:
  ~WatchedTask() override = default;
};

}  // namespace

RemoteTask::RemoteTask(Mailbox* mailbox) noexcept {
  if (mailbox != nullptr) mailbox_ = Ref<Mailbox>(*mailbox);
}

RemoteTask::~RemoteTask() = default;

Ref<RemoteTask> RemoteTask::of(TaskState& task) { return Ref<RemoteTask>::adopt(*new WatchedTask(task)); }

void RemoteTask::add_reference() noexcept {
  std::atomic_ref(references_).fetch_add(1, std::memory_order_relaxed);
}

void RemoteTask::release() noexcept {
  if (std::atomic_ref(references_).fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

void RemoteTask::watch(TaskState& task) noexcept {
  add_reference();
  task_ = &task;
  task.add_observer(*this);
}

void RemoteTask::start(EventLoop&) {}

void RemoteTask::take_outcome(TaskState& task) noexcept { outcome_ = task.outcome(); }

void RemoteTask::task_done(TaskState& task) noexcept {
  task_ = nullptr;
  take_outcome(task);
  finish();
  release();
}

void RemoteTask::finish() noexcept {
  std::atomic_ref(done_).store(1, std::memory_order_release);
  std::atomic_ref(done_).notify_all();
  RemoteWait* newest = std::atomic_ref(waiting_).exchange(done_mark(), std::memory_order_acq_rel);
  RemoteWait* first = nullptr;
  while (newest != nullptr) {
    RemoteWait* const older = std::exchange(newest->next_, first);
    first = std::exchange(newest, older);
  }
  while (first != nullptr) {
    RemoteWait& waiting = *first;
    first = waiting.next_;
    waiting.mailbox_->hand_over(waiting.message_);  // from here on it may be gone
  }
}

void RemoteTask::throw_was_cancelled() {
  // It stands for the requests to who waits that came after the end of the task, too.
  if (current.task != nullptr && current.task->cancel_due()) current.task->take_cancel();
  throw_cancelled();
}

bool RemoteTask::post_start() noexcept {
  add_reference();
  if (mailbox_->post(start_message_)) return true;
  outcome_ = Outcome::CANCELLED;
  finish();
  release();
  return false;
}

void RemoteTask::on_start(Runnable& message) noexcept {
  RemoteTask& self = static_cast<Message&>(message).task;
  clear_current_task();
  try {
    self.start(EventLoop::running());
  } catch (...) {
    self.outcome_ = outcome_in_flight();
    self.error_ = std::current_exception();
    self.finish();
  }
  self.release();
}

bool RemoteTask::cancel() noexcept {
  if (done()) return false;
  if (std::atomic_ref(cancel_posted_).exchange(true)) return true;
  add_reference();
  if (mailbox_->post(cancel_message_)) return true;
  release();
  return false;
}

void RemoteTask::on_cancel(Runnable& message) noexcept {
  RemoteTask& self = static_cast<Message&>(message).task;
  std::atomic_ref(self.cancel_posted_).store(false);
  clear_current_task();
  if (self.task_ != nullptr) self.task_->cancel();
  self.release();
}

bool RemoteTask::done() const noexcept {
  return std::atomic_ref(const_cast<unsigned&>(done_)).load(std::memory_order_acquire) != 0;
}

void RemoteTask::wait() const {
  std::atomic_ref(const_cast<unsigned&>(done_)).wait(0, std::memory_order_acquire);
}

// Waiting on a loop.

bool RemoteWait::begin_unusually() {
  if (current.task == nullptr || target_->done()) check_task();
  task_ = current.task;
  return target_->done() && finished();
}

void RemoteWait::begin_wait() noexcept {
  mailbox_ = &EventLoop::running().mailbox();
  outside_ = target_->mailbox_.get() != mailbox_;
  if (outside_) current.loop->expect_outside_work();
  const std::atomic_ref head(target_->waiting_);
  RemoteWait* newest = head.load(std::memory_order_acquire);
  do {
    if (newest == done_mark()) {
      end_wait();
      return;
    }
    next_ = newest;
  } while (!head.compare_exchange_weak(newest, this, std::memory_order_acq_rel, std::memory_order_acquire));
  if (!task_->cancel_due()) return;
  task_->take_cancel();
  asked_ = true;
  if (!is_lost()) {
    target_->cancel();
    return;
  }
  stopped_ = true;
  end_wait();
}

// On its own loop's thread.
void RemoteWait::end_wait() noexcept {
  if (outside_) current.loop->end_outside_work();
  wake();
}

void RemoteWait::on_done(Runnable& message) noexcept { static_cast<Message&>(message).wait.end_wait(); }

bool RemoteWait::is_lost() const noexcept { return outside_ && !target_->process_.is_here(); }

Operation::Stop RemoteWait::cancel() noexcept {
  asked_ = true;
  if (is_lost()) {
    // Nobody takes it off the list: that is the thread's that isn't here.
    stopped_ = true;
    task_->owner()->loop().end_outside_work();
    return Stop::STOPPED;
  }
  return target_->cancel() ? Stop::LATER : Stop::TOO_LATE;
}

// What headers need of a loop.

Mailbox& mailbox_of(EventLoop& loop) noexcept { return loop.mailbox(); }
TaskOwner& owner_of(EventLoop& loop) noexcept { return loop; }

}  // namespace heddle::detail
