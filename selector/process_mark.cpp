// ProcessMark: the counter, and the handler that fork() calls in the child.
// SPDX-License-Identifier: MIT
#include "process_mark.hpp"

#include <pthread.h>

namespace heddle::detail {

constinit unsigned fork_generation = 0;

namespace {

// Before main() and before what registers handlers of its own, so that theirs find the new number.
[[maybe_unused]] const int registered = ::pthread_atfork(nullptr, nullptr, [] { ++fork_generation; });

}  // namespace

}  // namespace heddle::detail
