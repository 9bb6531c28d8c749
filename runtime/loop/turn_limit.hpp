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
/// have their turn. A round is what was ready at the same time. As long as one isn't over nobody else would
/// be served any earlier, first in, first out; so it is mostly when a round ends, and there is another, that
/// the clock is read: after one step, two, four, ... as long as these prove short. What has proved short in
/// one turn isn't measured again in the next: that reads the clock only after twice as many steps. So a loop
/// whose steps are short, or wait for the selector again, reads it no more than before; when they become
/// long, up to 64 of them pass before that is noticed, once: after a turn that was long it is read at each
/// step, and a turn of long steps ends within a round, too.
class TurnLimit {
 public:
  static constexpr int most_steps = 64;
  static constexpr Duration most_time = std::chrono::milliseconds(1);
  /// Of a step. A round of shorter ones is taken to its end.
  static constexpr Duration long_time = std::chrono::microseconds(250);

  /// A turn begins at `now`. Returns how many steps it takes before one of the others is to be called: 1
  /// to 64.
  int begin(TimePoint now) noexcept {
    // The loop may have waited since the turn before, if that has left nothing: how long it was is not known
    // then, unless both were short together.
    const bool was_short = now - began_ < most_time;
    began_ = now;
    measures_each_ = left_any_ && !was_short;
    waits_for_round_ = !left_any_ && !was_short;
    if (!was_short) {
      first_ = 1;
      return granted_ = measures_each_ ? 1 : most_steps;
    }
    int first = 2 * taken_ > first_ / 2 ? 2 * taken_ : first_ / 2;
    if (first < 1) first = 1;
    if (first > most_steps) first = most_steps;
    return granted_ = first_ = first;
  }
  /// The turn is over when it has taken what it was granted: no need to measure.
  bool is_full() const noexcept { return granted_ == most_steps; }
  /// So many steps were taken besides those that were granted. Returns how many of them the turn had left.
  int charge(int steps) noexcept {
    const int taken = steps < most_steps - granted_ ? steps : most_steps - granted_;
    granted_ += taken;
    return taken;
  }
  /// Within a round, too.
  bool measures_each() const noexcept { return measures_each_; }
  /// It has taken what it was granted, within a round. Returns how many more it takes until that ends.
  int until_round() noexcept {
    waits_for_round_ = true;
    const int granted = most_steps - granted_;
    granted_ = most_steps;
    return granted;
  }
  /// end_round() and more() are to be called when the round ends.
  bool waits_for_round() const noexcept { return waits_for_round_; }
  void end_round(int taken) noexcept {
    waits_for_round_ = false;
    granted_ = taken;
  }
  /// It has taken what it was granted, a round has ended, and it is `now`. Returns how many more it takes;
  /// 0: it is over.
  int more(TimePoint now) noexcept {
    if (now - began_ >= most_time) return 0;
    int granted = measures_each_ ? 1 : granted_;
    if (granted > most_steps - granted_) granted = most_steps - granted_;
    granted_ += granted;
    return granted;
  }
  /// The same within a round that is measured.
  int more_within_round(TimePoint now) noexcept {
    if (now - began_ >= most_time && now - began_ >= granted_ * long_time) return 0;
    ++granted_;
    return 1;
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
  bool waits_for_round_ = false;
  bool left_any_ = false;  // by the last turn
  int taken_ = 0;          // in it
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
