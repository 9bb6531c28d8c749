// WaitScope: its own request to stop, told apart from those of others.
// SPDX-License-Identifier: MIT
#include "wait_scope.hpp"

#include <utility>

#include "task_state.hpp"
#include "wait_list.hpp"

namespace heddle::detail {

WaitScope::WaitScope() noexcept
    : task_(*current.task), requests_before_(task_.requests_delivered()), shields_(task_.shields()) {}

void WaitScope::abandon() noexcept {
  abandoned_ = requested_ = true;
  own_request_ = task_.mark_request(shields_);
  task_.cancel_inside(shields_);
}

void WaitScope::take_back() noexcept {
  if (std::exchange(requested_, false)) task_.take_back(own_request_, requests_before_);
}

void WaitScope::throw_abandoned(const char* operation) {
  take_back();
  if (task_.requests_delivered() > requests_before_) throw Cancelled();
  throw_destroyed(operation);
}

void WaitScope::rethrow(const char* operation) {
  check(operation);
  throw;
}

}  // namespace heddle::detail
