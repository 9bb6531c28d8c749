// sendfile(2) and splice(2), in pieces, so that other tasks get their turns.
// SPDX-License-Identifier: MIT
#include "file_transfer.hpp"

#include <algorithm>

#include "../../runtime/task/sleep.hpp"
#include "../../selector/errors.hpp"
#include "socket_operation_steps.hpp"

namespace heddle {

using namespace detail;

// False when it would block. The kernel keeps it until more follows: which must be so.
bool SendFileOperation::attempt_head(int fd, FdWatch* watch) noexcept {
  const bool more = count_ != 0 && kernel().file_size(file_) > static_cast<std::int64_t>(offset_);
  while (head_sent_ < head_.size()) {
    const std::string_view rest = head_.substr(head_sent_);
    result_ = uninterrupted([&] { return kernel().send(fd, rest.data(), rest.size(), more ? MSG_MORE : 0); });
    if (would_block(result_)) {
      drained(direction(), watch);
      return false;
    }
    if (result_ < 0) return true;
    head_sent_ += static_cast<std::size_t>(result_);
    charge_transfer(result_);
  }
  return true;
}

bool SendFileOperation::attempt(int fd, FdWatch* watch) noexcept {
  if (head_sent_ < head_.size()) {
    if (!attempt_head(fd, watch)) return false;
    if (result_ < 0) return true;
  }
  for (std::uint64_t left = most_per_turn; sent_ < count_;) {
    if (left == 0) return at_next_turn();
    auto position = static_cast<std::int64_t>(offset_ + sent_);
    const auto size = static_cast<std::size_t>(std::min(left, count_ - sent_));
    result_ = uninterrupted([&] { return kernel().sendfile(fd, file_, &position, size); });
    if (would_block(result_)) {
      drained(direction(), watch);
      return false;
    }
    if (result_ < 0) return true;
    if (result_ == 0) break;  // the file is at its end
    sent_ += static_cast<std::uint64_t>(result_);
    left -= static_cast<std::uint64_t>(result_);
    charge_transfer(result_);
  }
  result_ = 0;
  return true;
}

template class detail::SocketOperationOf<SendFileOperation, Direction::WRITE, SteppedOperation>;

Task<std::size_t> splice(Fd& from, Fd& to, std::size_t most) {
  // A splice that never blocks must use up the budget and see a request to stop, as operations do.
  if (current.budget < 1)
    co_await yield();
  else
    --current.budget;
  for (;;) {
    const int in = from.checked_slot("splice").fd;
    const int out = to.checked_slot("splice").fd;
    const std::ptrdiff_t moved = uninterrupted([&] { return kernel().splice(in, out, of_one_turn(most)); });
    charge_transfer(moved);
    if (moved >= 0) co_return static_cast<std::size_t>(moved);
    if (!would_block(moved)) throw_errno(static_cast<int>(-moved), "splice", out);
    // splice(2) doesn't say which of the two would block.
    co_await from.readable();
    co_await to.writable();
  }
}

}  // namespace heddle
