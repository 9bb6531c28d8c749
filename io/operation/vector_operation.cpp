// Vectored reading and writing: recvmsg(2) and sendmsg(2) with as many buffers as a call takes.
// SPDX-License-Identifier: MIT
#include "vector_operation.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>

#include "socket_operation_steps.hpp"

namespace heddle::detail {

namespace {

constexpr std::size_t most_buffers = 256;  // per call

template <class Buffer>
std::size_t total_size(const Buffer* buffers, std::size_t count) noexcept {
  std::size_t total = 0;
  for (std::size_t i = 0; i < count; ++i) total += buffers[i].size;
  return total;
}

// A msghdr for the buffers, without the first `begun` bytes of the first one, and for no more than one turn.
struct Message {
  template <class Buffer>
  Message(const Buffer* buffers, std::size_t count, std::size_t begun = 0) noexcept {
    for (std::size_t i = 0; i < count && used < most_buffers && size < most_per_turn; ++i, begun = 0) {
      if (buffers[i].size == begun) continue;
      pieces[used].iov_base = const_cast<std::byte*>(buffers[i].data + begun);
      pieces[used].iov_len = std::min(buffers[i].size - begun, most_per_turn - size);
      size += pieces[used++].iov_len;
    }
    header.msg_iov = pieces;
    header.msg_iovlen = used;
  }

  msghdr header{};
  std::size_t used = 0;
  std::size_t size = 0;
  iovec pieces[most_buffers];
};

}  // namespace

template <ShortRead short_read>
bool BasicReceiveVectorOperation<short_read>::await_ready() {
  return total_size(buffers_, count_) == 0 && this->done_at_once();
}

template <ShortRead short_read>
bool BasicReceiveVectorOperation<short_read>::attempt(int fd, FdWatch* watch) noexcept {
  Message message(buffers_, count_);
  this->result_ = uninterrupted([&] { return kernel().recvmsg(fd, &message.header, 0); });
  if (would_block(this->result_)) {
    this->drained(Direction::READ, watch);
    return false;
  }
  const bool has_drained = static_cast<std::size_t>(this->result_) < message.size &&
                           (short_read == ShortRead::EMPTIES || !more_may_follow(message.header));
  if (has_drained && this->result_ > 0) this->drained_unless_hangup(Direction::READ, watch);
  charge_transfer(this->result_);
  return true;
}

template class BasicReceiveVectorOperation<ShortRead::EMPTIES>;
template class BasicReceiveVectorOperation<ShortRead::MAY_LEAVE_MORE>;
template class detail::SocketOperationOf<BasicReceiveVectorOperation<ShortRead::EMPTIES>, Direction::READ>;
template class detail::SocketOperationOf<BasicReceiveVectorOperation<ShortRead::MAY_LEAVE_MORE>,
                                         Direction::READ>;

bool SendVectorOperation::await_ready() { return total_size(buffers_, count_) == 0 && done_at_once(); }

bool SendVectorOperation::attempt(int fd, FdWatch* watch) noexcept {
  const Message message(buffers_, count_);
  result_ = uninterrupted([&] { return kernel().sendmsg(fd, &message.header, 0); });
  if (would_block(result_)) {
    drained(direction(), watch);
    return false;
  }
  if (result_ >= 0 && static_cast<std::size_t>(result_) < message.size)
    drained_unless_hangup(direction(), watch);
  charge_transfer(result_);
  return true;
}

std::size_t SendVectorOperation::try_now(Fd& socket, std::span<const ConstBuffer> buffers) {
  if (total_size(buffers.data(), buffers.size()) == 0) return 0;
  SendVectorOperation self(socket, buffers);
  return done_now(self) ? self.value() : 0;
}

template class detail::SocketOperationOf<SendVectorOperation, Direction::WRITE>;

bool SendAllVectorOperation::await_ready() {
  index_ = begun_ = sent_ = 0;
  return total_size(buffers_, count_) == 0 && done_at_once();
}

bool SendAllVectorOperation::attempt(int fd, FdWatch* watch) noexcept {
  for (const std::size_t end = sent_ + most_per_turn;;) {
    const Message message(buffers_ + index_, count_ - index_, begun_);
    if (message.used == 0) {
      result_ = 0;
      return true;
    }
    result_ = uninterrupted([&] { return kernel().sendmsg(fd, &message.header, 0); });
    if (would_block(result_)) {
      drained(direction(), watch);
      return false;
    }
    if (result_ < 0) return true;
    skip(static_cast<std::size_t>(result_));
    charge_transfer(result_);
    if (sent_ >= end && index_ < count_) return at_next_turn();
  }
}

void SendAllVectorOperation::skip(std::size_t size) noexcept {
  sent_ += size;
  begun_ += size;
  while (index_ < count_ && begun_ >= buffers_[index_].size) begun_ -= buffers_[index_++].size;
}

template class detail::SocketOperationOf<SendAllVectorOperation, Direction::WRITE, SteppedOperation>;

}  // namespace heddle::detail
