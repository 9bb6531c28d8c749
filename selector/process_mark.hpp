// ProcessMark: what was made before a fork() is told from what its child has made, without asking the kernel.
// SPDX-License-Identifier: MIT
#pragma once

#include "export.hpp"  // first

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// Another number in the child of each fork(). Changed by a handler of pthread_atfork(3), which fork() calls
/// in the child's only thread: so it needs no atomic. Children of vfork(2), _Fork(3) and clone(2) keep their
/// parent's.
HEDDLE_EXPORT extern unsigned fork_generation;

/// Remembers the process that made it. A copy remembers the same one.
class ProcessMark {
 public:
  /// False in the child of a fork() that came later. Async-signal-safe.
  [[nodiscard]] bool is_here() const noexcept { return generation_ == fork_generation; }
  /// This process has taken over what is marked.
  void move_here() noexcept { generation_ = fork_generation; }

 private:
  unsigned generation_ = fork_generation;
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
