// Watchdog: the thread that wakes a loop which sleeps for too long. For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "../../selector/timeout.hpp"

namespace heddle {

class EventLoop;

}  // namespace heddle

namespace heddle::detail {

/// A thread of its own, which watches one loop at a time.
class Watchdog {
 public:
  Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  ~Watchdog();

  /// From now until it is destroyed, `loop` is watched: it is woken up when it has run for `patience`.
  class Watch {
   public:
    Watch(Watchdog& watchdog, EventLoop& loop, Timeout patience);
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    ~Watch();
    /// The time is up.
    bool expired() const;

   private:
    Watchdog& watchdog_;
  };

 private:
  void watch();

  std::mutex mutex_;
  std::condition_variable changed_;
  EventLoop* loop_ = nullptr;
  std::chrono::steady_clock::time_point deadline_;
  bool expired_ = false;
  bool ends_ = false;
  std::thread thread_;  // the last, because it uses the others
};

}  // namespace heddle::detail
