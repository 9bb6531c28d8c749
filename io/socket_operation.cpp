// What each socket operation does when its turn comes, and what it learns about the socket's readiness from
// that. SPDX-License-Identifier: MIT
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

bool ReceiveOperation::attempt(int fd) noexcept {
  do result_ = kernel().recv(fd, data_, size_, 0);
  while (result_ == -EINTR);
  if (would_block(result_)) {
    mark_drained();
    return false;
  }
  // A stream that gave less than it was asked for is empty, so the next receive needn't try.
  if (result_ > 0 && static_cast<std::size_t>(result_) < size_) mark_drained_unless_hangup();
  return true;
}

bool SendOperation::attempt(int fd) noexcept {
  do result_ = kernel().send(fd, data_, size_, send_flags);
  while (result_ == -EINTR);
  if (would_block(result_)) {
    mark_drained();
    return false;
  }
  if (result_ >= 0 && static_cast<std::size_t>(result_) < size_) mark_drained_unless_hangup();
  return true;
}

bool SendAllOperation::attempt(int fd) noexcept {
  while (left_ > 0) {
    const std::ptrdiff_t sent = kernel().send(fd, data_, left_, send_flags);
    if (sent == -EINTR) continue;
    if (would_block(sent)) {
      mark_drained();
      return false;
    }
    if (sent < 0) {
      result_ = sent;
      return true;
    }
    result_ += sent;
    data_ += sent;
    left_ -= static_cast<std::size_t>(sent);
  }
  return true;
}

bool AcceptOperation::attempt(int fd) noexcept {
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
        mark_drained();
        return false;
      case EMFILE:
      case ENFILE: {
        const int refused = refuse_one(fd);
        if (refused == 0) continue;
        if (would_block(refused)) {
          mark_drained();
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

bool ConnectOperation::attempt(int fd) noexcept {
  if (!begun_) {
    result_ = kernel().connect(fd, address_->data(), address_->length());
    // Interrupted, it goes on by itself (connect(2)).
    if (result_ != -EINPROGRESS && result_ != -EINTR) return true;
    begun_ = true;
    mark_drained();
    return false;
  }
  int error = 0;
  unsigned length = sizeof error;
  result_ = kernel().getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
  if (result_ == 0) result_ = -error;
  return true;
}

}  // namespace heddle
