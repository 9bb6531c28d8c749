// Socket: calls on the socket, all by the loop's System.
// SPDX-License-Identifier: MIT
#include "socket.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <string>

#include "../../selector/errors.hpp"

namespace heddle {

using namespace detail;

namespace {

using Linger = struct linger;  // Socket::linger() hides it

void check(int result, const char* operation, int fd) {
  if (result < 0) throw_errno(-result, operation, fd);
}

// "setsockopt SO_RCVBUF on fd 7: ..."
void check_option(int result, const char* call, const char* text, int level, int name, int fd) {
  if (result >= 0) return;
  std::string operation = call;
  if (text != nullptr)
    operation.append(1, ' ').append(text);
  else
    operation += " option " + std::to_string(name) + " of level " + std::to_string(level);
  throw_errno(-result, operation.c_str(), fd);
}

}  // namespace

namespace detail {

Fd make_socket(int family, int type, int protocol) {
  System& system = current_system();
  const int fd = system.socket(family, type, protocol);
  check(fd, "socket", -1);
  return Fd(fd, system);
}

}  // namespace detail

int Socket::checked(const char* operation) const {
  if (!fd_.is_open())
    throw std::system_error(EBADF, std::generic_category(), std::string(operation) + " on a closed socket");
  return fd_.fileno();
}

void Socket::abort() noexcept {
  if (!fd_.is_open()) return;
  const Linger at_once{1, 0};
  fd_.system().setsockopt(fd_.fileno(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  if (detail::FdWatch* const watch = fd_.slot().watch; watch != &detail::FdWatch::none) watch->reset = true;
  fd_.close();
}

void Socket::shutdown(Shutdown how) {
  const int fd = checked("shutdown");
  const int direction = how == Shutdown::READ ? SHUT_RD : how == Shutdown::WRITE ? SHUT_WR : SHUT_RDWR;
  const int result = fd_.system().shutdown(fd, direction);
  if (result != -ENOTCONN) check(result, "shutdown", fd);
}

void Socket::bind_to(const sockaddr* address, unsigned length) {
  const int fd = checked("bind");
  check(fd_.system().bind(fd, address, length), "bind", fd);
}

void Socket::listen(int backlog) {
  const int fd = checked("listen");
  check(fd_.system().listen(fd, backlog), "listen", fd);
}

void Socket::connect_now(const sockaddr* address, unsigned length) {
  const int fd = checked("connect");
  check(fd_.system().connect(fd, address, length), "connect", fd);
}

unsigned Socket::own_name(sockaddr* address, unsigned capacity) const {
  unsigned length = capacity;
  const int fd = checked("getsockname");
  check(fd_.system().getsockname(fd, address, &length), "getsockname", fd);
  return std::min(length, capacity);
}

unsigned Socket::peer_name(sockaddr* address, unsigned capacity) const {
  unsigned length = capacity;
  const int fd = checked("getpeername");
  check(fd_.system().getpeername(fd, address, &length), "getpeername", fd);
  return std::min(length, capacity);
}

void Socket::set_option(int level, int name, const void* value, unsigned size, const char* text) {
  const int fd = checked("setsockopt");
  check_option(fd_.system().setsockopt(fd, level, name, value, size), "setsockopt", text, level, name, fd);
}

unsigned Socket::option(int level, int name, void* value, unsigned size, const char* text) const {
  const int fd = checked("getsockopt");
  check_option(fd_.system().getsockopt(fd, level, name, value, &size), "getsockopt", text, level, name, fd);
  return size;
}

void Socket::set_option(int level, int name, int value, const char* text) {
  set_option(level, name, &value, sizeof value, text);
}

int Socket::option(int level, int name, const char* text) const {
  int value = 0;
  option(level, name, &value, sizeof value, text);
  return value;
}

void Socket::set_linger(std::optional<std::chrono::seconds> time) {
  const auto seconds = time.value_or(std::chrono::seconds(0)).count();
  const int clamped =
      static_cast<int>(std::clamp<std::chrono::seconds::rep>(seconds, 0, std::numeric_limits<int>::max()));
  const Linger value{time ? 1 : 0, clamped};
  set_option(SOL_SOCKET, SO_LINGER, &value, sizeof value, "SO_LINGER");
}

std::optional<std::chrono::seconds> Socket::linger() const {
  Linger value{};
  option(SOL_SOCKET, SO_LINGER, &value, sizeof value, "SO_LINGER");
  if (value.l_onoff == 0) return std::nullopt;
  return std::chrono::seconds(value.l_linger);
}

void Socket::set_receive_buffer(int bytes) { set_option(SOL_SOCKET, SO_RCVBUF, bytes, "SO_RCVBUF"); }
int Socket::receive_buffer() const { return option(SOL_SOCKET, SO_RCVBUF, "SO_RCVBUF"); }
void Socket::set_send_buffer(int bytes) { set_option(SOL_SOCKET, SO_SNDBUF, bytes, "SO_SNDBUF"); }
int Socket::send_buffer() const { return option(SOL_SOCKET, SO_SNDBUF, "SO_SNDBUF"); }
void Socket::set_reuse_address(bool on) { set_option(SOL_SOCKET, SO_REUSEADDR, on, "SO_REUSEADDR"); }
bool Socket::reuse_address() const { return option(SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR") != 0; }
void Socket::set_reuse_port(bool on) { set_option(SOL_SOCKET, SO_REUSEPORT, on, "SO_REUSEPORT"); }
bool Socket::reuse_port() const { return option(SOL_SOCKET, SO_REUSEPORT, "SO_REUSEPORT") != 0; }

std::error_code Socket::take_error() {
  return {option(SOL_SOCKET, SO_ERROR, "SO_ERROR"), std::generic_category()};
}

}  // namespace heddle
