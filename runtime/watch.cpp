// DescriptorOperation: trying, queueing for readiness, being woken, leaving. The order of the waiters is kept
// here. SPDX-License-Identifier: MIT
#include "watch.hpp"

#include <cerrno>
#include <stdexcept>
#include <string>

#include "event_loop.hpp"

namespace heddle {

bool DescriptorOperation::start() {
  begin();
  if (!owned_) slot_->watch = current.loop->find_watch(fd_);
  watch_ = slot_->watch;
  if (watch_ != nullptr) [[likely]] {
    const Watch::Side& side = watch_->side(direction_);
    if (!side.ready || side.first != nullptr) return false;
  }
  if (!attempt(fd_)) return false;
  state_ = State::DONE;
  return finished();
}

void DescriptorOperation::wait() {
  if (state_ == State::DONE) {  // the budget is spent
    wake();
    return;
  }
  if (watch_ == nullptr) {
    watch_ = &current.loop->watch(fd_);
    watch_->side(direction_).ready = false;
  } else if (watch_->loop != current.loop) {
    throw std::logic_error("fd " + std::to_string(fd_) + " is in use on another event loop");
  }
  Watch::Side& side = watch_->side(direction_);
  previous_ = side.last;
  (previous_ != nullptr ? previous_->next_ : side.first) = this;
  side.last = this;
  if (!watch_->edge) [[unlikely]] {
    try {
      current.loop->arm(*watch_, direction_, owned_);
    } catch (...) {
      leave();
      throw;
    }
  }
  if (owned_) slot_->watch = watch_;
  state_ = State::WAITING;
}

void DescriptorOperation::leave() noexcept {
  Watch::Side& side = watch_->side(direction_);
  (previous_ != nullptr ? previous_->next_ : side.first) = next_;
  (next_ != nullptr ? next_->previous_ : side.last) = previous_;
  if (side.paused) [[unlikely]]
    leaving(false);
  if (side.first != nullptr) {
    // A level-triggered selector reports again what is left; an edge that was not used up is passed on here.
    if (watch_->edge && side.ready) side.first->notify(State::PASSED_ON);
  } else if (!watch_->owned) {
    watch_->loop->disarm_if_idle(*watch_);
  }
}

void DescriptorOperation::notify(State state) noexcept {
  if (state_ != State::WAITING) return;
  state_ = state;
  wake();
}

bool DescriptorOperation::advance() noexcept {
  if (state_ == State::WOKEN || state_ == State::PASSED_ON) [[likely]] {
    if (!attempt(fd_)) {
      state_ = State::WAITING;
      return false;
    }
    leave();
    state_ = State::DONE;
  }
  return state_ != State::WAITING;
}

Operation::Stop DescriptorOperation::cancel() noexcept {
  if (state_ == State::DONE) return Stop::TOO_LATE;
  leave();
  state_ = State::STOPPED;
  return Stop::STOPPED;
}

void DescriptorOperation::leaving(bool) noexcept {}

void DescriptorOperation::pause() noexcept { watch_->side(direction_).paused = true; }

void DescriptorOperation::unpause() noexcept {
  Watch::Side& side = watch_->side(direction_);
  side.paused = false;
  if (side.first == nullptr) return;
  if (!watch_->edge) try {
      watch_->loop->arm(*watch_, direction_, owned_);
    } catch (const std::exception&) {
      // The operation that is woken now will be told what is wrong.
    }
  side.first->notify(State::WOKEN);
}

void DescriptorOperation::abandon(int error) noexcept {
  leaving(true);
  state_ = State::DONE;
  fail(error);
  wake();
}

void DescriptorOperation::mark_drained() noexcept {
  if (watch_ != nullptr) watch_->side(direction_).ready = false;
}

void DescriptorOperation::mark_drained_unless_hangup() noexcept {
  if (watch_ != nullptr && !watch_->hangup) watch_->side(direction_).ready = false;
}

}  // namespace heddle
