// TurnObserver: is told of every step of a loop; what runs scenarios for tests looks through it. For .cpp
// files only.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"

namespace heddle {

class TaskState;
struct Runnable;

/// Called by the loop's thread while no task runs, so it may ask tasks to stop.
class HEDDLE_EXPORT TurnObserver {
 public:
  TurnObserver(const TurnObserver&) = delete;
  TurnObserver& operator=(const TurnObserver&) = delete;

  /// `next` is about to have its turn. False: the loop's turn ends before that.
  virtual bool before_turn(Runnable& next) noexcept = 0;
  /// `task` has had its turn and is suspended again.
  virtual void after_turn(TaskState& task) noexcept = 0;

 protected:
  TurnObserver() noexcept = default;
  ~TurnObserver() = default;
};

}  // namespace heddle
