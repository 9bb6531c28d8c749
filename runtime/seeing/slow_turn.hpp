// SlowTurn: what is reported of a turn that blocks its loop (LoopOptions::slow_turn).
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstdint>
#include <source_location>
#include <span>
#include <string_view>

#include "../../selector/timeout.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// A turn of a loop that has taken long, and goes on.
struct SlowTurn {
  std::string_view task_name;   ///< empty: it has none, or it is a callback
  std::uint64_t task_id = 0;    ///< 0: a callback
  Duration time = Duration(0);  ///< how long it has taken so far
  /// Where the task went on, or was spawned: the co_await that it came out of, and those around it, innermost
  /// first. What blocks comes after that.
  std::span<const std::source_location> trace = {};
  std::uint64_t not_reported = 0;  ///< slow turns since the last report that were left out
};

/// Gets the reports of slow turns, on a thread of its own.
using SlowTurnHandler = void (*)(const SlowTurn& turn, void* argument);

}  // namespace heddle

HEDDLE_HEADER_END
