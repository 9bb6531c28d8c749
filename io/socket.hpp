// Socket: what all kinds of sockets have in common: options, addresses, shutdown, close.
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <optional>

#include "address.hpp"
#include "fd.hpp"

namespace heddle {

/// Which direction of a connection to end.
enum class Shutdown : unsigned char { READ, WRITE, BOTH };

/// An Fd that is a socket. Errors are std::system_error and name the call and the descriptor.
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

  /// Suspend until the socket is ready; level-triggered. Cancel-safe.
  ReadinessOperation readable() { return fd_.readable(); }
  ReadinessOperation writable() { return fd_.writable(); }

  Address local_address() const;
  Address peer_address() const;

  /// TCP_NODELAY: send small writes at once. heddle doesn't set it by itself.
  void set_nodelay(bool on);
  /// SO_KEEPALIVE; the times, where given, in whole seconds: idle before the first probe, and between probes.
  void set_keepalive(bool on, std::optional<std::chrono::seconds> idle = std::nullopt,
                     std::optional<std::chrono::seconds> interval = std::nullopt);
  /// SO_LINGER: how long close() goes on sending in the background; nullopt: the system's way.
  void set_linger(std::optional<std::chrono::seconds> time);
  /// SO_RCVBUF, SO_SNDBUF, in bytes; Linux doubles them.
  void set_receive_buffer(int bytes);
  void set_send_buffer(int bytes);
  /// Any other option with an int value, by setsockopt(2)'s names.
  void set_option(int level, int name, int value);
  int option(int level, int name) const;

  Fd& fd() noexcept { return fd_; }

 private:
  int checked(const char* operation) const;

  Fd fd_;
};

/// A new non-blocking socket of `family`, made by the running loop's System. Throws std::system_error.
HEDDLE_EXPORT Fd make_socket(int family, int type, int protocol = 0);

}  // namespace heddle
