// Deadline: a point of time as a parameter, of any resolution, saturating.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <chrono>

#include "../../selector/system.hpp"
#include "../../selector/timeout.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// A point on the steady clock as a function takes it: a TimePoint, or one that counts in other units. Those
/// beyond the range become its ends, and fractions of a nanosecond are rounded up; TimePoint::max() is never.
class Deadline {
 public:
  constexpr Deadline(TimePoint time) noexcept : time_(time) {}
  template <class D>
  constexpr Deadline(const std::chrono::time_point<std::chrono::steady_clock, D>& time)
      : time_(saturated(Timeout(time.time_since_epoch()))) {}

  [[nodiscard]] constexpr TimePoint time() const noexcept { return time_; }

 private:
  // Of durations only the longest is never, and what was too long comes a nanosecond before that.
  static constexpr TimePoint saturated(Timeout since_epoch) noexcept {
    return since_epoch.duration() < Duration::max() - Duration(1) ? TimePoint(since_epoch.duration())
                                                                  : TimePoint::max();
  }

  TimePoint time_;
};

}  // namespace heddle

HEDDLE_HEADER_END
