// Barrier: the last one opens it for all.
// SPDX-License-Identifier: MIT
#include "barrier.hpp"

#include "../../selector/errors.hpp"

namespace heddle {

using namespace detail;

BrokenBarrierError::BrokenBarrierError()
    : std::runtime_error("Barrier.wait(): the barrier was aborted or reset") {}
BrokenBarrierError::~BrokenBarrierError() = default;

bool BarrierOperation::await_ready() {
  check_can_begin();
  barrier_.waiters_.use("Barrier.wait()");
  if (barrier_.broken_) throw BrokenBarrierError();
  index_ = barrier_.parties_ - 1;
  return attempt(barrier_.arrive());
}

std::size_t BarrierOperation::await_resume() const {
  check("Barrier.wait()");
  if (failed()) throw BrokenBarrierError();
  return index_;
}

Operation::Stop BarrierOperation::cancel() noexcept {
  if (state_ == State::WAITING) --barrier_.waiting_;
  return WaitOperation::cancel();
}

Barrier::Barrier(std::size_t parties) : parties_(parties) {
  if (parties == 0) throw ValueError("Barrier: parties must be at least 1");
}

// False if there are some to come still.
bool Barrier::arrive() noexcept {
  if (waiting_ + 1 < parties_) {
    ++waiting_;
    return false;
  }
  for (std::size_t i = 0; i < waiting_; ++i) {
    static_cast<BarrierOperation&>(waiters_.first()).index_ = i;
    waiters_.grant_first();
  }
  waiting_ = 0;
  return true;
}

void Barrier::reset() noexcept {
  waiters_.use("Barrier.reset()");
  broken_ = false;
  waiting_ = 0;
  waiters_.fail_all();
}

void Barrier::abort() noexcept {
  reset();
  broken_ = true;
}

}  // namespace heddle
