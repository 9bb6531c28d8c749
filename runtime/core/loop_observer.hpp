// LoopObserver: is notified of every step of a loop, and may change their order. For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"
#include "runnable.hpp"

namespace heddle {
class EventLoop;
}  // namespace heddle

namespace heddle::detail {

class TaskState;

/// What times, disturbs or shuffles the steps of a loop. Called by the loop's thread while no task runs, so
/// it may ask tasks to stop. A loop without observers doesn't ask for any between two steps.
class HEDDLE_EXPORT LoopObserver {
 public:
  LoopObserver(const LoopObserver&) = delete;
  LoopObserver& operator=(const LoopObserver&) = delete;

  /// What `first` and its `next` name was taken from the queue and is about to run in that order, or in
  /// another one that this makes of it; then it returns the new last one.
  virtual Runnable* order(Runnable*& /*first*/) noexcept { return nullptr; }
  /// `next` is about to have its turn. False: the loop's turn ends before that.
  virtual bool before_step(Runnable& /*next*/) noexcept { return true; }
  /// `task` has had its turn and is suspended again.
  virtual void after_step(TaskState& /*task*/) noexcept {}
  /// The loop's turn is over.
  virtual void turn_ended() noexcept {}

 protected:
  LoopObserver() noexcept = default;
  ~LoopObserver() = default;

 private:
  friend class heddle::EventLoop;
  LoopObserver* next_observer_ = nullptr;
};

}  // namespace heddle::detail
