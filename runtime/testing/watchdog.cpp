// Watchdog: its thread, and the loop that it watches.
// SPDX-License-Identifier: MIT
#include "watchdog.hpp"

#include <algorithm>

#include "../loop/event_loop.hpp"

namespace heddle::detail {

Watchdog::Watchdog() : thread_([this] { watch(); }) {}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

Watchdog::Watch::Watch(Watchdog& watchdog, EventLoop& loop, Timeout patience) : watchdog_(watchdog) {
  const std::lock_guard lock(watchdog.mutex_);
  watchdog.loop_ = &loop;
  const auto now = std::chrono::steady_clock::now();
  const auto longest = std::chrono::steady_clock::time_point::max() - now;
  watchdog.deadline_ = now + std::min<Duration>(patience.duration(), longest);
  watchdog.expired_ = false;
  watchdog.changed_.notify_one();
}

Watchdog::Watch::~Watch() {
  const std::lock_guard lock(watchdog_.mutex_);
  watchdog_.loop_ = nullptr;
}

bool Watchdog::Watch::expired() const {
  const std::lock_guard lock(watchdog_.mutex_);
  return watchdog_.expired_;
}

void Watchdog::watch() {
  std::unique_lock lock(mutex_);
  while (!ends_) {
    if (loop_ == nullptr || expired_) {
      changed_.wait(lock);
    } else if (std::chrono::steady_clock::now() < deadline_) {
      changed_.wait_until(lock, deadline_);
    } else {
      expired_ = true;
      loop_->call_soon_threadsafe([] {});
    }
  }
}

}  // namespace heddle::detail
