// LoopRegistry: a list that is locked only to change it.
// SPDX-License-Identifier: MIT
#include "loop_registry.hpp"

#include <mutex>
#include <utility>

#include "../core/scheduler.hpp"
#include "dump.hpp"

namespace heddle::detail {

namespace {

std::mutex registry_mutex;
Scheduler* registry = nullptr;

}  // namespace

void LoopRegistry::add(Scheduler& loop) noexcept {
  const std::lock_guard lock(registry_mutex);
  loop.next_loop_ = std::exchange(registry, &loop);
}

void LoopRegistry::remove(Scheduler& loop) noexcept {
  const std::lock_guard lock(registry_mutex);
  Scheduler** link = &registry;
  while (*link != &loop) link = &(*link)->next_loop_;
  *link = loop.next_loop_;
}

// The lock isn't taken: the debugger has stopped all threads, and one of them may hold it.
void LoopRegistry::print_all() {
  for (const Scheduler* loop = registry; loop != nullptr; loop = loop->next_loop_)
    if (!loop->closed()) print_tasks(*loop);
}

}  // namespace heddle::detail
