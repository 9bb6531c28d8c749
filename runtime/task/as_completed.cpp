// CompletionList: an observer for each task, and a queue of those that are done.
// SPDX-License-Identifier: MIT
#include "as_completed.hpp"

#include <utility>

#include "../core/frame_allocator.hpp"
#include "../loop/event_loop.hpp"

namespace heddle {

class CompletionList::Entry final : public TaskObserver, public FrameAllocated, public ListLink<Entry> {
 public:
  Entry(CompletionList& in, TaskState& of) noexcept : task(of), list_(in) { of.add_reference(); }

  TaskState& task;

 private:
  void task_done(TaskState&) noexcept override { list_.completed(*this); }

  CompletionList& list_;
};

void CompletionList::add_task(TaskState& task) {
  auto& entry = *new Entry(*this, task);
  ++size_;
  pending_.push_front(entry);
  if (task.done())
    completed(entry);
  else
    task.add_observer(entry);
}

CompletionList::~CompletionList() {
  while (!pending_.empty()) {
    Entry& entry = pending_.pop_front();
    entry.task.remove_observer(entry);
    entry.task.release();
    delete &entry;
  }
  size_ = 0;
  while (TaskState* const task = pop()) task->release();
  hand_out();
}

void CompletionList::completed(Entry& entry) noexcept {
  IntrusiveList<Entry>::remove(entry);
  done_.push_back(entry);
  hand_out();
}

// The first that is done, with its reference.
TaskState* CompletionList::pop() noexcept {
  if (done_.empty()) return nullptr;
  Entry& entry = done_.pop_front();
  if (size_ > 0) --size_;
  TaskState& task = entry.task;
  delete &entry;
  return &task;
}

// To those who wait: what is done, or that there is no more.
void CompletionList::hand_out() noexcept {
  while (first_waiting_ != nullptr && (!done_.empty() || size_ == 0)) {
    Next& waiting = *first_waiting_;
    first_waiting_ = waiting.next_;
    waiting.waits_ = false;
    waiting.task_done_ = pop();
    waiting.wake();
  }
}

bool CompletionList::Next::await_ready() {
  begin();
  stopped_ = false;  // it may have been awaited before
  if (list_->first_waiting_ != nullptr || (list_->done_.empty() && list_->size_ > 0)) return false;
  task_done_ = list_->pop();
  return finished();
}

void CompletionList::Next::begin_wait() noexcept {
  if (task_done_ != nullptr || list_->size_ == 0) {  // the budget is spent
    wake();
    return;
  }
  waits_ = true;
  next_ = nullptr;
  Next** last = &list_->first_waiting_;
  while (*last != nullptr) last = &(*last)->next_;
  *last = this;
}

Operation::Stop CompletionList::Next::cancel() noexcept {
  if (!waits_) return Stop::TOO_LATE;
  Next** link = &list_->first_waiting_;
  while (*link != this) link = &(*link)->next_;
  *link = next_;
  waits_ = false;
  stopped_ = true;
  return Stop::STOPPED;
}

TaskState* CompletionList::Next::take() {
  if (stopped_) throw_cancelled();
  return std::exchange(task_done_, nullptr);
}

}  // namespace heddle
