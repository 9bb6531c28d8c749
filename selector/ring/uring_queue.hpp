// UringQueue: an io_uring(7): requests are queued, submitted in one call, and their completions taken. For
// .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include <liburing.h>

#include <cstdint>

#include "../timeout.hpp"

namespace heddle::detail {

class UringQueue {
 public:
  /// `one_thread`: see LoopOptions. Throws std::system_error when the kernel, or a sandbox, denies a ring.
  explicit UringQueue(bool one_thread);
  UringQueue(const UringQueue&) = delete;
  ~UringQueue() { close(); }
  void close() noexcept;

  int fd() const noexcept { return ring_.ring_fd; }
  io_uring& ring() noexcept { return ring_; }
  /// Its work is done when its thread waits, and not before (IORING_SETUP_DEFER_TASKRUN).
  bool defers() const noexcept { return (ring_.flags & IORING_SETUP_DEFER_TASKRUN) != 0; }
  /// How often io_uring_enter(2) was called.
  std::uint64_t enters() const noexcept { return enters_; }

  /// The next request, to be filled in; nullptr where the kernel takes none at the moment.
  io_uring_sqe* next() noexcept;
  bool has_unsubmitted() noexcept { return io_uring_sq_ready(&ring_) > 0; }
  /// Returns 0 or an errno. Completions are not taken.
  int submit() noexcept;
  /// Submits, and waits until there is a completion to take or `timeout` has passed; until there are `share`,
  /// if that takes no longer than WaitCoalescing::most_delay. No call is made where there is nothing to
  /// submit, to wait for, or to collect. Returns 0 or an errno; EINTR: a signal; EBADR: completions were
  /// lost.
  int enter(Timeout timeout, unsigned share = 1) noexcept;
  /// How many completions there are to take.
  unsigned ready() noexcept { return io_uring_cq_ready(&ring_); }
  /// `visit(completion)` for each completion there is. It may call next().
  template <class Visit>
  void take(Visit&& visit);
  /// Somebody else has closed the ring's descriptor, whose number may be another file's by now.
  bool lost() const noexcept { return lost_; }

 private:
  int wait(Timeout timeout, unsigned share) noexcept;
  int outcome(int result) noexcept;
  bool must_collect() noexcept;

  io_uring ring_{};
  std::uint64_t enters_ = 0;
  bool lost_ = false;
  bool closed_ = false;
};

template <class Visit>
void UringQueue::take(Visit&& visit) {
  for (;;) {
    while (unsigned ready = io_uring_cq_ready(&ring_)) {
      // One at a time: whoever is told of one may submit, and the kernel may need its place.
      for (; ready > 0; --ready) {
        const unsigned head = *ring_.cq.khead;
        io_uring_cqe completion = ring_.cq.cqes[head & ring_.cq.ring_mask];
        io_uring_cq_advance(&ring_, 1);
        visit(completion);
      }
    }
    // Completions that the ring had no room for wait in the kernel.
    if (!io_uring_cq_has_overflow(&ring_)) return;
    ++enters_;
    if (::io_uring_get_events(&ring_) < 0) return;
  }
}

}  // namespace heddle::detail
