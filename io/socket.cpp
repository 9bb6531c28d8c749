// Socket: options and addresses, by the seam.
// SPDX-License-Identifier: MIT
#include "socket.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <string>
#include <system_error>

namespace heddle {

namespace {

int clamped(std::chrono::seconds time) noexcept {
  return static_cast<int>(
      std::clamp<std::chrono::seconds::rep>(time.count(), 0, std::numeric_limits<int>::max()));
}

void check(int result, const char* operation, int fd) {
  if (result < 0) throw_errno(-result, operation, fd);
}

}  // namespace

Fd make_socket(int family, int type, int protocol) {
  System& system = current_system();
  const int fd = system.socket(family, type, protocol);
  check(fd, "socket", -1);
  return Fd(fd, system);
}

int Socket::checked(const char* operation) const {
  if (!fd_.is_open())
    throw std::system_error(EBADF, std::generic_category(), std::string(operation) + " on a closed socket");
  return fd_.fileno();
}

void Socket::abort() noexcept {
  if (!fd_.is_open()) return;
  const linger at_once{1, 0};
  fd_.system().setsockopt(fd_.fileno(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  fd_.close();
}

void Socket::shutdown(Shutdown how) {
  const int fd = checked("shutdown");
  const int direction = how == Shutdown::READ ? SHUT_RD : how == Shutdown::WRITE ? SHUT_WR : SHUT_RDWR;
  const int result = fd_.system().shutdown(fd, direction);
  if (result != -ENOTCONN) check(result, "shutdown", fd);
}

Address Socket::local_address() const {
  Address address;
  unsigned length = Address::capacity();
  const int fd = checked("getsockname");
  check(fd_.system().getsockname(fd, address.data(), &length), "getsockname", fd);
  address.set_length(std::min(length, Address::capacity()));
  return address;
}

Address Socket::peer_address() const {
  Address address;
  unsigned length = Address::capacity();
  const int fd = checked("getpeername");
  check(fd_.system().getpeername(fd, address.data(), &length), "getpeername", fd);
  address.set_length(std::min(length, Address::capacity()));
  return address;
}

void Socket::set_option(int level, int name, int value) {
  const int fd = checked("setsockopt");
  check(fd_.system().setsockopt(fd, level, name, &value, sizeof value), "setsockopt", fd);
}

int Socket::option(int level, int name) const {
  int value = 0;
  unsigned length = sizeof value;
  const int fd = checked("getsockopt");
  check(fd_.system().getsockopt(fd, level, name, &value, &length), "getsockopt", fd);
  return value;
}

void Socket::set_nodelay(bool on) { set_option(IPPROTO_TCP, TCP_NODELAY, on); }

void Socket::set_keepalive(bool on, std::optional<std::chrono::seconds> idle,
                           std::optional<std::chrono::seconds> interval) {
  set_option(SOL_SOCKET, SO_KEEPALIVE, on);
#ifdef TCP_KEEPIDLE
  if (idle) set_option(IPPROTO_TCP, TCP_KEEPIDLE, clamped(*idle));
#else
  if (idle) set_option(IPPROTO_TCP, TCP_KEEPALIVE, clamped(*idle));
#endif
  if (interval) set_option(IPPROTO_TCP, TCP_KEEPINTVL, clamped(*interval));
}

void Socket::set_linger(std::optional<std::chrono::seconds> time) {
  const linger value{time ? 1 : 0, time ? clamped(*time) : 0};
  const int fd = checked("setsockopt");
  check(fd_.system().setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, sizeof value), "setsockopt", fd);
}

void Socket::set_receive_buffer(int bytes) { set_option(SOL_SOCKET, SO_RCVBUF, bytes); }
void Socket::set_send_buffer(int bytes) { set_option(SOL_SOCKET, SO_SNDBUF, bytes); }

}  // namespace heddle
