// LoopRegistry: the loops of the process, and which of them another thread drives. For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace heddle::detail {

class Scheduler;

class LoopRegistry {
 public:
  static void add(Scheduler& loop) noexcept;
  static void remove(Scheduler& loop) noexcept;
  /// The loop with that number is still there, and another thread drives it now. Numbers are never used
  /// again.
  static bool runs_elsewhere(std::uint64_t loop_number) noexcept;
  /// Calls `function` with each, without the lock: for a debugger, which has stopped all threads, of which
  /// one may hold it. In the child of a fork() the parent's loops are still on the list: their threads, which
  /// aren't there, may have been changing them.
  template <class Function>
  static void for_each(Function function);

 private:
  static Scheduler* first() noexcept;
  static Scheduler* next(const Scheduler& loop) noexcept;
};

template <class Function>
void LoopRegistry::for_each(Function function) {
  for (Scheduler* loop = first(); loop != nullptr; loop = next(*loop)) function(*loop);
}

}  // namespace heddle::detail
