// TcpStream, TcpListener: TCP connections, and listening for them.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstdint>
#include <string>
#include <vector>

#include "../address/address.hpp"
#include "../operation/accept_operation.hpp"
#include "connect.hpp"
#include "ip_socket.hpp"
#include "stream_socket.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// A TCP connection. Owns its socket; move-only. Reading and writing: see StreamSocket.
class HEDDLE_EXPORT TcpStream : public StreamSocket<detail::TcpSocket, detail::ShortRead::EMPTIES> {
 public:
  TcpStream() noexcept = default;
  /// Takes over a connected, non-blocking socket.
  explicit TcpStream(Fd fd) noexcept : StreamSocket(std::move(fd)) {}

  /// Connects to `address`. Throws ConnectError, a std::system_error, that names it. Cancelling closes the
  /// socket.
  static detail::Connecting<TcpStream> connect(Address address, ConnectOptions options = {});
  /// Connects to whichever of the addresses answers first: they are tried in this order, each with a head
  /// start before the next (RFC 8305). Throws ConnectError with what each failed with, ValueError when there
  /// is none.
  static detail::Connecting<TcpStream> connect(std::vector<Address> addresses, ConnectOptions options = {});
  /// The same for the addresses of `host`, a name or a number, alternating between IPv6 and IPv4. Throws
  /// ResolveError, too.
  static detail::Connecting<TcpStream> connect(std::string host, std::uint16_t port,
                                               ConnectOptions options = {});
  /// The same for "example.com:80" or "[::1]:80". Throws ValueError, before anything is awaited, for what
  /// isn't one.
  static detail::Connecting<TcpStream> connect(std::string host_and_port, ConnectOptions options = {});
};

/// How to listen.
struct ListenOptions {
  int backlog = 4096;  ///< connections the kernel keeps until they are accepted; it may allow fewer
  bool reuse_port =
      false;             ///< SO_REUSEPORT: several sockets share the port, and the kernel spreads connections
  bool v6_only = false;  ///< an IPv6 socket takes no IPv4 connections
};

/// A listening TCP socket. It may be moved while tasks accept from it.
class HEDDLE_EXPORT TcpListener : public detail::TcpSocket {
 public:
  TcpListener() noexcept = default;
  /// Takes over a listening, non-blocking socket.
  explicit TcpListener(Fd fd) : detail::TcpSocket(std::move(fd)), spare_(detail::SpareFd::make()) {}

  /// Listens on `address`; port 0: the kernel picks one (see local_address). SO_REUSEADDR is set.
  /// Throws std::system_error that names the address.
  static TcpListener bind(const Address& address, const ListenOptions& options = {});
  /// Listens on every address of `host`, a name or a number, all at one port; "" is every address of this
  /// machine. Addresses of a family that this machine doesn't have are skipped if there are others.
  /// Throws ResolveError, and as bind().
  static Task<std::vector<TcpListener>> bind_host(std::string host, std::uint16_t port,
                                                  ListenOptions options = {});
  /// `count` sockets that share `address` (SO_REUSEPORT), one for each thread that accepts: the kernel
  /// spreads connections over them. Connections queued at one that is closed are reset. Needs no loop.
  static std::vector<TcpListener> bind_shared(const Address& address, std::size_t count,
                                              ListenOptions options = {});

  /// Waits for a connection. Goes on, without spinning, when descriptors run out: peers are refused then
  /// until there are some again. Cancel-safe: no connection is lost.
  detail::Accept<TcpStream> accept() {
    return detail::Accept<TcpStream>(detail::AcceptOperation(fd(), spare_));
  }

 private:
  detail::SpareFd spare_;
};

}  // namespace heddle

HEDDLE_HEADER_END
