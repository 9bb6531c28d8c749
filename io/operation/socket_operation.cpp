// What each socket operation tries, and what the result says about the socket's readiness.
// SPDX-License-Identifier: MIT
#include "socket_operation.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>

#include "../../runtime/loop/descriptor_table.hpp"
#include "socket_operation_steps.hpp"

namespace heddle::detail {

// Pausing.

void PausingOperation::begin_pause() noexcept {
  due_ = false;
  if (pause_ <= Duration(0)) {
    unpause();
    return;
  }
  try {
    current.loop->timers().add(*this, current.loop->deadline_after(pause_));
    pause();
  } catch (const std::bad_alloc&) {
    // Without memory for a timer the operation tries again at the next event.
  }
}

void PausingOperation::end_pause(Timer& timer) noexcept { static_cast<PausingOperation&>(timer).unpause(); }

void PausingOperation::leaving(bool watch_is_going) noexcept {
  if (!armed()) return;
  task_->owner()->loop().timers().remove(*this);
  if (!watch_is_going) unpause();
}

// Receiving.

template <ShortRead short_read>
inline void BasicReceiveOperation<short_read>::receive(int fd) noexcept {
  this->result_ = kernel().recv(fd, data_, size_, 0);
}

// After bytes came: whether the socket is taken for drained, so that the next receive waits without trying.
template <ShortRead short_read>
inline bool BasicReceiveOperation<short_read>::has_drained(FdWatch& watch) const noexcept {
  return static_cast<std::size_t>(this->result_) < size_ && !watch.hangup &&
         (short_read == ShortRead::EMPTIES || this->perhaps_drained(watch));
}

template <ShortRead short_read>
bool BasicReceiveOperation<short_read>::attempt(int fd, FdWatch* watch) noexcept {
  receive(fd);
  return settle(fd, watch);
}

// Evaluates the last receive(), which is repeated if a signal interrupted it.
template <ShortRead short_read>
bool BasicReceiveOperation<short_read>::settle(int fd, FdWatch* watch) noexcept {
  while (this->result_ == -EINTR) receive(fd);
  if (would_block(this->result_)) {
    this->drained(Direction::READ, watch);
    return false;
  }
  if (this->result_ > 0 && watch != nullptr && has_drained(*watch)) this->drained(Direction::READ, watch);
  charge_transfer(this->result_);
  return true;
}

// advance(), written out for the usual case: some bytes have come, and no other operation waits. Only `self`
// lives across the system call; what else is needed is loaded again, which costs less than saving registers.
template <ShortRead short_read>
void BasicReceiveOperation<short_read>::step(Runnable& runnable) {
  auto& task = static_cast<TaskState&>(runnable);
  task.begin_turn();
  auto& self = static_cast<BasicReceiveOperation&>(task.waiting_for());
  task.fetch_coroutine();  // while the kernel works
  self.receive(self.watch().fd);
  FdWatch& watch = self.watch();
  const auto less_one =
      static_cast<std::size_t>(self.result_) - 1;  // so that nothing, and a failure, are many
  if (less_one >= bytes_of_operation || watch.side(Direction::READ).others != nullptr) [[unlikely]]
    return step_unusual(self.task());
  if (self.has_drained(watch))
    watch.side(Direction::READ).clear_drained();
  else
    watch.side(Direction::READ).clear();
  self.task().go_on();
}

template <ShortRead short_read>
void BasicReceiveOperation<short_read>::step_unusual(TaskState& task) {
  auto& self = static_cast<BasicReceiveOperation&>(task.waiting_for());
  if (self.settled(self, self.settle(self.watch().fd, &self.watch()))) task.go_on();
}

template <ShortRead short_read>
[[gnu::flatten]] std::optional<std::size_t> BasicReceiveOperation<short_read>::try_now(
    Fd& socket, std::span<std::byte> buffer) {
  if (buffer.empty()) return 0;
  BasicReceiveOperation self(socket, buffer);
  if (!Base::done_now(self)) return std::nullopt;
  return self.value();
}

template class BasicReceiveOperation<ShortRead::EMPTIES>;
template class BasicReceiveOperation<ShortRead::MAY_LEAVE_MORE>;
template class detail::SocketOperationOf<BasicReceiveOperation<ShortRead::EMPTIES>, Direction::READ>;
template class detail::SocketOperationOf<BasicReceiveOperation<ShortRead::MAY_LEAVE_MORE>, Direction::READ>;

bool PeekOperation::attempt(int fd, FdWatch* watch) noexcept {
  result_ = uninterrupted([&] { return kernel().recv(fd, data_, size_, MSG_PEEK); });
  charge_transfer(result_);
  if (!would_block(result_)) return true;
  drained(direction(), watch);
  return false;
}

template class detail::SocketOperationOf<PeekOperation, Direction::READ>;

// Sending.

bool SendOperation::attempt(int fd, FdWatch* watch) noexcept {
  do result_ = kernel().send(fd, data_, size_, 0);
  while (result_ == -EINTR);
  if (would_block(result_)) [[unlikely]] {
    drained(direction(), watch);
    return false;
  }
  if (result_ >= 0 && static_cast<std::size_t>(result_) < size_) drained_unless_hangup(direction(), watch);
  charge_transfer(result_);
  return true;
}

[[gnu::flatten]] std::size_t SendOperation::try_now(Fd& socket, std::span<const std::byte> buffer) {
  if (buffer.empty()) return 0;
  SendOperation self(socket, buffer);
  return done_now(self) ? self.value() : 0;
}

template class detail::SocketOperationOf<SendOperation, Direction::WRITE>;

// Evaluates the send() that await_ready() has made, or else makes one, and sends on until everything is sent,
// it would block, or its turn is over.
bool SendAllOperation::attempt(int fd, FdWatch* watch) noexcept {
  const std::size_t end = sent_ + of_one_turn(size_ - sent_);
  if (result_ == not_tried || result_ == goes_on) result_ = kernel().send(fd, data_ + sent_, end - sent_, 0);
  for (;;) {
    if (result_ >= 0) {
      sent_ += static_cast<std::size_t>(result_);
      charge_transfer(result_);
    } else if (would_block(result_)) {
      drained(direction(), watch);
      result_ = not_tried;
      return false;
    } else if (result_ != -EINTR) {
      return true;
    }
    if (sent_ == size_) {
      result_ = 0;
      return true;
    }
    if (sent_ >= end) {
      result_ = goes_on;
      return false;
    }
    result_ = kernel().send(fd, data_ + sent_, end - sent_, 0);
  }
}

// After an await_ready() that couldn't try (the task is to stop or has spent its budget, or others wait), or
// whose send() didn't take everything.
bool SendAllOperation::start(std::coroutine_handle<> coroutine, AsyncFrame* frame) {
  sent_ = 0;
  return SocketOperationOf::start(coroutine, frame);
}

template class detail::SocketOperationOf<SendAllOperation, Direction::WRITE>;

// Connecting.

bool ConnectOperation::attempt(int fd, FdWatch* watch) noexcept {
  if (!begun_) {
    result_ = kernel().connect(fd, address_, length_);
    // Interrupted by a signal, it goes on in the background (connect(2)).
    if (result_ != -EINPROGRESS && result_ != -EINTR) return true;
    begun_ = true;
    drained(direction(), watch);
    return false;
  }
  int error = 0;
  unsigned length = sizeof error;
  result_ = kernel().getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
  if (result_ == 0) result_ = -error;
  return true;
}

template class detail::SocketOperationOf<ConnectOperation, Direction::WRITE>;

}  // namespace heddle::detail
