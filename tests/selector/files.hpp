// Descriptors for tests: owned, and closed however the test ends.
// SPDX-License-Identifier: MIT
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace heddle::test {

inline int must(int result) {
  if (result < 0) throw std::system_error(errno, std::system_category(), "test set-up");
  return result;
}

/// A descriptor that closes itself, and a file object: fileno() is -1 after close().
class File {
 public:
  File() = default;
  explicit File(int fd) : fd_(must(fd)) {}
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  File& operator=(File&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~File() { close(); }

  [[nodiscard]] int fileno() const { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  void write(std::string_view bytes) const {
    must(static_cast<int>(::write(fd_, bytes.data(), bytes.size())));
  }
  /// What is there, up to 64 KiB; empty at end-of-file and when there is nothing.
  std::string read() const {
    std::string bytes(65536, '\0');
    const auto n = ::read(fd_, bytes.data(), bytes.size());
    bytes.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
    return bytes;
  }
  /// Writes until there is no more room.
  void fill() const {
    const std::string bytes(65536, 'x');
    while (::write(fd_, bytes.data(), bytes.size()) > 0 || errno == EINTR) {
    }
  }
  [[nodiscard]] bool at_end() const {
    char byte;
    return ::read(fd_, &byte, 1) == 0;
  }

 private:
  int fd_ = -1;
};

/// Moves a file to `number`, whatever was open there.
inline void renumber(File& file, int number) {
  if (file.fileno() != number) file = File(::dup3(file.fileno(), number, O_CLOEXEC));
}

/// A connected pair of non-blocking sockets, or a pipe (a reads, b writes).
struct Pair {
  File a, b;

  static Pair sockets() {
    int fds[2];
    must(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
    return {File(fds[0]), File(fds[1])};
  }
  static Pair pipe() {
    int fds[2];
    must(::pipe2(fds, O_NONBLOCK | O_CLOEXEC));
    return {File(fds[0]), File(fds[1])};
  }
  static Pair tcp();
};

inline File listener(sockaddr_in& address) {
  File file(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  must(::bind(file.fileno(), reinterpret_cast<sockaddr*>(&address), size));
  must(::listen(file.fileno(), 64));
  must(::getsockname(file.fileno(), reinterpret_cast<sockaddr*>(&address), &size));
  return file;
}

inline Pair Pair::tcp() {
  sockaddr_in address;
  const File listening = listener(address);
  File client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  must(::connect(client.fileno(), reinterpret_cast<sockaddr*>(&address), sizeof address));
  File served;
  for (int n = -1; n < 0;) {
    n = ::accept4(listening.fileno(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (n >= 0) served = File(n);
  }
  must(::fcntl(client.fileno(), F_SETFL, O_NONBLOCK));
  return {std::move(client), std::move(served)};
}

/// Raises the soft limit of open files to the hard one, which it returns.
inline std::size_t raise_file_limit() {
  rlimit limit{};
  must(::getrlimit(RLIMIT_NOFILE, &limit));
  limit.rlim_cur = limit.rlim_max;
  must(::setrlimit(RLIMIT_NOFILE, &limit));
  return static_cast<std::size_t>(limit.rlim_cur);
}

/// The descriptors that are open below `limit`.
inline int open_descriptors(int limit = 4096) {
  int count = 0;
  for (int fd = 0; fd < limit; ++fd) count += ::fcntl(fd, F_GETFD) >= 0;
  return count;
}

/// Below 256 there are no more than `count`, once other threads have let go of what they still hold.
inline bool descriptors_come_down_to(int count) {
  for (int i = 0; i < 2000 && open_descriptors(256) > count; ++i) ::usleep(1000);
  return open_descriptors(256) <= count;
}

}  // namespace heddle::test
