// Accepting: errors that concern one connection only, and running out of descriptors.
// SPDX-License-Identifier: MIT
#include "accept_operation.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <chrono>

#include "socket_operation_steps.hpp"

namespace heddle::detail {

namespace {

constexpr auto accept_pause = std::chrono::milliseconds(50);
// Connections that fail or are refused as fast as they are accepted must not starve other tasks, which may be
// about to free descriptors.
constexpr int most_failures = 16;
// Making a socket takes about as long as moving so many bytes.
constexpr std::ptrdiff_t cost = 4 * static_cast<std::ptrdiff_t>(bytes_of_operation);

Fd reserve() noexcept {
  System& system = current_system();
  return Fd(system.socket(AF_UNIX, SOCK_DGRAM, 0), system);
}

}  // namespace

SpareFd::~SpareFd() { delete fd_; }

SpareFd SpareFd::make() {
  SpareFd spare;
  spare.fd_ = new Fd(reserve());
  return spare;
}

bool AcceptOperation::attempt(int fd, FdWatch* watch) noexcept {
  if (still_pausing()) return false;
  if (exhausted_ && !spare_->is_open()) *spare_ = reserve();
  exhausted_ = false;
  for (int left = most_failures;; --left) {
    if (left == 0) return retry_after(Duration(0));
    result_ = kernel().accept(fd, nullptr, nullptr);
    switch (-result_) {
      case EINTR:
      // These concern one connection, which is gone; the listener goes on (accept(2)).
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
        return retry_after(accept_pause);
      default:
        charge_transfer(result_ >= 0 ? cost : 0);
        return true;
    }
  }
}

// Accepts and closes the peer that has waited longest, in place of the spare descriptor: so it learns at once
// that it isn't served. Returns 0 or a negative errno: -EAGAIN when no peer waits, which accept(2) hides
// behind EMFILE as long as there is no descriptor.
int AcceptOperation::refuse_one(int fd) noexcept {
  if (spare_ == nullptr || !spare_->is_open()) return -EMFILE;
  spare_->close();
  const int refused = kernel().accept(fd, nullptr, nullptr);
  if (refused >= 0) Fd(refused, kernel()).close();  // it may linger, as its listener does
  *spare_ = reserve();
  return refused < 0 ? refused : 0;
}

template class detail::SocketOperationOf<AcceptOperation, Direction::READ, PausingOperation>;

}  // namespace heddle::detail
