// Timeout: how long select() waits. For ever, or a time; any chrono duration fits, saturating and rounded up.
// SPDX-License-Identifier: MIT
#pragma once

#include "export.hpp"  // first

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <type_traits>

HEDDLE_HEADER_BEGIN

namespace heddle {

using Duration = std::chrono::nanoseconds;

/// For ever (the default, or nullopt), or a number of nanoseconds; with zero or less select() polls, it
/// doesn't block. Durations beyond the range become the longest (292 years), and fractions of a nanosecond
/// are rounded up, so that no wait ends early. A floating-point duration that is NaN is a ValueError.
class Timeout {
 public:
  constexpr Timeout() noexcept = default;
  constexpr Timeout(std::nullopt_t) noexcept {}
  template <class Rep, class Period>
    requires std::is_arithmetic_v<Rep>
  constexpr Timeout(std::chrono::duration<Rep, Period> duration)
      : ns_(nanoseconds<Period>(duration.count())) {}
  template <class Rep, class Period>
  constexpr Timeout(const std::optional<std::chrono::duration<Rep, Period>>& duration)
      : Timeout(duration ? Timeout(*duration) : Timeout()) {}

  [[nodiscard]] constexpr bool forever() const noexcept { return ns_ == FOREVER; }
  /// Zero or negative: select() polls, it doesn't block.
  [[nodiscard]] constexpr bool only_polls() const noexcept { return ns_ <= 0; }
  /// Meaningless when forever().
  [[nodiscard]] constexpr Duration duration() const noexcept { return Duration(ns_); }
  /// The time in whole milliseconds, rounded up and kept within [-1, INT_MAX] as poll(2) wants it: -1 is for
  /// ever.
  [[nodiscard]] constexpr int milliseconds() const noexcept {
    constexpr std::int64_t most = std::numeric_limits<int>::max();
    if (forever()) return -1;
    if (only_polls()) return 0;
    const std::int64_t ms = ns_ / 1'000'000 + (ns_ % 1'000'000 != 0);
    return static_cast<int>(ms < most ? ms : most);
  }
  friend constexpr bool operator==(Timeout, Timeout) noexcept = default;

 private:
  static constexpr std::int64_t FOREVER = std::numeric_limits<std::int64_t>::max();
  static constexpr std::int64_t LONGEST = FOREVER - 1;
  static constexpr std::int64_t SHORTEST = std::numeric_limits<std::int64_t>::min();

  template <class Period, class Rep>
  static constexpr std::int64_t nanoseconds(Rep count);
  [[noreturn]] HEDDLE_EXPORT static void not_a_number();

  std::int64_t ns_ = FOREVER;
};

template <class Period, class Rep>
constexpr std::int64_t Timeout::nanoseconds(Rep count) {
  using Factor = std::ratio_divide<Period, std::nano>;
  if constexpr (std::is_floating_point_v<Rep>) {
    if (count != count) not_a_number();
    // Computed in double, or in the argument's own type if that is wider, so that 1e-9 s is one nanosecond
    // and not rounded up to two.
    using Real = decltype(Rep() * 1.0);
    const Real ns =
        static_cast<Real>(count) * static_cast<Real>(Factor::num) / static_cast<Real>(Factor::den);
    if (ns >= static_cast<Real>(LONGEST)) return LONGEST;
    if (ns <= static_cast<Real>(SHORTEST)) return SHORTEST;
    const auto whole = static_cast<std::int64_t>(ns);
    return whole + (static_cast<Real>(whole) < ns);
  } else {
    std::int64_t ns = 0;
    if (__builtin_mul_overflow(count, Factor::num, &ns)) {
      // Where den isn't 1 the quotient might fit though the product overflows: that is years, too.
      return count > 0 ? LONGEST : SHORTEST;
    }
    if constexpr (Factor::den != 1) ns = ns / Factor::den + (ns % Factor::den > 0);
    return ns < LONGEST ? ns : LONGEST;
  }
}

}  // namespace heddle

HEDDLE_HEADER_END
