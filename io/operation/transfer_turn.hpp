// most_per_turn, charge_transfer(): how many bytes an operation moves before others have their turns.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>

#include "../../runtime/core/current.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// The most bytes that an operation moves at one turn of its task. What reads or writes "some" moves no more;
/// what moves all goes on at the task's next turn. A system call for so many takes a few hundred
/// microseconds, as long as calls for half and for twice as many in sum.
inline constexpr std::size_t most_per_turn = std::size_t{256} << 10;
/// So many bytes take about as long as an operation takes besides. More of them count as several operations,
/// so a turn of a task moves at most 128 times as much, and one operation's most_per_turn.
inline constexpr std::size_t bytes_of_operation = std::size_t{8} << 10;
/// So many count as a step of the loop, which polls its selector every 64 steps.
inline constexpr std::size_t bytes_of_step = std::size_t{16} << 10;

inline constexpr std::size_t of_one_turn(std::size_t size) noexcept {
  return size < most_per_turn ? size : most_per_turn;
}

/// Bytes were moved: a large transfer is charged to the task's budget, and to the loop's steps. Nothing for a
/// failure, a negative number.
inline void charge_transfer(std::ptrdiff_t moved) noexcept {
  if (moved > static_cast<std::ptrdiff_t>(bytes_of_operation)) [[unlikely]]
    current.charge(static_cast<int>(moved / static_cast<std::ptrdiff_t>(bytes_of_operation)),
                   static_cast<int>(moved / static_cast<std::ptrdiff_t>(bytes_of_step)));
}

}  // namespace heddle::detail

HEDDLE_HEADER_END
