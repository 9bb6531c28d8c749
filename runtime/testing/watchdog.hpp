// Watchdog: the thread that wakes a loop which sleeps for too long. For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "../../selector/process_mark.hpp"
#include "../../selector/timeout.hpp"

namespace heddle {

class EventLoop;

}  // namespace heddle

namespace heddle::detail {

/// A thread of its own, which watches one loop at a time. In the child of a fork() it watches nothing.
class Watchdog {
  struct State;

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
    State& state_;
  };

 private:
  struct State {
    void watch();

    std::mutex mutex;
    std::condition_variable changed;
    EventLoop* loop = nullptr;
    std::chrono::steady_clock::time_point deadline;
    bool expired = false;
    bool ends = false;
    const ProcessMark process;
    std::thread thread;
  };

  State*
      state_;  // left as it is in the child of a fork(): the thread can't be joined, and may have locked it
};

}  // namespace heddle::detail
