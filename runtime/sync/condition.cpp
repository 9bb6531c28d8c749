// Condition: how a waiter moves from the condition's list to that of the lock.
// SPDX-License-Identifier: MIT
#include "condition.hpp"

#include <stdexcept>

namespace heddle {

using namespace detail;

bool ConditionOperation::await_ready() {
  check_can_begin();
  condition_.waiters_.use("Condition.wait()");
  if (!condition_.locked()) throw std::logic_error("Condition.wait(): nobody holds the lock");
  notified_ = stopped_ = false;
  return attempt(false);
}

void ConditionOperation::begin_wait() noexcept {
  alive_.reset(&condition_);
  lock_.reset(&condition_.lock_);
  condition_.lock_.release();  // it is held
}

void ConditionOperation::await_resume() {
  const bool condition_is_there = alive_.release() != nullptr;
  lock_.release();
  leave_if_listed();
  if (stopped_ || state_ == State::STOPPED) throw_cancelled();
  if (state_ == State::ABANDONED)
    throw_destroyed("Condition.wait()", condition_is_there ? "Lock" : "Condition");
  if (!condition_is_there) throw_destroyed("Condition.wait()");
}

Operation::Stop ConditionOperation::cancel() noexcept {
  if (stopped_) return Stop::LATER;
  if (state_ == State::ABANDONED) return WaitOperation::cancel();
  if (alive_.get() == nullptr) {  // it waits for the lock, or has it
    stopped_ = true;
    return state_ == State::WAITING ? Stop::LATER : Stop::STOPPED;
  }
  if (notified_) return Stop::TOO_LATE;
  stopped_ = true;
  leave_list();
  return acquire() ? Stop::STOPPED : Stop::LATER;
}

// To be in no list. False if it has to wait for the lock.
bool ConditionOperation::acquire() noexcept {
  Lock* const lock = lock_.get();
  if (lock == nullptr) {
    state_ = State::ABANDONED;
    return true;
  }
  if (!lock->try_acquire()) {
    lock->waiters_.push(*this);
    return false;
  }
  state_ = State::LISTED;
  lock->granted_.push(*this);
  return true;
}

void ConditionOperation::lose_condition() noexcept {
  leave_list();
  if (acquire()) wake();
}

Condition::~Condition() {
  links_.clear();
  while (!waiters_.empty()) static_cast<ConditionOperation&>(waiters_.first()).lose_condition();
}

void Condition::notify(std::size_t count) {
  waiters_.use("Condition.notify()");
  if (!locked()) throw std::logic_error("Condition.notify(): nobody holds the lock");
  for (; count > 0 && !waiters_.empty(); --count) {
    auto& operation = static_cast<ConditionOperation&>(waiters_.first());
    operation.leave_list();
    operation.notified_ = true;
    lock_.waiters_.push(operation);
  }
}

}  // namespace heddle
