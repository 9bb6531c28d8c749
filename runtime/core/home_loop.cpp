// HomeLoop: what is checked, where that was asked for when this library was built.
// SPDX-License-Identifier: MIT
#include "home_loop.hpp"

#include <cstdio>
#include <cstdlib>

#include "loop_registry.hpp"
#include "scheduler.hpp"

#ifndef HEDDLE_CHECKS
#define HEDDLE_CHECKS 0
#endif

namespace heddle::detail {

namespace {

[[noreturn]] void end_process(const char* operation) noexcept {
  std::fprintf(stderr,
               "heddle: %s on another thread than that of its event loop, which runs. From other threads use "
               "EventLoop::call_soon_threadsafe(), a Channel, or what RemoteHandle and spawn_on() give\n",
               operation);
  std::abort();
}

}  // namespace

bool checks_threads() noexcept { return HEDDLE_CHECKS != 0; }

void HomeLoop::change(const char* operation) const noexcept {
  if (checks_threads() && loop_number_ != 0 && LoopRegistry::runs_elsewhere(loop_number_))
    end_process(operation);
  loop_ = current.loop;
  loop_number_ = loop_ != nullptr ? loop_->loop_number() : 0;
}

void Scheduler::check_thread(const char* operation) const noexcept {
  if (checks_threads() && runs_elsewhere()) end_process(operation);
}

}  // namespace heddle::detail
