// CompletionList: an observer for each task, and a queue of those that are done.
// SPDX-License-Identifier: MIT
#include "as_completed.hpp"

#include <utility>

#include "../core/frame_allocator.hpp"
#include "../core/scheduler.hpp"

namespace heddle::detail {

class CompletionList::Entry final : public TaskObserver, public FrameAllocated, public ListLink<Entry> {
 public:
  Entry(CompletionList& in, TaskState& of) noexcept : task(of), list_(in) {}

  Ref<TaskState> task;

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
    entry.task->remove_observer(entry);
    delete &entry;
  }
  while (!done_.empty()) pop();
}

void CompletionList::completed(Entry& entry) noexcept {
  IntrusiveList<Entry>::remove(entry);
  done_.push_back(entry);
  grant_waiters();
}

// The first that is done; empty if none is.
Ref<TaskState> CompletionList::pop() noexcept {
  if (done_.empty()) return {};
  Entry& entry = done_.pop_front();
  if (size_ > 0) --size_;
  Ref<TaskState> task = std::move(entry.task);
  delete &entry;
  return task;
}

// To those who wait: what is done, or that there is no more.
void CompletionList::grant_waiters() noexcept {
  while (!waiters_.empty() && (!done_.empty() || size_ == 0)) {
    static_cast<Next&>(waiters_.first()).task_done_ = pop();
    waiters_.grant_first();
  }
}

bool CompletionList::Next::await_ready() {
  check_can_begin();
  const bool granted = list_.waiters_.empty() && (!list_.done_.empty() || list_.size_ == 0);
  if (granted) task_done_ = list_.pop();
  return attempt(granted);
}

Ref<TaskState> CompletionList::Next::take() {
  check("AsCompleted.next()");
  return std::move(task_done_);
}

}  // namespace heddle::detail
