// LoopOptions, LoopCounters: what an event loop is made of, and what it has counted.
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "../../selector/system.hpp"
#include "../../selector/timeout.hpp"
#include "../seeing/slow_turn.hpp"

namespace heddle {

class BaseSelector;

/// What an event loop is made of.
struct LoopOptions {
  /// The selector by name: "default", "epoll", "io_uring", "poll", "select", ... (see make_selector). Unused
  /// when `custom_selector` is set.
  std::string_view selector = "default";
  /// A selector of the caller's, which must outlive the loop.
  BaseSelector* custom_selector = nullptr;
  /// The clock and the kernel, which must outlive the loop and all descriptors made on it. nullptr: the real
  /// ones.
  System* system = nullptr;
  /// Time stands still while something is ready, and jumps to the next deadline when nothing is: an hour of
  /// sleep() takes microseconds. For tests whose other ends are in the same loop: what comes from outside
  /// may come late. While a to_thread() call is out, or OutsideWork stands, time waits for it.
  bool virtual_time = false;
  /// Instead of waiting for ever where nothing can happen any more, throw Deadlock. On with virtual_time. A
  /// thread that will call call_soon_threadsafe() has to hold OutsideWork.
  bool detect_deadlock = false;
  /// SIGQUIT (Ctrl-\) prints the tasks on stderr instead of ending the process: see dump_tasks().
  bool dump_on_sigquit = false;
  /// What is ready at the same time runs in an order that follows from this number, instead of first in,
  /// first out: for tests that try many orders and repeat the one that failed. 0: off.
  std::uint64_t shuffle_seed = 0;
  /// A turn of a task or callback that takes longer is reported while it lasts, by a thread that the loop
  /// starts for that; 0: none is. At most one report a second.
  Duration slow_turn = Duration(0);
  /// Gets those reports, on that thread; nullptr: they are printed on stderr. `argument` is handed on.
  SlowTurnHandler slow_turn_handler = nullptr;
  void* slow_turn_argument = nullptr;
};

/// What a loop has counted since it was made.
struct LoopCounters {
  std::uint64_t turns = 0;          ///< of the loop: at most 64 steps, mostly after a look at the selector
  std::uint64_t resumes = 0;        ///< steps: turns of tasks, and callbacks
  std::uint64_t polls = 0;          ///< calls of the selector
  std::uint64_t waits = 0;          ///< of those, that might sleep
  std::uint64_t events = 0;         ///< ready descriptors
  std::uint64_t wake_ups = 0;       ///< by other threads and signals
  std::uint64_t budget_yields = 0;  ///< a task had spent its budget and let the others go first
  std::uint64_t timers_fired = 0;
  std::uint64_t tasks_spawned = 0;
  std::size_t timers = 0;      ///< that wait now
  Duration lag = Duration(0);  ///< how late the timer that fired last was; among thousands 1 ms is no fault
  Duration max_lag = Duration(0);
};

}  // namespace heddle
