// LoopSignals: the signals that one loop has asked for. For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

#include "../core/intrusive_list.hpp"

namespace heddle {

class EventLoop;
class SignalStream;

}  // namespace heddle

namespace heddle::detail {

class Callback;
class Mailbox;

/// Between the signal handler, which may run on any thread at any time, and a loop. All such objects of the
/// process are on a list that the handler walks.
class LoopSignals {
 public:
  static constexpr int most = 64;  ///< the greatest number of a signal

  explicit LoopSignals(EventLoop& loop);
  LoopSignals(const LoopSignals&) = delete;
  LoopSignals& operator=(const LoopSignals&) = delete;
  /// What no other loop catches does what it did before.
  ~LoopSignals();

  /// Gives the signals that came since the last call to the callbacks and the streams.
  void deliver() noexcept;
  /// The loop goes on in the child of a fork().
  void adopt() noexcept;
  /// Replaces the callback of `signum`; null for none. Returns whether there was one. Throws
  /// std::system_error.
  bool set_callback(int signum, Callback* callback);
  /// The callback of `signum` wakes nobody: it only prints.
  void set_passive(int signum) noexcept { passive_ = signum; }
  /// Whether a signal is caught that may wake a task.
  bool can_wake_anybody() const noexcept;
  void add(SignalStream& stream);
  void remove(SignalStream& stream) noexcept;

 private:
  static void on_signal(int signum);
  static void pass_on(int signum) noexcept;
  static int install(int signum) noexcept;
  void start_catching(int signum);
  void stop_catching(int signum) noexcept;

  EventLoop& loop_;

  // Shared with the handler.
  Mailbox& mailbox_;
  std::atomic<int> process_;
  std::atomic<LoopSignals*> next_{nullptr};  // one way: the handler walks the list while it changes
  std::atomic<std::uint64_t> caught_{0};
  std::atomic<bool> pending_{false};
  std::atomic<std::uint32_t> counts_[most + 1] = {};

  // For the loop's thread only.
  IntrusiveList<SignalStream> streams_;
  Callback* callbacks_[most + 1] = {};
  unsigned users_[most + 1] = {};
  int passive_ = 0;  // the signal whose callback is so; 0: none
};

}  // namespace heddle::detail
