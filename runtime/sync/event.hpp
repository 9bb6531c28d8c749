// Event: something that happens, for all who wait for it.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include "../core/wait_list.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {
class EventOperation;
}  // namespace heddle::detail

namespace heddle {

class Event;

namespace detail {

class [[nodiscard]] EventOperation : public WaitOperation {
 public:
  explicit EventOperation(Event& event) noexcept : event_(event) {}

  inline bool await_ready();
  template <class Promise>
  inline void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept;
  void await_resume() const { check("Event.wait()"); }

 private:
  Event& event_;
};

}  // namespace detail

/// A flag that tasks can wait for, as asyncio.Event. On the loop's thread only. Who waits
/// when it is destroyed gets std::logic_error.
class Event {
 public:
  bool is_set() const noexcept { return set_; }
  /// Wakes all who wait. They go on though the flag be cleared before their turn.
  void set() noexcept {
    waiters_.use("Event.set()");
    set_ = true;
    waiters_.grant_all();
  }
  void clear() noexcept {
    waiters_.use("Event.clear()");
    set_ = false;
  }

  /// `co_await event.wait()` returns when the flag is set, at once if it is. Cancel-safe.
  detail::EventOperation wait() noexcept { return detail::EventOperation(*this); }

 private:
  friend class detail::EventOperation;

  detail::WaitList waiters_;
  bool set_ = false;
};

namespace detail {

inline bool EventOperation::await_ready() {
  check_can_begin();
  event_.waiters_.use("Event.wait()");
  return attempt(event_.set_);
}

template <class Promise>
void EventOperation::await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
  wait(event_.waiters_, coroutine);
}

}  // namespace detail

}  // namespace heddle

HEDDLE_HEADER_END
