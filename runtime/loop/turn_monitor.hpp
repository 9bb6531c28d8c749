// TurnMonitor: a thread that notices when a turn of its loop takes long, while it does. For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include "slow_turn.hpp"

namespace heddle {

struct LoopOptions;
struct Runnable;

class TurnMonitor {
 public:
  /// Starts the thread. Throws std::system_error.
  explicit TurnMonitor(const LoopOptions& options);
  TurnMonitor(const TurnMonitor&) = delete;
  TurnMonitor& operator=(const TurnMonitor&) = delete;
  ~TurnMonitor();

  // The loop's thread.

  void begin(const Runnable& turn) noexcept;
  void end() noexcept;

 private:
  class Watcher;
  Watcher* watcher_;
};

}  // namespace heddle
