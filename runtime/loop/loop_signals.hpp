// LoopSignals: the signals that one loop has asked for. For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

#include "../core/intrusive_list.hpp"

namespace heddle {

class Callback;
class EventLoop;
class Mailbox;
class SignalStream;

/// Between the signal handler, which may run on any thread at any time, and a loop. All such objects of the
/// process are on a list that the handler walks.
class LoopSignals {
 public:
  static constexpr int most = 64;  ///< the greatest number of a signal

  explicit LoopSignals(EventLoop& loop);
  LoopSignals(const LoopSignals&) = delete;
  LoopSignals& operator=(const LoopSignals&) = delete;
  /// What nobody else wants does what it did before.
  ~LoopSignals();

  /// What came since the last time goes to the callbacks and the streams.
  void deliver() noexcept;
  /// The loop goes on in the child of a fork().
  void adopt() noexcept;
  /// Replaces the callback of `signum`; null for none. Returns whether there was one. Throws
  /// std::system_error.
  bool set_callback(int signum, Callback* callback);
  /// Somebody waits for a signal, other than `signum`.
  bool awaits_any_but(int signum) const noexcept {
    const std::uint64_t wanted = wanted_.load(std::memory_order_relaxed);
    return (signum > 0 ? wanted & ~(std::uint64_t{1} << (signum - 1)) : wanted) != 0;
  }
  void add(SignalStream& stream);
  void remove(SignalStream& stream) noexcept;

 private:
  static void on_signal(int signum);
  static void pass_on(int signum) noexcept;
  void want(int signum);
  void unwant(int signum) noexcept;

  EventLoop& loop_;

  // The handler's part.
  Mailbox& mailbox_;
  std::atomic<int> process_;
  std::atomic<LoopSignals*> next_{nullptr};  // one way: the handler walks the list while it changes
  std::atomic<std::uint64_t> wanted_{0};
  std::atomic<bool> came_{false};
  std::atomic<std::uint32_t> counts_[most + 1] = {};

  // The loop's.
  IntrusiveList<SignalStream> streams_;
  Callback* callbacks_[most + 1] = {};
  unsigned users_[most + 1] = {};
};

}  // namespace heddle
