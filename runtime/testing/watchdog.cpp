// Watchdog: its thread, and the loop that it watches.
// SPDX-License-Identifier: MIT
#include "watchdog.hpp"

#include <algorithm>

#include "../loop/event_loop.hpp"

namespace heddle::detail {

Watchdog::Watchdog() : state_(new State) {
  try {
    state_->thread = std::thread([state = state_] { state->watch(); });
  } catch (...) {
    delete state_;
    throw;
  }
}

Watchdog::~Watchdog() {
  if (!state_->process.is_here()) return;
  {
    const std::lock_guard lock(state_->mutex);
    state_->ends = true;
  }
  state_->changed.notify_one();
  state_->thread.join();
  delete state_;
}

Watchdog::Watch::Watch(Watchdog& watchdog, EventLoop& loop, Timeout patience) : state_(*watchdog.state_) {
  if (!state_.process.is_here()) return;
  const std::lock_guard lock(state_.mutex);
  state_.loop = &loop;
  const auto now = std::chrono::steady_clock::now();
  const auto longest = std::chrono::steady_clock::time_point::max() - now;
  state_.deadline = now + std::min<Duration>(patience.duration(), longest);
  state_.expired = false;
  state_.changed.notify_one();
}

Watchdog::Watch::~Watch() {
  if (!state_.process.is_here()) return;
  const std::lock_guard lock(state_.mutex);
  state_.loop = nullptr;
}

bool Watchdog::Watch::expired() const {
  if (!state_.process.is_here()) return false;
  const std::lock_guard lock(state_.mutex);
  return state_.expired;
}

void Watchdog::State::watch() {
  std::unique_lock lock(mutex);
  while (!ends) {
    if (loop == nullptr || expired) {
      changed.wait(lock);
    } else if (std::chrono::steady_clock::now() < deadline) {
      changed.wait_until(lock, deadline);
    } else {
      expired = true;
      loop->call_soon_threadsafe([] {});
    }
  }
}

}  // namespace heddle::detail
