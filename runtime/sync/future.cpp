// FutureState: its lifetime, and what is thrown in place of a value.
// SPDX-License-Identifier: MIT
#include "future.hpp"

#include <string>

#include "../core/trace.hpp"

namespace heddle {

using namespace detail;

BrokenPromise::BrokenPromise() : std::runtime_error("the Promise was dropped without a result") {}
BrokenPromise::~BrokenPromise() = default;
InvalidStateError::InvalidStateError(const char* what) : std::logic_error(what) {}
InvalidStateError::~InvalidStateError() = default;

namespace detail {

void throw_empty_future(const char* operation) {
  throw std::logic_error(std::string(operation) + ": it was moved from, or never had a promise");
}

}  // namespace detail

FutureState::~FutureState() {
  if (!error_ || retrieved_) return;
  deliver_report(Report{"nobody retrieved the exception of a Future", error_, {}, {}, 0, {}});
}

std::exception_ptr FutureState::error() noexcept {
  retrieved_ = true;
  return error_;
}

bool FutureState::cancel() noexcept {
  waiters_.use("Future.cancel()");
  if (done()) return false;
  finish(Outcome::CANCELLED);
  return true;
}

bool FutureState::check_pending() {
  waiters_.use("Promise.set_result()");
  if (kept_) throw InvalidStateError("the Promise has been given a result already");
  if (!wanted()) return false;
  kept_ = true;
  return true;
}

void FutureState::fail(std::exception_ptr error) noexcept {
  error_ = std::move(error);
  finish(Outcome::ERROR);
}

void FutureState::drop_promise() noexcept {
  waiters_.use("the end of a Promise");
  has_promise_ = false;
  if (!done()) finish(Outcome::ERROR);
  delete_if_unused();
}

void FutureState::drop_future() noexcept {
  --futures_;
  delete_if_unused();
}

void FutureState::delete_if_unused() noexcept {
  if (futures_ == 0 && !has_promise_) delete this;
}

void FutureState::throw_no_value() {
  switch (outcome_) {
    case Outcome::PENDING:
      throw InvalidStateError("Future.result(): there is none yet");
    case Outcome::CANCELLED:
      throw Cancelled();
    default:
      retrieved_ = true;
      if (error_) std::rethrow_exception(error_);
      throw BrokenPromise();
  }
}

}  // namespace heddle
