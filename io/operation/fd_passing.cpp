// Passing descriptors: SCM_RIGHTS (unix(7)). Each that arrives gets an owner or is closed: none leaks.
// SPDX-License-Identifier: MIT
#include "fd_passing.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "../../selector/errors.hpp"
#include "socket_operation_steps.hpp"

namespace heddle::detail {

namespace {

// For the most descriptors a message can carry, and credentials, so that no control message is truncated.
constexpr std::size_t control_size = CMSG_SPACE(SendFdsOperation::most_fds * sizeof(int)) + CMSG_SPACE(64);

}  // namespace

bool ReceiveFdsOperation::attempt(int fd, FdWatch* watch) noexcept {
  alignas(cmsghdr) unsigned char control[control_size];
  iovec piece{data_, size_};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  result_ = uninterrupted([&] {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    return kernel().recvmsg(fd, &message, 0);
  });
  if (would_block(result_)) {
    drained(direction(), watch);
    return false;
  }
  if (result_ < 0) return true;
  received_ = 0;
  truncated_ = (message.msg_flags & MSG_TRUNC) != 0;
  lost_ = (message.msg_flags & MSG_CTRUNC) != 0;
  charge_transfer(result_);
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int received = -1;
      std::memcpy(&received, CMSG_DATA(part) + i * sizeof received, sizeof received);
      Fd owner(received, kernel());
      if (received_ < room_)
        fds_[received_++] = std::move(owner);
      else
        lost_ = true;
    }
  }
  return true;
}

ReceivedWithFds ReceiveFdsOperation::value() const noexcept {
  return {static_cast<std::size_t>(result_), received_, lost_, truncated_};
}

template class detail::SocketOperationOf<ReceiveFdsOperation, Direction::READ>;

bool SendFdsOperation::attempt(int fd, FdWatch* watch) noexcept {
  // What comes from now on is for whoever gets the descriptor.
  if (sent_ == 0)
    for (std::size_t i = 0; i < count_; ++i) kernel().take_unread(fds_[i], nullptr, 0);
  alignas(cmsghdr) unsigned char control[control_size];
  const std::size_t end = sent_ + std::min(size_ - sent_, most_at_once_);
  do {
    iovec piece{const_cast<std::byte*>(data_) + sent_, end - sent_};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    if (sent_ == 0 && count_ != 0) {
      const std::size_t size = count_ * sizeof(int);
      std::memset(control, 0, CMSG_SPACE(size));
      message.msg_control = control;
      message.msg_controllen = CMSG_SPACE(size);
      cmsghdr* const part = CMSG_FIRSTHDR(&message);
      part->cmsg_level = SOL_SOCKET;
      part->cmsg_type = SCM_RIGHTS;
      part->cmsg_len = CMSG_LEN(size);
      std::memcpy(CMSG_DATA(part), fds_, size);
    }
    result_ = uninterrupted([&] { return kernel().sendmsg(fd, &message, 0); });
    if (would_block(result_)) {
      drained(direction(), watch);
      return false;
    }
    if (result_ < 0) return true;
    sent_ += static_cast<std::size_t>(result_);
    charge_transfer(result_);
  } while (sent_ < end);
  return sent_ == size_ || at_next_turn();
}

void SendFdsOperation::throw_too_many(std::size_t count) {
  throw ValueError("a message carries at most " + std::to_string(most_fds) + " descriptors, not " +
                   std::to_string(count));
}

template class detail::SocketOperationOf<SendFdsOperation, Direction::WRITE, SteppedOperation>;

}  // namespace heddle::detail
