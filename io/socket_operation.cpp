// What each socket operation does when its turn comes, and what it learns about the socket's readiness from
// that.
// SPDX-License-Identifier: MIT
#include "socket_operation.hpp"

#include <sys/socket.h>

#include <cerrno>

#include "../runtime/event_loop.hpp"

namespace heddle {

namespace {

#ifdef MSG_NOSIGNAL
constexpr int send_flags = MSG_NOSIGNAL;
#else
constexpr int send_flags = 0;  // SO_NOSIGPIPE is set instead
#endif

constexpr auto accept_pause = std::chrono::milliseconds(50);

bool would_block(std::ptrdiff_t result) noexcept { return result == -EAGAIN || result == -EWOULDBLOCK; }

System& kernel() noexcept { return current.loop->system(); }

}  // namespace

inline bool ReceiveOperation::attempt() noexcept {
  do result_ = kernel().recv(fd(), data_, size_, 0);
  while (result_ == -EINTR);
  if (would_block(result_)) [[unlikely]] {
    drained(*this);
    return false;
  }
  // A stream that gave less than it was asked for is empty, so the next receive needn't try.
  if (result_ > 0 && static_cast<std::size_t>(result_) < size_) drained_unless_hangup(*this);
  return true;
}

// Whoever receives has mostly been answered already and has to wait: so trying and suspending are one call.
bool ReceiveOperation::start(std::coroutine_handle<> coroutine, AsyncFrame* frame) {
  return DescriptorOperation::start(*this, coroutine, frame);
}
inline bool ReceiveOperation::advance() noexcept { return DescriptorOperation::advance(*this); }

inline bool SendOperation::attempt() noexcept {
  do result_ = kernel().send(fd(), data_, size_, send_flags);
  while (result_ == -EINTR);
  if (would_block(result_)) [[unlikely]] {
    drained(*this);
    return false;
  }
  if (result_ >= 0 && static_cast<std::size_t>(result_) < size_) drained_unless_hangup(*this);
  return true;
}

// Whoever sends is mostly done at once.
bool SendOperation::await_ready() { return try_first(*this) && finished(); }
void SendOperation::suspend_here(std::coroutine_handle<> coroutine, AsyncFrame* frame) {
  suspend_waiting(*this, coroutine, frame);
}
inline bool SendOperation::advance() noexcept { return DescriptorOperation::advance(*this); }

inline bool SendAllOperation::attempt() noexcept {
  while (sent_ < size_) {
    result_ = kernel().send(fd(), data_ + sent_, size_ - sent_, send_flags);
    if (result_ < 0) [[unlikely]] {
      if (result_ == -EINTR) continue;
      if (!would_block(result_)) return true;
      drained(*this);
      return false;
    }
    sent_ += static_cast<std::size_t>(result_);
  }
  result_ = 0;
  return true;
}

bool SendAllOperation::await_ready() { return try_first(*this) && finished(); }
void SendAllOperation::suspend_here(std::coroutine_handle<> coroutine, AsyncFrame* frame) {
  suspend_waiting(*this, coroutine, frame);
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

bool AcceptOperation::attempt() noexcept {
  exhausted_ = false;
  for (;;) {
    result_ = kernel().accept(fd(), nullptr, nullptr);
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
        drained(*this);
        return false;
      case EMFILE:
      case ENFILE: {
        const int refused = refuse_one(fd());
        if (refused == 0) continue;
        if (would_block(refused)) {
          drained(*this);
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
  current.loop->timers().remove(*this);
  if (!watch_is_going) unpause();
}

bool ConnectOperation::attempt() noexcept {
  if (!begun_) {
    result_ = kernel().connect(fd(), address_->data(), address_->length());
    // Interrupted, it goes on by itself (connect(2)).
    if (result_ != -EINPROGRESS && result_ != -EINTR) return true;
    begun_ = true;
    drained(*this);
    return false;
  }
  int error = 0;
  unsigned length = sizeof error;
  result_ = kernel().getsockopt(fd(), SOL_SOCKET, SO_ERROR, &error, &length);
  if (result_ == 0) result_ = -error;
  return true;
}

}  // namespace heddle
