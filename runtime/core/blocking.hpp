// check_may_block: what blocks its thread is not for the thread of a loop.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// Throws std::logic_error where a loop runs on this thread, since `operation` would stop that loop;
/// `instead` is what to do there.
HEDDLE_EXPORT void check_may_block(const char* operation, const char* instead);

}  // namespace heddle::detail

HEDDLE_HEADER_END
