// LateMail: what other threads post to a loop that closes, and how much of it a turn takes.
// For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include "../core/runnable.hpp"

namespace heddle::detail {

/// Tasks that a loop waits for as it closes may need what other threads post, so it is still taken. But
/// threads may post without end, and faster than the loop runs it: then each step of a task would stand
/// behind more mail than the one before. So no more than 64 are queued at once, and the next ones when these
/// have run.
class LateMail {
 public:
  static constexpr int most_queued = 64;

  LateMail() noexcept = default;
  LateMail(const LateMail&) = delete;
  LateMail& operator=(const LateMail&) = delete;

  /// `posted` and its `next` come behind what is here.
  void add(Runnable* posted) noexcept {
    while (posted != nullptr) {
      Runnable* const next = posted->next;
      waiting_.push(*posted);
      posted = next;
    }
  }
  /// Queues as many as may be queued now, in their order.
  void queue_some(RunQueue& queue) noexcept {
    if (end_.queued) return;
    Runnable* next = waiting_.take();
    for (int left = most_queued; next != nullptr && left > 0; --left) {
      Runnable& each = *next;
      next = each.next;
      queue.push(each);
      end_.queued = true;
    }
    if (next != nullptr) waiting_.put_back(*next);
    if (end_.queued) queue.push(end_);
  }
  /// Queues all.
  void queue_all(RunQueue& queue) noexcept {
    for (Runnable* next = waiting_.take(); next != nullptr;) {
      Runnable& each = *next;
      next = each.next;
      queue.push(each);
    }
  }

 private:
  // Its turn comes when all have run that were queued before it.
  struct End final : Runnable {
    End() noexcept : Runnable(&run_end) {}
    static void run_end(Runnable& self) { static_cast<End&>(self).queued = false; }
    bool queued = false;
  };

  RunQueue waiting_;
  End end_;
};

}  // namespace heddle::detail
