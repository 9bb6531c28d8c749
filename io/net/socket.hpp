// Socket: what all kinds of sockets have in common: options, shutdown, close.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <chrono>
#include <optional>
#include <system_error>

#include "../operation/fd.hpp"

struct sockaddr;

HEDDLE_HEADER_BEGIN

namespace heddle {

/// Which direction of a connection to end.
enum class Shutdown : unsigned char { READ, WRITE, BOTH };

/// An Fd that is a socket. Errors are std::system_error and name the call, the option and the descriptor:
/// "setsockopt SO_RCVBUF on fd 7: ...". EBADF when it is closed. For what an option means see socket(7).
class HEDDLE_EXPORT Socket {
 public:
  Socket() noexcept = default;
  explicit Socket(Fd fd) noexcept : fd_(std::move(fd)) {}

  int fileno() const noexcept { return fd_.fileno(); }
  bool is_open() const noexcept { return fd_.is_open(); }
  /// Operations that wait for the socket end with ECANCELED. Idempotent.
  void close() noexcept { fd_.close(); }
  /// Closes the connection at once, so that the peer sees a reset (SO_LINGER 0).
  void abort() noexcept;
  /// Ends one direction of the connection, or both; the peer reads to the end and sees 0. A connection that
  /// the peer has ended already is no error.
  void shutdown(Shutdown how);
  void shutdown_write() { shutdown(Shutdown::WRITE); }

  /// Suspend until the socket is ready; level-triggered. Cancel-safe.
  [[nodiscard]] detail::ReadinessOperation readable() { return fd_.readable(); }
  [[nodiscard]] detail::ReadinessOperation writable() { return fd_.writable(); }

  /// SO_LINGER: how long what close() leaves unsent is sent in the background, which close() never waits for:
  /// the connection is given up when the peer has taken nothing for so long (TCP_USER_TIMEOUT, on Linux; 0:
  /// at once, and the peer sees a reset). nullopt: the system's default.
  void set_linger(std::optional<std::chrono::seconds> time);
  std::optional<std::chrono::seconds> linger() const;
  /// SO_RCVBUF, SO_SNDBUF, in bytes; Linux doubles them.
  void set_receive_buffer(int bytes);
  int receive_buffer() const;
  void set_send_buffer(int bytes);
  int send_buffer() const;
  /// SO_REUSEADDR, SO_REUSEPORT: to be set before the socket is bound.
  void set_reuse_address(bool on);
  bool reuse_address() const;
  void set_reuse_port(bool on);
  bool reuse_port() const;
  /// SO_ERROR: the pending error of the socket; reading clears it.
  std::error_code take_error();

  /// Any other option with an int value, by setsockopt(2)'s names. `text` names it in errors.
  void set_option(int level, int name, int value, const char* text = nullptr);
  int option(int level, int name, const char* text = nullptr) const;
  /// The same for any other value.
  void set_option(int level, int name, const void* value, unsigned size, const char* text = nullptr);
  /// Returns how much of `value` was filled in.
  unsigned option(int level, int name, void* value, unsigned size, const char* text = nullptr) const;

  Fd& fd() noexcept { return fd_; }
  const Fd& fd() const noexcept { return fd_; }

 protected:
  /// The descriptor. Throws std::system_error (EBADF) when there is none.
  int checked(const char* operation) const;
  void bind_to(const sockaddr* address, unsigned length);
  void listen(int backlog);
  /// For datagram sockets, which connect without waiting.
  void connect_now(const sockaddr* address, unsigned length);
  /// getsockname() and getpeername() into `address`, which has room for `capacity` bytes; return the length.
  unsigned own_name(sockaddr* address, unsigned capacity) const;
  unsigned peer_name(sockaddr* address, unsigned capacity) const;

 private:
  Fd fd_;
};

namespace detail {

/// A new non-blocking socket of `family`, made by the running loop's System. Throws std::system_error.
HEDDLE_EXPORT Fd make_socket(int family, int type, int protocol = 0);

}  // namespace detail

}  // namespace heddle

HEDDLE_HEADER_END
