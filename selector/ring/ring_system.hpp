// RingSystem: the kernel's calls, and the ring's for what a ring takes care of. For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include "../system.hpp"

namespace heddle::detail {

struct RingFile;

class RingSystem final : public KernelSystem {
 public:
  bool has_kernel_clock() const noexcept override { return true; }
  int connect(int fd, const sockaddr* address, unsigned length) noexcept override;
  int shutdown(int fd, int how) noexcept override;
  int close(int fd) noexcept override;
  std::ptrdiff_t recv(int fd, void* data, std::size_t size, int flags) noexcept override;
  std::ptrdiff_t send(int fd, const void* data, std::size_t size, int flags) noexcept override;
  std::ptrdiff_t recvmsg(int fd, msghdr* message, int flags) noexcept override;
  std::ptrdiff_t sendmsg(int fd, const msghdr* message, int flags) noexcept override;
  int sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) noexcept override;
  std::ptrdiff_t sendfile(int to, int from, std::int64_t* offset, std::size_t count) noexcept override;
  std::ptrdiff_t splice(int from, int to, std::size_t count) noexcept override;
  std::ptrdiff_t read(int fd, void* data, std::size_t size) noexcept override;
  std::ptrdiff_t write(int fd, const void* data, std::size_t size) noexcept override;
  int setsockopt(int fd, int level, int name, const void* value, unsigned length) noexcept override;
  int poll_now(int fd, short events) noexcept override;
  std::size_t unread(int fd) noexcept override;
  std::ptrdiff_t take_unread(int fd, void* data, std::size_t size) noexcept override;
  int release(int fd) noexcept override;

 private:
  std::ptrdiff_t receive(RingFile& file, void* data, std::size_t size, int flags) noexcept;
  std::ptrdiff_t transmit(RingFile& file, const void* data, std::size_t size, int flags) noexcept;
};

}  // namespace heddle::detail
