// Running: while it lives, a loop is the one that runs on this thread. For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/base_selector.hpp"
#include "event_loop.hpp"

namespace heddle::detail {

class Running {
 public:
  explicit Running(EventLoop& loop) noexcept : before_(current), loop_(loop) {
    loop.runs_ = true;
    loop.set_driver(&current);
    current = Current();
    current.loop = &loop;
    current.system = &loop.system();
    current.ready = &loop.ready_queue();
    current.descriptors = &loop.descriptors();
    current.now = loop.time();
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() {
    if (!loop_.closed()) loop_.selector().flush();
    current = before_;
    loop_.set_driver(nullptr);
    loop_.runs_ = false;
  }

 private:
  Current before_;
  EventLoop& loop_;
};

}  // namespace heddle::detail
