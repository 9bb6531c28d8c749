// What each socket operation does when its turn comes, and what it learns about the socket's readiness from
// that.
// SPDX-License-Identifier: MIT
#include "socket_operation.hpp"

#include <sys/socket.h>

#include <cerrno>

#include "../runtime/event_loop.hpp"

namespace heddle {

namespace {

constexpr auto accept_pause = std::chrono::milliseconds(50);

bool would_block(std::ptrdiff_t result) noexcept { return result == -EAGAIN || result == -EWOULDBLOCK; }

System& kernel() noexcept { return *current.system; }

}  // namespace

bool ReceiveOperation::attempt(int fd, FdWatch* watch) noexcept {
  result_ = kernel().recv(fd, data_, size_, 0);
  return settle(fd, watch);
}

// What the last recv() said, and another one if it was interrupted.
bool ReceiveOperation::settle(int fd, FdWatch* watch) noexcept {
  while (result_ == -EINTR) result_ = kernel().recv(fd, data_, size_, 0);
  if (would_block(result_)) {
    drained(direction(), watch);
    return false;
  }
  // A stream that gave less than it was asked for is empty, so the next receive needn't try.
  if (result_ > 0 && static_cast<std::size_t>(result_) < size_) drained_unless_hangup(direction(), watch);
  return true;
}

bool ReceiveOperation::start(std::coroutine_handle<> coroutine, AsyncFrame* frame) {
  return DescriptorOperation::start(*this, coroutine, frame);
}
bool ReceiveOperation::advance() noexcept { return DescriptorOperation::advance(*this); }

// advance() again, for the usual case: bytes have come, and nobody else waits for some. One pointer is kept
// over the call, and the rest read again: that is less than to save and restore the registers for it.
void ReceiveOperation::step(Runnable& runnable) {
  auto& task = static_cast<TaskState&>(runnable);
  task.begin_turn();
  auto& self = static_cast<ReceiveOperation&>(task.waiting_for());
  self.result_ = kernel().recv(self.watch().fd, self.data_, self.size_, 0);
  FdWatch& watch = self.watch();
  if (self.result_ <= 0 || watch.side(direction()).others != nullptr) [[unlikely]]
    return step_unusual(self.task());
  if (static_cast<std::size_t>(self.result_) < self.size_ && !watch.hangup)
    watch.side(direction()).clear_drained();
  else
    watch.side(direction()).clear();
  self.task().go_on();
}

void ReceiveOperation::step_unusual(TaskState& task) {
  auto& self = static_cast<ReceiveOperation&>(task.waiting_for());
  if (self.settled(self, self.settle(self.watch().fd, &self.watch()))) task.go_on();
}

inline bool SendOperation::attempt(int fd, FdWatch* watch) noexcept {
  do result_ = kernel().send(fd, data_, size_, 0);
  while (result_ == -EINTR);
  if (would_block(result_)) [[unlikely]] {
    drained(direction(), watch);
    return false;
  }
  if (result_ >= 0 && static_cast<std::size_t>(result_) < size_) drained_unless_hangup(direction(), watch);
  return true;
}

// Whoever sends is mostly done at once.
bool SendOperation::await_ready() {
  if (size_ == 0) [[unlikely]] {
    check_can_begin();
    result_ = 0;
    finish();
    return true;
  }
  return try_first(*this) && finished();
}
void SendOperation::suspend_here(std::coroutine_handle<> coroutine, AsyncFrame* frame) {
  suspend_waiting(*this, coroutine, frame);
}
inline bool SendOperation::advance() noexcept { return DescriptorOperation::advance(*this); }

// What the last send() said, and more of them until all is sent or the kernel takes no more.
bool SendAllOperation::settle(int fd, FdWatch* watch) noexcept {
  for (;;) {
    if (result_ >= 0)
      sent_ += static_cast<std::size_t>(result_);
    else if (would_block(result_)) {
      drained(direction(), watch);
      return false;
    } else if (result_ != -EINTR) {
      return true;
    }
    if (sent_ == size_) {
      result_ = 0;
      return true;
    }
    result_ = kernel().send(fd, data_ + sent_, size_ - sent_, 0);
  }
}

// The task has to stop or has spent its budget, others wait already, or the kernel didn't take all.
bool SendAllOperation::start(std::coroutine_handle<> coroutine, AsyncFrame* frame) {
  sent_ = 0;
  bool done = false;
  if (result_ == not_tried) {
    done = try_first(*this);
  } else {
    begin_first();
    done = settle(fd(), slot().watch != &FdWatch::none ? slot().watch : nullptr);
    if (done) finish();
  }
  if (done && current.budget >= 0) return false;
  suspend_waiting(*this, coroutine, frame);
  return true;
}

inline bool SendAllOperation::attempt(int fd, FdWatch* watch) noexcept {
  result_ = kernel().send(fd, data_ + sent_, size_ - sent_, 0);
  return settle(fd, watch);
}

inline bool SendAllOperation::advance() noexcept { return DescriptorOperation::advance(*this); }

bool AcceptOperation::await_ready() { return try_first(*this) && finished(); }
void AcceptOperation::suspend_here(std::coroutine_handle<> coroutine, AsyncFrame* frame) {
  suspend_waiting(*this, coroutine, frame);
  if (exhausted_) begin_pause();
}
bool AcceptOperation::advance() noexcept { return DescriptorOperation::advance(*this); }

bool ConnectOperation::await_ready() { return try_first(*this) && finished(); }
void ConnectOperation::suspend_here(std::coroutine_handle<> coroutine, AsyncFrame* frame) {
  suspend_waiting(*this, coroutine, frame);
}
bool ConnectOperation::advance() noexcept { return DescriptorOperation::advance(*this); }

bool AcceptOperation::attempt(int fd, FdWatch* watch) noexcept {
  if (armed()) {
    pause();
    return false;
  }
  exhausted_ = false;
  for (;;) {
    result_ = kernel().accept(fd, nullptr, nullptr);
    switch (-result_) {
      case EINTR:
      // These concern one connection, and that is gone (accept(2)).
      case ECONNABORTED:
      case EHOSTUNREACH:
      case ENETDOWN:
      case ENETUNREACH:
      case ENOPROTOOPT:
      case EPERM:
      case EPROTO:
#ifdef __linux__
      case EHOSTDOWN:
      case ENONET:
#endif
        continue;
      case EAGAIN:
#if EWOULDBLOCK != EAGAIN
      case EWOULDBLOCK:
#endif
        drained(direction(), watch);
        return false;
      case EMFILE:
      case ENFILE: {
        const int refused = refuse_one(fd);
        if (refused == 0) continue;
        if (would_block(refused)) {
          drained(direction(), watch);
          return false;
        }
      }
        [[fallthrough]];
      case ENOBUFS:
      case ENOMEM:
        exhausted_ = true;
        if (waiting()) begin_pause();
        return false;
      default:
        return true;
    }
  }
}

// Gives the spare descriptor to the peer that waits longest, and takes it back: the peer sees the connection
// closed instead of waiting for nobody knows what. Returns 0, or why not: -EAGAIN when no peer waits, which
// accept() doesn't say while there is no descriptor.
int AcceptOperation::refuse_one(int fd) noexcept {
  if (!spare_->is_open()) return -EMFILE;
  spare_->close();
  const int refused = kernel().accept(fd, nullptr, nullptr);
  if (refused >= 0) kernel().close(refused);
  *spare_ = make_spare();
  return refused < 0 ? refused : 0;
}

Fd AcceptOperation::make_spare() noexcept {
  return Fd(current_system().socket(AF_UNIX, SOCK_DGRAM, 0), current_system());
}

void AcceptOperation::begin_pause() noexcept {
  try {
    current.loop->timers().add(*this, current.loop->deadline_after(accept_pause));
    pause();
  } catch (const std::bad_alloc&) {
    // Not even for a timer is there memory: the next event tries again.
  }
}

void AcceptOperation::end_pause(Timer& timer) noexcept {
  auto& self = static_cast<AcceptOperation&>(timer);
  if (!self.spare_->is_open()) *self.spare_ = make_spare();
  self.unpause();
}

void AcceptOperation::leaving(bool watch_is_going) noexcept {
  if (!armed()) return;
  task_->owner()->loop().timers().remove(*this);
  if (!watch_is_going) unpause();
}

bool ConnectOperation::attempt(int fd, FdWatch* watch) noexcept {
  if (!begun_) {
    result_ = kernel().connect(fd, address_->data(), address_->length());
    // Interrupted, it goes on by itself (connect(2)).
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

}  // namespace heddle
