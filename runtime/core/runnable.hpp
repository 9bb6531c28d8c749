// Runnable, RunQueue: what the event loop runs next, in an intrusive first in, first out list.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <utility>

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// Something an event loop can run. It is linked through itself, so queueing it allocates nothing,
/// and it must not move or die while it is queued.
struct Runnable {
  explicit Runnable(void (*function)(Runnable&)) noexcept : run(function) {}
  Runnable(const Runnable&) = delete;
  Runnable& operator=(const Runnable&) = delete;

  void (*run)(Runnable&);  ///< never throws; not noexcept, so that it may end with a jump
  Runnable* next;          ///< set when it is taken from the queue, or another comes after it

 protected:
  // Virtual, so that a Runnable and what derives from it, which is mostly virtual itself, have one address.
  virtual ~Runnable() = default;
};

class RunQueue {
 public:
  RunQueue() = default;
  RunQueue(const RunQueue&) = delete;
  RunQueue& operator=(const RunQueue&) = delete;

  bool empty() const noexcept { return tail_ == &head_; }

  void push(Runnable& runnable) noexcept {
    *tail_ = &runnable;
    tail_ = &runnable.next;
  }

  /// Takes all that is queued out of the queue, linked in its order; nullptr when there is nothing.
  Runnable* take() noexcept {
    *tail_ = nullptr;
    Runnable* const all = head_;
    taken_tail_ = tail_;
    head_ = nullptr;
    tail_ = &head_;
    return all;
  }
  /// Puts the rest of what was taken last, from `first` on, back in front of what was queued since.
  void put_back(Runnable& first) noexcept {
    if (empty())
      tail_ = taken_tail_;
    else
      *taken_tail_ = head_;
    head_ = &first;
  }
  /// All that is in `other` comes behind what is here.
  void take_all(RunQueue& other) noexcept {
    if (other.empty()) return;
    *tail_ = other.head_;
    tail_ = other.tail_;
    other.head_ = nullptr;
    other.tail_ = &other.head_;
  }
  bool ends_with(const Runnable& runnable) const noexcept { return tail_ == &runnable.next; }
  /// Takes the last one out of a queue that isn't empty. Goes through all.
  Runnable& take_last() noexcept {
    Runnable** last = &head_;
    while (&(*last)->next != tail_) last = &(*last)->next;
    tail_ = last;
    return **last;
  }
  /// What was taken last was brought into another order, which ends with `last`.
  void reordered(Runnable& last) noexcept { taken_tail_ = &last.next; }

 private:
  // The last one's `next` is set when the list is taken.
  Runnable* head_ = nullptr;
  Runnable** tail_ = &head_;
  Runnable** taken_tail_ = nullptr;
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
