// TurnMonitor: a thread that notices when a step of its loop takes long, while it does. For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include "../core/loop_observer.hpp"
#include "slow_turn.hpp"

namespace heddle::detail {

class TurnMonitor final : public LoopObserver {
 public:
  /// Starts the thread, which reports what takes longer than `limit` to `handler`; nullptr: it prints it.
  /// Throws std::system_error.
  TurnMonitor(Duration limit, SlowTurnHandler handler, void* argument);
  ~TurnMonitor();
  /// In the child of a fork() there is no such thread: starts one, if that wasn't done. Throws
  /// std::system_error; then nothing has changed.
  void renew();

  bool before_step(Runnable& next) noexcept override;
  void turn_ended() noexcept override;

 private:
  class Watcher;
  Watcher* watcher_;
};

}  // namespace heddle::detail
