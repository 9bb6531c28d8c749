// allocations: how often this thread called the global operator new. Not counted under the sanitizers, where
// no frame is recycled.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "../../runtime/testing/allocation_faults.hpp"

namespace heddle::test {

inline constexpr bool allocations_are_counted = HEDDLE_RECYCLE_FRAMES != 0;

/// By this thread, since it began.
inline std::uint64_t allocations() noexcept { return allocations_made(); }

}  // namespace heddle::test
