// Condition: how a waiter moves from the condition's list to that of the lock.
// SPDX-License-Identifier: MIT
#include "condition.hpp"

#include <stdexcept>

namespace heddle {

using namespace detail;

bool ConditionOperation::await_ready() {
  check_can_begin();
  if (!condition_.locked()) throw std::logic_error("Condition.wait(): nobody holds the lock");
  notified_ = stopped_ = false;
  return attempt(false);
}

Operation::Stop ConditionOperation::cancel() noexcept {
  if (stopped_) return Stop::LATER;
  if (notified_) return Stop::TOO_LATE;
  stopped_ = true;
  leave_list();
  Lock& lock = condition_.lock_;
  if (lock.try_acquire()) {
    state_ = State::GRANTED;
    return Stop::STOPPED;
  }
  lock.waiters_.push(*this);
  return Stop::LATER;
}

void Condition::notify(std::size_t count) {
  if (!locked()) throw std::logic_error("Condition.notify(): nobody holds the lock");
  for (; count > 0 && !waiters_.empty(); --count) {
    auto& operation = static_cast<ConditionOperation&>(waiters_.first());
    operation.leave_list();
    operation.notified_ = true;
    lock_.waiters_.push(operation);
  }
}

}  // namespace heddle
