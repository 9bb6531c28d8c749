// LoopRegistry: a list that is locked only to change it.
// SPDX-License-Identifier: MIT
#include "loop_registry.hpp"

#include <pthread.h>

#include <mutex>
#include <utility>

#include "../core/scheduler.hpp"
#include "dump.hpp"

namespace heddle::detail {

namespace {

std::mutex registry_mutex;
Scheduler* registry = nullptr;

// The child of a fork() finds the mutex unlocked and the list whole, whatever other threads were doing.
[[maybe_unused]] const int fork_handlers = ::pthread_atfork(
    [] { registry_mutex.lock(); }, [] { registry_mutex.unlock(); }, [] { registry_mutex.unlock(); });

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

// The lock isn't taken: the debugger has stopped all threads, and one of them may hold it. In the child of a
// fork() the parent's loops are still on the list: their threads, which aren't there, may have been changing
// them.
void LoopRegistry::print_all() {
  for (const Scheduler* loop = registry; loop != nullptr; loop = loop->next_loop_)
    if (!loop->closed() && loop->is_in_its_process()) print_tasks(*loop);
}

}  // namespace heddle::detail
