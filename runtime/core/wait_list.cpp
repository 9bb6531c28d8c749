// WaitList: how a wait begins, and the ways in which it ends.
// SPDX-License-Identifier: MIT
#include "wait_list.hpp"

#include <stdexcept>
#include <string>

namespace heddle::detail {

Operation::Stop WaitOperation::cancel() noexcept {
  switch (state_) {
    case State::WAITING:
      leave_list();
      break;
    case State::ABANDONED:  // nothing was given
      break;
    default:
      return Stop::TOO_LATE;
  }
  state_ = State::STOPPED;
  return Stop::STOPPED;
}

void WaitOperation::wait_in(WaitList& list, WaitList* granted, std::coroutine_handle<> coroutine,
                            AsyncFrame* frame) noexcept {
  task_ = current.task;
  suspend(*this, coroutine, frame);
  if (state_ == State::WAITING) {
    list.push(*this);
    return;
  }
  if (granted != nullptr) {
    state_ = State::LISTED;
    granted->push(*this);
  }
  wake();
}

void WaitOperation::end_wait(State state) noexcept {
  if (state_ == State::WAITING || state_ == State::LISTED) leave_list();
  state_ = state;
  wake();
}

void WaitOperation::throw_ended(const char* name) const {
  if (state_ == State::STOPPED) throw_cancelled();
  throw_destroyed(name);
}

void WaitList::grant_first(WaitList& granted) noexcept {
  WaitOperation& operation = first();
  operation.end_wait(WaitOperation::State::LISTED);
  granted.push(operation);
}

void WaitList::end_all(WaitOperation::State state) noexcept {
  while (!empty()) first().end_wait(state);
}

void throw_destroyed(const char* operation, const char* object) {
  check_task();
  const std::string name(operation);
  throw std::logic_error(name + ": the " + (object != nullptr ? object : name.substr(0, name.find('.'))) +
                         " was destroyed");
}

}  // namespace heddle::detail
