// DefaultSignal: a signal that Catch2 handles during a test does what it does by itself.
// SPDX-License-Identifier: MIT
#pragma once

#include <signal.h>

namespace heddle::test {

/// As long as this lives nobody handles the signal.
class DefaultSignal {
 public:
  explicit DefaultSignal(int signum) : signum_(signum) {
    struct sigaction action = {};
    action.sa_handler = SIG_DFL;
    ::sigaction(signum, &action, &before_);
  }
  DefaultSignal(const DefaultSignal&) = delete;
  DefaultSignal& operator=(const DefaultSignal&) = delete;
  ~DefaultSignal() { ::sigaction(signum_, &before_, nullptr); }

 private:
  int signum_;
  struct sigaction before_ = {};
};

}  // namespace heddle::test
