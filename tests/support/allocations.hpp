// allocations: how often this thread called the global operator new. Not counted under the sanitizers, which
// have their own.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "../../runtime/frame_allocator.hpp"

namespace heddle::test {

inline constexpr bool allocations_are_counted = HEDDLE_RECYCLE_FRAMES != 0;

/// By this thread, since it began.
std::uint64_t allocations() noexcept;

}  // namespace heddle::test
