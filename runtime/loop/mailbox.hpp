// Mailbox: where other threads leave work for a loop, and how they wake it. For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>

#include "../../selector/process_mark.hpp"
#include "../core/runnable.hpp"

namespace heddle::detail {

/// A lock-free stack of posted work with a descriptor that becomes readable. Counted references, because a
/// thread may still post to it when the loop is gone.
class Mailbox {
 public:
  /// Throws std::system_error when no descriptor is to be had.
  Mailbox();
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  void add_reference() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  // Any thread.

  /// False when the loop has closed: the work stays the caller's.
  bool post(Runnable& runnable) noexcept;
  /// post() of what may end the loop's life, and with it this, as soon as it has run.
  bool hand_over(Runnable& runnable) noexcept {
    add_reference();
    const bool taken = post(runnable);
    release();
    return taken;
  }
  /// Makes the loop return from what it runs until (see take_interrupt). Async-signal-safe.
  void interrupt() noexcept {
    interrupted_.store(true, std::memory_order_relaxed);
    wake();
  }
  /// Makes the descriptor readable. Nothing in the child of a fork() before renew(): it would wake the
  /// parent. Async-signal-safe.
  void wake() const noexcept;
  /// False in the child of a fork() before renew(). Async-signal-safe.
  bool is_in_its_process() const noexcept { return process_.is_here(); }

  // The loop's thread.

  int descriptor() const noexcept { return read_fd_; }
  bool empty() const noexcept { return head_.load(std::memory_order_acquire) == nullptr; }
  /// All that was posted, oldest first, linked by `next`; nullptr when there is nothing.
  Runnable* take() noexcept;
  /// To be called before the loop sleeps; false if something came in, and then it must not.
  bool fall_asleep() noexcept;
  void awake() noexcept { asleep_.store(false, std::memory_order_relaxed); }
  /// Makes the descriptor unreadable again. Returns 0, or the errno: somebody else has closed it, and it is
  /// lost.
  int drain() noexcept;
  /// Nothing can be waited for at the descriptor any more.
  bool is_lost() const noexcept { return lost_.load(std::memory_order_relaxed); }
  /// Whether interrupt() was called since the last time.
  bool take_interrupt() noexcept { return interrupted_.exchange(false, std::memory_order_relaxed); }
  /// After fork(): the descriptor keeps its number, and is no longer the parent's. Throws std::system_error.
  void renew();
  /// From now on nothing is taken. What was posted before is handed out, as by take().
  Runnable* close() noexcept;

 private:
  ~Mailbox();
  static void prepare(int fd) noexcept;
  static Runnable* oldest_first(Runnable* newest) noexcept;

  std::atomic<Runnable*> head_{nullptr};
  std::atomic<bool> asleep_{false};
  std::atomic<bool> interrupted_{false};
  std::atomic<unsigned> references_{1};
  std::atomic<bool> lost_{false};  // the descriptor's number is another file's by now, or nobody's
  ProcessMark process_;
  int read_fd_ = -1;
  int write_fd_ = -1;
};

}  // namespace heddle::detail
