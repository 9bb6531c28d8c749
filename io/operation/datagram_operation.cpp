// Datagrams: recvmsg(2) and sendmsg(2).
// SPDX-License-Identifier: MIT
#include "datagram_operation.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <chrono>

#include "../address/address.hpp"
#include "../address/unix_address.hpp"
#include "socket_operation_steps.hpp"

namespace heddle::detail {

namespace {

constexpr auto full_queue_pause = std::chrono::milliseconds(1);

}  // namespace

bool ReceiveDatagramOperation::attempt(int fd, FdWatch* watch) noexcept {
  iovec piece{data_, size_};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  result_ = uninterrupted([&] { return kernel().recvmsg(fd, &message, 0); });
  truncated_ = (message.msg_flags & MSG_TRUNC) != 0;
  charge_transfer(result_);
  if (!would_block(result_)) return true;
  drained(direction(), watch);
  return false;
}

template class detail::SocketOperationOf<ReceiveDatagramOperation, Direction::READ>;

template <class SomeAddress>
bool ReceiveFromOperation<SomeAddress>::attempt(int fd, FdWatch* watch) noexcept {
  iovec piece{data_, size_};
  msghdr message{};
  message.msg_name = from_.data();
  message.msg_namelen = SomeAddress::capacity();
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  this->result_ = uninterrupted([&] { return kernel().recvmsg(fd, &message, 0); });
  if (would_block(this->result_)) {
    this->drained(Direction::READ, watch);
    return false;
  }
  truncated_ = (message.msg_flags & MSG_TRUNC) != 0;
  charge_transfer(this->result_);
  from_.set_length(message.msg_namelen < SomeAddress::capacity() ? message.msg_namelen
                                                                 : SomeAddress::capacity());
  return true;
}

template class ReceiveFromOperation<Address>;
template class ReceiveFromOperation<UnixAddress>;
template class detail::SocketOperationOf<ReceiveFromOperation<Address>, Direction::READ>;
template class detail::SocketOperationOf<ReceiveFromOperation<UnixAddress>, Direction::READ>;

bool SendDatagramOperation::attempt(int fd, FdWatch* watch) noexcept {
  if (still_pausing()) return false;
  iovec piece{const_cast<std::byte*>(data_), size_};
  msghdr message{};
  message.msg_name = const_cast<sockaddr*>(to_);
  message.msg_namelen = to_length_;
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  result_ = uninterrupted([&] { return kernel().sendmsg(fd, &message, 0); });
  charge_transfer(result_);
  if (!would_block(result_)) return true;
  // Writable all the same: the receiver's queue is full, and no event reports when it has room.
  if (to_ != nullptr && to_->sa_family == AF_UNIX && kernel().poll_now(fd, POLLOUT) == POLLOUT)
    return retry_after(full_queue_pause);
  drained(direction(), watch);
  return false;
}

template class detail::SocketOperationOf<SendDatagramOperation, Direction::WRITE, PausingOperation>;

}  // namespace heddle::detail
