// WaitList: how a wait begins, and the ways in which it ends.
// SPDX-License-Identifier: MIT
#include "wait_list.hpp"

#include <cstdio>
#include <exception>
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

void WaitOperation::wait_in(WaitList& list, std::coroutine_handle<> coroutine, AsyncFrame* frame) noexcept {
  task_ = current.task;
  suspend(*this, coroutine, frame);
  if (state_ == State::WAITING)
    list.push(*this);
  else
    wake();
}

void WaitOperation::end_wait(State state) noexcept {
  if (state_ == State::WAITING) leave_list();
  state_ = state;
  wake();
}

void WaitOperation::throw_ended(const char* name) const {
  if (state_ == State::STOPPED) throw_cancelled();
  throw std::logic_error(std::string(name) + ": what the task waited for was destroyed");
}

void WaitList::end_all(WaitOperation::State state) noexcept {
  while (!empty()) first().end_wait(state);
}

void terminate_with(const char* message) noexcept {
  std::fprintf(stderr, "heddle: %s\n", message);
  std::terminate();
}

}  // namespace heddle::detail
