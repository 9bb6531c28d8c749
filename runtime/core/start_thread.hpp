// start_thread: a std::thread on which no signal is delivered. For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include <pthread.h>
#include <signal.h>

#include <thread>
#include <utility>

#include "pinned_thread.hpp"

namespace heddle::detail {

/// While it lives, every signal that can be blocked is blocked on this thread.
class AllSignalsBlocked {
 public:
  AllSignalsBlocked() noexcept {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  AllSignalsBlocked(const AllSignalsBlocked&) = delete;
  AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;
  ~AllSignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

/// std::thread(function, arguments...), with all signals blocked on it from its beginning: a thread inherits
/// the mask of the one that creates it, so that one's is changed meanwhile, and put back whether or not this
/// throws. For a library's own threads: signals are for the program's, and such a thread isn't pinned to the
/// core of a loop's (HelpersUnpinned).
template <class Function, class... Arguments>
std::thread start_thread(Function&& function, Arguments&&... arguments) {
  const AllSignalsBlocked blocked;
  const HelpersUnpinned unpinned;
  return std::thread(std::forward<Function>(function), std::forward<Arguments>(arguments)...);
}

}  // namespace heddle::detail
