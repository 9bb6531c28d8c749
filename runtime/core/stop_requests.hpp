// StopRequests, Shield: how many requests to stop a task has got, and which of them wait for a shield to go.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstdint>

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// Holds requests to stop off while it is up. Shields nest; the innermost is the last one raised and the
/// first one lowered. Level n is the inside of n shields: level 0 is outside of all.
class Shield {
 public:
  Shield() noexcept = default;
  Shield(const Shield&) = delete;
  Shield& operator=(const Shield&) = delete;

  /// How many shields are up inside of this one's, itself included.
  std::uint32_t level() const noexcept { return level_; }

 private:
  friend class StopRequests;

  Shield* outer_ = nullptr;
  std::uint32_t level_ = 0;
  std::uint32_t held_ = 0;        // requests that come into force when it is lowered
  std::uint32_t deliveries_ = 0;  // of StopRequests, when it was raised
  bool again_ = false;            // of StopRequests, when it was raised
};

/// The requests to stop one task. Each is in one of three states, and is gone when it is taken back:
///
/// | state     | meaning                                        | left by                         |
/// | --------- | ---------------------------------------------- | ------------------------------- |
/// | held      | a shield inside of its level is up             | lower() of that shield: pending |
/// | pending   | in force; the next co_await has to throw       | deliver(): delivered            |
/// |           |                                                | raise(): held                   |
/// | delivered | in force; a Cancelled was thrown on its behalf |                                 |
///
/// A Cancelled that was thrown may be put off by defer(): then the next co_await throws it again, for a
/// request that stays delivered, unless that is taken back first. deliver() delivers all that are pending:
/// together they make one Cancelled. Counts saturate and never wrap. The shields belong to whoever raises
/// them; the owner of the requests keeps a pointer to the innermost one and hands it in. Only the loop's
/// thread touches any of this.
class HEDDLE_EXPORT StopRequests {
 public:
  using Count = std::uint32_t;

  /// Adds a request of `level` (a part of the task that came to be inside of so many shields). True: it is
  /// pending; false: a shield holds it.
  bool make(Count level, Shield* innermost) noexcept;
  /// What tells a request that is made now at `level` from others when it is taken back.
  Count mark(Count level, const Shield* innermost) const noexcept;
  /// Takes back a request with that `mark`. Every shield inside of its level has to be down again. What was
  /// put off is off if no more are in force than were `delivered_before` its maker began.
  void take_back(Count mark, Count delivered_before) noexcept;
  /// Takes back any: a delivered one if there is one, or else a pending one, or else one that the outermost
  /// shield holds.
  void take_back_any(Shield* innermost) noexcept;

  void deliver() noexcept;
  /// A Cancelled that was thrown is put off to the next co_await. False: there was no request behind it.
  bool defer() noexcept;

  void raise(Shield& shield, Shield*& innermost) noexcept;
  /// Lowers the innermost.
  void lower(Shield*& innermost) noexcept;

  /// The next co_await has to throw.
  bool is_due() const noexcept { return pending_ != 0 || again_; }
  /// Those that the next co_await doesn't throw for.
  Count delivered() const noexcept { return delivered_ - again_; }
  Count in_force() const noexcept { return plus(delivered_, pending_); }
  /// In force or held.
  Count all(const Shield* innermost) const noexcept;

 private:
  static Count plus(Count a, Count b) noexcept { return a + b < a ? ~Count{0} : a + b; }
  static Shield& shield_at(Count level, Shield* innermost) noexcept;

  Count delivered_ = 0;
  Count pending_ = 0;
  Count deliveries_ : 31 = 0;  // at the present level: calls of deliver() that found something pending
  Count again_ : 1 = 0;        // defer() has put a Cancelled off; only while something is delivered
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
