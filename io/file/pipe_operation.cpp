// What the operations of a pipe try.
// SPDX-License-Identifier: MIT
#include "pipe_operation.hpp"

#include <cerrno>
#include <utility>

#include "../../runtime/core/scheduler.hpp"

namespace heddle::detail {

namespace {

bool would_block(std::ptrdiff_t result) noexcept { return result == -EAGAIN || result == -EWOULDBLOCK; }

}  // namespace

// A short read doesn't mean that the descriptor is drained: a terminal yields one line at a time, a pipe in
// packet mode one packet.
inline bool DescriptorRead::attempt(int fd, FdWatch* watch) noexcept {
  do result_ = current.system->read(fd, data_, size_);
  while (result_ == -EINTR);
  charge_transfer(result_);
  if (!would_block(result_)) return true;
  drained(direction(), watch);
  return false;
}

bool DescriptorRead::await_ready() {
  if (size_ != 0) [[likely]]
    return try_first(*this) && finished();
  check_can_begin();
  result_ = 0;
  finish();
  return true;
}

void DescriptorRead::suspend_here(std::coroutine_handle<> coroutine, AsyncFrame* frame) {
  suspend_waiting(*this, coroutine, frame);
}

inline bool DescriptorRead::advance() noexcept { return DescriptorOperation::advance(*this); }

inline bool DescriptorWrite::attempt(int fd, FdWatch* watch) noexcept {
  for (const std::size_t end = written_ + of_one_turn(size_ - written_);;) {
    result_ = current.system->write(fd, data_ + written_, end - written_);
    if (result_ == -EINTR) continue;
    if (would_block(result_)) {
      drained(direction(), watch);
      return false;
    }
    if (result_ == 0 && all_) result_ = -EIO;  // it takes nothing, but reports no error
    if (result_ < 0) return true;
    written_ += static_cast<std::size_t>(result_);
    charge_transfer(result_);
    if (all_ && written_ < end) continue;
    if (all_ && written_ < size_) {
      goes_on_ = true;
      return false;
    }
    result_ = static_cast<std::ptrdiff_t>(written_);
    return true;
  }
}

bool DescriptorWrite::await_ready() {
  written_ = 0;
  if (size_ != 0) [[likely]]
    return try_first(*this) && finished();
  check_can_begin();
  result_ = 0;
  finish();
  return true;
}

void DescriptorWrite::after_attempt() noexcept {
  if (std::exchange(goes_on_, false)) unpause();
}

void DescriptorWrite::suspend_here(std::coroutine_handle<> coroutine, AsyncFrame* frame) {
  suspend_waiting(*this, coroutine, frame);
  after_attempt();
}

inline bool DescriptorWrite::advance() noexcept {
  if (DescriptorOperation::advance(*this)) return true;
  after_attempt();
  return false;
}

}  // namespace heddle::detail
