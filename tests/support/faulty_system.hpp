// FaultySystem: the kernel, but the n-th call fails, or transfers are short.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cerrno>
#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "../../selector/system.hpp"

namespace heddle::test {

/// Which call of a System.
enum class Call { SOCKET, BIND, LISTEN, ACCEPT, CONNECT, SHUTDOWN, RECV, SEND, GETSOCKNAME, SETSOCKOPT };

inline const char* to_string(Call call) {
  constexpr const char* names[] = {"socket",   "bind", "listen", "accept",      "connect",
                                   "shutdown", "recv", "send",   "getsockname", "setsockopt"};
  return names[static_cast<int>(call)];
}

class FaultySystem : public KernelSystem {
 public:
  /// Called before each call; what it returns, if not 0, is returned instead of making it.
  std::function<int(Call, int fd)> fault;
  /// No recv or send moves more than this.
  std::size_t most = SIZE_MAX;
  int calls[10] = {};

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
  int getsockname(int fd, sockaddr* address, unsigned* length) noexcept override {
    const int error = begin(Call::GETSOCKNAME, fd);
    return error != 0 ? error : KernelSystem::getsockname(fd, address, length);
  }
  int setsockopt(int fd, int level, int name, const void* value, unsigned length) noexcept override {
    const int error = begin(Call::SETSOCKOPT, fd);
    return error != 0 ? error : KernelSystem::setsockopt(fd, level, name, value, length);
  }

 private:
  int begin(Call call, int fd) noexcept {
    ++calls[static_cast<int>(call)];
    return fault ? fault(call, fd) : 0;
  }
};

}  // namespace heddle::test
