// FaultySystem: the kernel, but the n-th call fails, or transfers are short.
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "../../selector/system.hpp"

namespace heddle::test {

/// Which call of a System.
enum class Call {
  SOCKET,
  BIND,
  LISTEN,
  ACCEPT,
  CONNECT,
  SHUTDOWN,
  RECV,
  SEND,
  GETSOCKNAME,
  SETSOCKOPT,
  GETSOCKOPT,
  SOCKETPAIR,
  RECVMSG,
  SENDMSG,
  RECVMMSG,
  SENDMMSG,
  SENDFILE,
  SPLICE,
  LSTAT,
  UNLINK,
  COUNT
};

inline const char* to_string(Call call) {
  constexpr const char* names[] = {"socket",     "bind",       "listen",  "accept",      "connect",
                                   "shutdown",   "recv",       "send",    "getsockname", "setsockopt",
                                   "getsockopt", "socketpair", "recvmsg", "sendmsg",     "recvmmsg",
                                   "sendmmsg",   "sendfile",   "splice",  "lstat",       "unlink"};
  return names[static_cast<int>(call)];
}

class FaultySystem : public KernelSystem {
 public:
  /// Called before each call; what it returns, if not 0, is returned instead of making it.
  std::function<int(Call, int fd)> fault;
  /// No call moves more bytes than this, nor more messages.
  std::size_t most = SIZE_MAX;
  int calls[static_cast<int>(Call::COUNT)] = {};

  int made(Call call) const { return calls[static_cast<int>(call)]; }

  /// The `n`-th `call` from now on (0: the next) fails with `error`, `times` times.
  void fail(Call which, int n, int error, int times = 1) {
    const int first = made(which) + n;
    fault = [this, which, first, error, times](Call call, int) {
      const int index = made(call) - 1;
      return call == which && index >= first && index - first < times ? -error : 0;
    };
  }

  int socket(int domain, int type, int protocol) noexcept override {
    const int error = begin(Call::SOCKET, -1);
    return error != 0 ? error : KernelSystem::socket(domain, type, protocol);
  }
  int bind(int fd, const sockaddr* address, unsigned length) noexcept override {
    const int error = begin(Call::BIND, fd);
    return error != 0 ? error : KernelSystem::bind(fd, address, length);
  }
  int listen(int fd, int backlog) noexcept override {
    const int error = begin(Call::LISTEN, fd);
    return error != 0 ? error : KernelSystem::listen(fd, backlog);
  }
  int accept(int fd, sockaddr* address, unsigned* length) noexcept override {
    const int error = begin(Call::ACCEPT, fd);
    return error != 0 ? error : KernelSystem::accept(fd, address, length);
  }
  int connect(int fd, const sockaddr* address, unsigned length) noexcept override {
    const int error = begin(Call::CONNECT, fd);
    if (error == -EINTR) KernelSystem::connect(fd, address, length);  // it goes on by itself
    return error != 0 ? error : KernelSystem::connect(fd, address, length);
  }
  int shutdown(int fd, int how) noexcept override {
    const int error = begin(Call::SHUTDOWN, fd);
    return error != 0 ? error : KernelSystem::shutdown(fd, how);
  }
  std::ptrdiff_t recv(int fd, void* data, std::size_t size, int flags) noexcept override {
    const int error = begin(Call::RECV, fd);
    return error != 0 ? error : KernelSystem::recv(fd, data, std::min(size, most), flags);
  }
  std::ptrdiff_t send(int fd, const void* data, std::size_t size, int flags) noexcept override {
    const int error = begin(Call::SEND, fd);
    return error != 0 ? error : KernelSystem::send(fd, data, std::min(size, most), flags);
  }
  std::ptrdiff_t recvmsg(int fd, msghdr* message, int flags) noexcept override {
    const int error = begin(Call::RECVMSG, fd);
    if (error != 0) return error;
    const Shortened shortened(*message, most);
    return KernelSystem::recvmsg(fd, message, flags);
  }
  std::ptrdiff_t sendmsg(int fd, const msghdr* message, int flags) noexcept override {
    const int error = begin(Call::SENDMSG, fd);
    if (error != 0) return error;
    msghdr copy = *message;
    const Shortened shortened(copy, most);
    return KernelSystem::sendmsg(fd, &copy, flags);
  }
  int recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags) noexcept override {
    const int error = begin(Call::RECVMMSG, fd);
    if (error != 0) return error;
    return KernelSystem::recvmmsg(fd, messages, static_cast<unsigned>(std::min<std::size_t>(count, most)),
                                  flags);
  }
  int sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) noexcept override {
    const int error = begin(Call::SENDMMSG, fd);
    if (error != 0) return error;
    return KernelSystem::sendmmsg(fd, messages, static_cast<unsigned>(std::min<std::size_t>(count, most)),
                                  flags);
  }
  std::ptrdiff_t sendfile(int to, int from, std::int64_t* offset, std::size_t count) noexcept override {
    const int error = begin(Call::SENDFILE, to);
    return error != 0 ? error : KernelSystem::sendfile(to, from, offset, std::min(count, most));
  }
  std::ptrdiff_t splice(int from, int to, std::size_t count) noexcept override {
    const int error = begin(Call::SPLICE, from);
    return error != 0 ? error : KernelSystem::splice(from, to, std::min(count, most));
  }
  int socketpair(int domain, int type, int protocol, int fds[2]) noexcept override {
    const int error = begin(Call::SOCKETPAIR, -1);
    return error != 0 ? error : KernelSystem::socketpair(domain, type, protocol, fds);
  }
  int lstat(const char* path, struct stat* result) noexcept override {
    const int error = begin(Call::LSTAT, -1);
    return error != 0 ? error : KernelSystem::lstat(path, result);
  }
  int unlink(const char* path) noexcept override {
    const int error = begin(Call::UNLINK, -1);
    return error != 0 ? error : KernelSystem::unlink(path);
  }
  int getsockopt(int fd, int level, int name, void* value, unsigned* length) noexcept override {
    const int error = begin(Call::GETSOCKOPT, fd);
    return error != 0 ? error : KernelSystem::getsockopt(fd, level, name, value, length);
  }
  int getsockname(int fd, sockaddr* address, unsigned* length) noexcept override {
    const int error = begin(Call::GETSOCKNAME, fd);
    return error != 0 ? error : KernelSystem::getsockname(fd, address, length);
  }
  int setsockopt(int fd, int level, int name, const void* value, unsigned length) noexcept override {
    const int error = begin(Call::SETSOCKOPT, fd);
    return error != 0 ? error : KernelSystem::setsockopt(fd, level, name, value, length);
  }

 private:
  // While it lives, a message has room for no more than `most` bytes.
  struct Shortened {
    Shortened(msghdr& to_shorten, std::size_t room) : message(to_shorten), before(to_shorten) {
      if (room == SIZE_MAX) return;
      buffers.assign(message.msg_iov, message.msg_iov + message.msg_iovlen);
      for (iovec& buffer : buffers) {
        buffer.iov_len = std::min(buffer.iov_len, room);
        room -= buffer.iov_len;
      }
      message.msg_iov = buffers.data();
    }
    ~Shortened() { message.msg_iov = before.msg_iov; }

    msghdr& message;
    const msghdr before;
    std::vector<iovec> buffers;
  };

  int begin(Call call, int fd) noexcept {
    ++calls[static_cast<int>(call)];
    return fault ? fault(call, fd) : 0;
  }
};

}  // namespace heddle::test
