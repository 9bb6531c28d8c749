// TurnLimit: how many steps a turn of the loop takes, by their number and by the clock.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <chrono>

#include "../../selector/system.hpp"
#include "../../selector/timeout.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// A turn ends after 64 steps, or when it is found to have taken a millisecond: then timers and descriptors
/// have their turn. The clock is not read at each step, but after one step, two, four, ... as long as these
/// prove short. What has proved short in one turn isn't measured again in the next: that reads the clock only
/// after twice as many steps. So a loop whose steps are short and many reads it no more than before; when
/// they become long, up to 64 of them pass before that is noticed, once: after a turn that was long it is
/// read at each step.
class TurnLimit {
 public:
  static constexpr int most_steps = 64;
  static constexpr Duration most_time = std::chrono::milliseconds(1);

  /// A turn begins at `now`. Returns how many steps it takes before more() is to be asked: 1 to 64.
  int begin(TimePoint now) noexcept {
    int first = 1;
    // The loop may have waited since the turn before, if that has left nothing: how long it was is not known
    // then, unless both were short together.
    const bool was_short = now - began_ < most_time;
    measures_each_ = left_any_ && !was_short;
    if (was_short) {
      first = 2 * taken_ > first_ / 2 ? 2 * taken_ : first_ / 2;
      if (first < 1) first = 1;
      if (first > most_steps) first = most_steps;
    }
    began_ = now;
    return granted_ = first_ = first;
  }
  /// The turn has taken all that it was granted: nothing to measure, it is over.
  bool is_full() const noexcept { return granted_ == most_steps; }
  /// It has taken all that it was granted, and it is `now`. Returns how many more it takes; 0: it is over.
  int more(TimePoint now) noexcept {
    if (now - began_ >= most_time) return 0;
    int granted = measures_each_ ? 1 : granted_;
    if (granted > most_steps - granted_) granted = most_steps - granted_;
    granted_ += granted;
    return granted;
  }
  /// The turn is over, after so many steps; whether something is ready still.
  void end(int taken, bool left_any) noexcept {
    taken_ = taken;
    left_any_ = left_any;
  }

 private:
  TimePoint began_{};
  int first_ = 1;    // how many were granted as the turn began
  int granted_ = 1;  // and by now
  bool measures_each_ = false;
  bool left_any_ = false;  // by the last turn
  int taken_ = 0;          // in it
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
