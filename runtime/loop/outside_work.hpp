// OutsideWork: while it lives, a loop that detects deadlocks expects calls from outside.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include "../core/scheduler.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// While it lives, its loop expects calls from outside (call_soon_threadsafe() by a thread of yours): with
/// virtual time it really waits for them, and takes waiting for them for no deadlock. To be made and
/// destroyed on the loop's thread.
class [[nodiscard]] OutsideWork {
 public:
  /// Of the running loop: throws std::logic_error if none runs.
  OutsideWork() : OutsideWork(detail::running_loop()) {}
  explicit OutsideWork(detail::Scheduler& loop) noexcept : loop_(loop) { loop_.expect_outside_work(); }
  OutsideWork(const OutsideWork&) = delete;
  OutsideWork& operator=(const OutsideWork&) = delete;
  ~OutsideWork() { loop_.end_outside_work(); }

 private:
  detail::Scheduler& loop_;
};

}  // namespace heddle

HEDDLE_HEADER_END
