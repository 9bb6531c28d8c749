// LoopRegistry: a list that is locked but for the debugger.
// SPDX-License-Identifier: MIT
#include "loop_registry.hpp"

#include <pthread.h>

#include <mutex>
#include <utility>

#include "scheduler.hpp"

namespace heddle::detail {

namespace {

std::mutex registry_mutex;
Scheduler* registry = nullptr;
std::uint64_t last_number = 0;

// The child of a fork() finds the mutex unlocked and the list whole, whatever other threads were doing.
[[maybe_unused]] const int fork_handlers = ::pthread_atfork(
    [] { registry_mutex.lock(); }, [] { registry_mutex.unlock(); }, [] { registry_mutex.unlock(); });

}  // namespace

void LoopRegistry::add(Scheduler& loop) noexcept {
  const std::lock_guard lock(registry_mutex);
  loop.loop_number_ = ++last_number;
  loop.next_loop_ = std::exchange(registry, &loop);
}

void LoopRegistry::remove(Scheduler& loop) noexcept {
  const std::lock_guard lock(registry_mutex);
  Scheduler** link = &registry;
  while (*link != &loop) link = &(*link)->next_loop_;
  *link = loop.next_loop_;
}

bool LoopRegistry::runs_elsewhere(std::uint64_t loop_number) noexcept {
  const std::lock_guard lock(registry_mutex);
  for (const Scheduler* loop = registry; loop != nullptr; loop = loop->next_loop_)
    if (loop->loop_number_ == loop_number) return loop->runs_elsewhere();
  return false;
}

Scheduler* LoopRegistry::first() noexcept { return registry; }
Scheduler* LoopRegistry::next(const Scheduler& loop) noexcept { return loop.next_loop_; }

}  // namespace heddle::detail
