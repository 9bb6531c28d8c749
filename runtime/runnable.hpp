// Runnable, RunQueue: what the event loop runs next, in an intrusive first in, first out list.
// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

namespace heddle {

/// Something an event loop can be told to run. It is linked through itself, so queueing it allocates nothing,
/// and it must not move or die while it is queued.
struct Runnable {
  explicit Runnable(void (*function)(Runnable&) noexcept) noexcept : run(function) {}
  Runnable(const Runnable&) = delete;
  Runnable& operator=(const Runnable&) = delete;

  Runnable* next = nullptr;
  void (*run)(Runnable&) noexcept;

 protected:
  ~Runnable() = default;
};

class RunQueue {
 public:
  RunQueue() = default;
  RunQueue(const RunQueue&) = delete;
  RunQueue& operator=(const RunQueue&) = delete;

  bool empty() const noexcept { return head_ == nullptr; }

  void push(Runnable& runnable) noexcept {
    runnable.next = nullptr;
    *tail_ = &runnable;
    tail_ = &runnable.next;
  }

  /// The queue must not be empty.
  Runnable& pop() noexcept {
    Runnable& first = *head_;
    head_ = first.next;
    if (head_ == nullptr) tail_ = &head_;
    return first;
  }

 private:
  Runnable* head_ = nullptr;
  Runnable** tail_ = &head_;
};

}  // namespace heddle
