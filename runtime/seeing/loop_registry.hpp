// LoopRegistry: the loops of the process, for a debugger that asks. For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

namespace heddle::detail {

class Scheduler;

class LoopRegistry {
 public:
  static void add(Scheduler& loop) noexcept;
  static void remove(Scheduler& loop) noexcept;
  /// Prints the tasks of each on stderr.
  static void print_all();
};

}  // namespace heddle::detail
