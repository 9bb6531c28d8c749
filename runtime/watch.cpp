// DescriptorOperation: trying, queueing for readiness, being woken, leaving. The order of the waiters is kept
// here.
// SPDX-License-Identifier: MIT
#include "watch.hpp"

#include <cerrno>
#include <stdexcept>
#include <string>

#include "event_loop.hpp"

namespace heddle {

void DescriptorOperation::wait() {
  if (state_ == State::DONE) {  // the budget is spent
    wake();
    return;
  }
  EventLoop& loop = *current.loop;
  if (watch_ == nullptr) {
    watch_ = &loop.watch(fd_);
    watch_->side(direction_).ready = false;
  } else if (watch_->loop != &loop && !loop.adopt(*watch_)) {
    throw std::logic_error("fd " + std::to_string(fd_) + " is in use on another event loop");
  }
  Watch::Side& side = watch_->side(direction_);
  if (side.first == nullptr)
    side.first = this;
  else
    side.last->next_ = this;
  previous_ = side.last;
  side.last = this;
  if (!watch_->edge) [[unlikely]] {
    try {
      loop.arm(*watch_, direction_, owned_);
    } catch (...) {
      leave();
      throw;
    }
    if (owned_) slot_->watch = watch_;
  }
  state_ = State::WAITING;
}

void DescriptorOperation::leave() noexcept {
  Watch::Side& side = watch_->side(direction_);
  if (side.first == side.last) {
    side.first = side.last = nullptr;
  } else if (side.first == this) {
    side.first = next_;
  } else if (side.last == this) {
    side.last = previous_;
  } else {
    previous_->next_ = next_;
    next_->previous_ = previous_;
  }
  leaving(false);
  if (side.first != nullptr) {
    // A level-triggered selector reports again what is left; an edge that was not used up is passed on here.
    if (watch_->edge && side.ready) side.first->notify(State::PASSED_ON);
  } else if (!watch_->owned) {
    watch_->loop->disarm_if_idle(*watch_);
  }
}

Operation::Stop DescriptorOperation::cancel() noexcept {
  if (state_ == State::DONE) return Stop::TOO_LATE;
  leave();
  state_ = State::STOPPED;
  return Stop::STOPPED;
}

void DescriptorOperation::leaving(bool) noexcept {}

void DescriptorOperation::unpause() noexcept {
  state_ = State::WAITING;
  if (!watch_->edge) try {
      watch_->loop->arm(*watch_, direction_, owned_);
    } catch (const std::exception&) {
      // The operation that is woken now will be told what is wrong.
    }
  notify(State::WOKEN);
}

void DescriptorOperation::abandon(int error) noexcept {
  leaving(true);
  state_ = State::DONE;
  fail(error);
  wake();
}

}  // namespace heddle
