// LoopRegistry: the loops of the process, for a debugger that asks. For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

namespace heddle {

class EventLoop;

struct LoopRegistry {
  static void add(EventLoop& loop) noexcept;
  static void remove(EventLoop& loop) noexcept;
  /// Prints the tasks of each on stderr.
  static void print_all();
};

}  // namespace heddle
