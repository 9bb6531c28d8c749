// Fd: closing, in the order by which no operation uses a number that the kernel may have given out again.
// SPDX-License-Identifier: MIT
#include "fd.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <stdexcept>
#include <string>
#include <system_error>

#include "../../runtime/loop/descriptor_table.hpp"

namespace heddle {

using namespace detail;

System& current_system() noexcept {
  return current.loop != nullptr ? current.loop->system() : kernel_system();
}

Fd::Fd(int fd) noexcept : Fd(fd, current_system()) {}

int Fd::release() {
  if (slot_.fd >= 0 && !slot_.watch->lost() && system_->release(slot_.fd) < 0) {
    const std::size_t unread = system_->unread(slot_.fd);
    throw std::logic_error("release() of fd " + std::to_string(slot_.fd) + " with " +
                           (unread > 0 ? std::to_string(unread) + " bytes unread: take_unread() them first"
                                       : std::string("bytes unsent")));
  }
  return leave();
}

std::size_t Fd::take_unread(std::span<std::byte> buffer) {
  const int fd = checked_slot("take_unread").fd;
  return static_cast<std::size_t>(system_->take_unread(fd, buffer.data(), buffer.size()));
}

// Gives the number up; the kernel still has it open.
int Fd::leave() noexcept {
  FdWatch* const watch = std::exchange(slot_.watch, &FdWatch::none);
  const bool lost = watch->lost();
  if (watch != &FdWatch::none) DescriptorTable::release(*watch);
  const int fd = std::exchange(slot_.fd, -1);
  return lost ? -1 : fd;
}

namespace {

// close(2) of a socket with SO_LINGER waits for its peer on Linux, also when the socket is non-blocking: as
// long as anybody's peer likes, up to that time. Without SO_LINGER the kernel sends what is left all the
// same, in the background, and TCP_USER_TIMEOUT ends that.
void never_wait_for_peer(System& system, int fd) noexcept {
  linger value{};
  unsigned size = sizeof value;
  if (system.getsockopt(fd, SOL_SOCKET, SO_LINGER, &value, &size) < 0) return;  // mostly: it is no socket
  if (value.l_onoff == 0 || value.l_linger <= 0) return;
#ifdef TCP_USER_TIMEOUT
  unsigned limit = 0;
  size = sizeof limit;
  const auto most = static_cast<unsigned>(std::min<long long>(value.l_linger * 1000LL, INT_MAX));
  if (system.getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit, &size) == 0 &&
      (limit == 0 || limit > most))
    system.setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &most, sizeof most);
#endif
  value.l_onoff = 0;
  system.setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, sizeof value);
}

}  // namespace

void Fd::close() noexcept {
  const int fd = leave();
  if (fd < 0) return;
  never_wait_for_peer(*system_, fd);
  system_->close(fd);  // closed even when it fails (close(2))
}

void Fd::throw_closed(const char* operation) {
  throw std::system_error(EBADF, std::generic_category(), std::string(operation) + " on a closed descriptor");
}

}  // namespace heddle
