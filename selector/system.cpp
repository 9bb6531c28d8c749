// KernelSystem: the seam's real side, one libc call each.
// SPDX-License-Identifier: MIT
#include "system.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

namespace heddle {

namespace {

template <class Number>
Number or_errno(Number result) noexcept {
  return result < 0 ? static_cast<Number>(-errno) : result;
}

#ifndef __linux__
// Where accept4 and SOCK_NONBLOCK are missing the flags are set afterwards.
int prepared(int fd) noexcept {
  if (fd < 0) return -errno;
  const int flags = ::fcntl(fd, F_GETFL, 0);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || ::fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
    const int error = errno;
    ::close(fd);
    return -error;
  }
#ifdef SO_NOSIGPIPE
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
  return fd;
}
#endif

}  // namespace

System::~System() = default;

TimePoint KernelSystem::now() noexcept {
  return std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now());
}

int KernelSystem::socket(int domain, int type, int protocol) noexcept {
#ifdef __linux__
  return or_errno(::socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
#else
  return prepared(::socket(domain, type, protocol));
#endif
}

int KernelSystem::bind(int fd, const sockaddr* address, unsigned length) noexcept {
  return or_errno(::bind(fd, address, length));
}

int KernelSystem::listen(int fd, int backlog) noexcept { return or_errno(::listen(fd, backlog)); }

int KernelSystem::accept(int fd, sockaddr* address, unsigned* length) noexcept {
#ifdef __linux__
  return or_errno(::accept4(fd, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC));
#else
  return prepared(::accept(fd, address, length));
#endif
}

int KernelSystem::connect(int fd, const sockaddr* address, unsigned length) noexcept {
  return or_errno(::connect(fd, address, length));
}

int KernelSystem::shutdown(int fd, int how) noexcept { return or_errno(::shutdown(fd, how)); }

int KernelSystem::close(int fd) noexcept { return or_errno(::close(fd)); }

std::ptrdiff_t KernelSystem::recv(int fd, void* data, std::size_t size, int flags) noexcept {
  return or_errno(::recv(fd, data, size, flags));
}

std::ptrdiff_t KernelSystem::send(int fd, const void* data, std::size_t size, int flags) noexcept {
  return or_errno(::send(fd, data, size, flags));
}

std::ptrdiff_t KernelSystem::recvmsg(int fd, msghdr* message, int flags) noexcept {
  return or_errno(::recvmsg(fd, message, flags));
}

std::ptrdiff_t KernelSystem::sendmsg(int fd, const msghdr* message, int flags) noexcept {
  return or_errno(::sendmsg(fd, message, flags));
}

std::ptrdiff_t KernelSystem::read(int fd, void* data, std::size_t size) noexcept {
  return or_errno(::read(fd, data, size));
}

std::ptrdiff_t KernelSystem::write(int fd, const void* data, std::size_t size) noexcept {
  return or_errno(::write(fd, data, size));
}

int KernelSystem::getsockname(int fd, sockaddr* address, unsigned* length) noexcept {
  return or_errno(::getsockname(fd, address, length));
}

int KernelSystem::getpeername(int fd, sockaddr* address, unsigned* length) noexcept {
  return or_errno(::getpeername(fd, address, length));
}

int KernelSystem::getsockopt(int fd, int level, int name, void* value, unsigned* length) noexcept {
  return or_errno(::getsockopt(fd, level, name, value, length));
}

int KernelSystem::setsockopt(int fd, int level, int name, const void* value, unsigned length) noexcept {
  return or_errno(::setsockopt(fd, level, name, value, length));
}

int KernelSystem::poll_now(int fd, short events) noexcept {
  pollfd entry{fd, events, 0};
  const int count = ::poll(&entry, 1, 0);
  return count < 0 ? -errno : entry.revents;
}

System& kernel_system() noexcept {
  static KernelSystem& system = *new KernelSystem;  // never destroyed: descriptors may be closed during exit
  return system;
}

}  // namespace heddle
