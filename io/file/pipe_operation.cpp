// What the operations of a pipe try.
// SPDX-License-Identifier: MIT
#include "pipe_operation.hpp"

#include <cerrno>

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
  for (;;) {
    result_ = current.system->write(fd, data_ + written_, size_ - written_);
    if (result_ == -EINTR) continue;
    if (would_block(result_)) {
      drained(direction(), watch);
      return false;
    }
    if (result_ == 0 && all_) result_ = -EIO;  // it takes nothing, but reports no error
    if (result_ < 0) return true;
    written_ += static_cast<std::size_t>(result_);
    if (all_ && written_ < size_) continue;
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

void DescriptorWrite::suspend_here(std::coroutine_handle<> coroutine, AsyncFrame* frame) {
  suspend_waiting(*this, coroutine, frame);
}

inline bool DescriptorWrite::advance() noexcept { return DescriptorOperation::advance(*this); }

}  // namespace heddle::detail
