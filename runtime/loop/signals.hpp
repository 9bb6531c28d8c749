// signal, SignalStream: POSIX signals, awaited.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <coroutine>
#include <cstdint>
#include <type_traits>

#include "../core/intrusive_list.hpp"
#include "../core/task.hpp"
#include "../core/wait_list.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

class LoopSignals;

}  // namespace detail

/// Some signals by number. Throws ValueError for what is no signal, and for those that can't be caught
/// (SIGKILL, SIGSTOP) or must not be returned from (SIGSEGV, SIGBUS, SIGFPE, SIGILL).
class HEDDLE_EXPORT SignalSet {
 public:
  template <class... S>
    requires(sizeof...(S) > 0 && (std::is_same_v<S, int> && ...))
  explicit SignalSet(S... signums) {
    (add(signums), ...);
  }

  void add(int signum);
  bool contains(int signum) const noexcept {
    return signum >= 1 && signum <= 64 && (bits_ >> (signum - 1) & 1) != 0;
  }

 private:
  std::uint64_t bits_ = 0;
};

/// Receives signals from when it is made until it is destroyed, on the loop that runs then; none is missed
/// between two next(). Every stream, and every handler, of every loop of the process that asked for a signal
/// gets it; what the signal did before is done again when the last of them is gone.
class HEDDLE_EXPORT SignalStream : private detail::ListLink<SignalStream> {
 public:
  /// Throws std::logic_error if no loop runs on this thread, ValueError as SignalSet does.
  explicit SignalStream(const SignalSet& signals);
  template <class... S>
    requires(sizeof...(S) > 0 && (std::is_same_v<S, int> && ...))
  explicit SignalStream(S... signums) : SignalStream(SignalSet(signums...)) {}
  SignalStream(const SignalStream&) = delete;
  SignalStream& operator=(const SignalStream&) = delete;
  /// Who still waits for a signal gets std::logic_error.
  ~SignalStream();

  class HEDDLE_EXPORT Next final : public detail::WaitOperation {
   public:
    explicit Next(SignalStream& stream) noexcept : stream_(stream) {}

    bool await_ready();
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
      wait(stream_.waiters_, coroutine);
    }
    int await_resume() const {
      check("SignalStream.next()");
      return signum_;
    }

   private:
    friend class SignalStream;

    SignalStream& stream_;
    int signum_ = 0;  // the one it was given
  };

  /// Waits for a signal and yields its number. If several came meanwhile each is yielded as often as it was
  /// delivered (the kernel delivers a signal once that was sent again before it was). Of several who wait the
  /// first gets it; a wait that is cancelled loses none. Throws std::logic_error once the loop has closed.
  Next next() noexcept { return Next(*this); }
  /// A signal that has come already, 0 if there is none.
  int try_next() noexcept;

 private:
  friend class detail::LoopSignals;
  friend class detail::IntrusiveList<SignalStream>;

  void deliver(int signum, std::uint32_t count) noexcept;
  void grant_waiters() noexcept;

  SignalSet set_;
  detail::LoopSignals* signals_ = nullptr;  // null when the loop has closed
  detail::WaitList waiters_;
  int last_ = 0;  // the number that was yielded last: the search for the next begins after it
  std::uint32_t counts_[64] = {};
};

/// What signal() runs.
HEDDLE_EXPORT Task<int> first_signal(SignalSet signals);

/// Waits for one of these signals and yields its number. They are caught only while it is awaited: a loop
/// that awaits them again and again wants a SignalStream. Throws ValueError as SignalSet does.
template <class... S>
  requires(sizeof...(S) > 0 && (std::is_same_v<S, int> && ...))
HEDDLE_CORO_OWNER Task<int> signal(S... signums) {
  return first_signal(SignalSet(signums...));
}

}  // namespace heddle

HEDDLE_HEADER_END
