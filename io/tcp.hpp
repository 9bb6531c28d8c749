// TcpStream, TcpListener: TCP connections and where they come from.
// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "../runtime/task.hpp"
#include "address.hpp"
#include "socket.hpp"
#include "socket_operation.hpp"

namespace heddle {

/// A TCP connection. Owns its socket; move-only. Any number of tasks of one loop may read and write at the
/// same time: operations of a direction complete in the order in which they were started. Buffers must live
/// until the co_await returns. All operations throw std::system_error (ECONNRESET, EPIPE, ... ; ECANCELED
/// when the stream is closed under them; EBADF when it was closed before) and Cancelled. `co_await
/// operation.as_result()` yields a Result instead of a system_error.
class HEDDLE_EXPORT TcpStream : public Socket {
 public:
  TcpStream() noexcept = default;
  /// Takes over a connected, non-blocking socket.
  explicit TcpStream(Fd fd) noexcept : Socket(std::move(fd)) {}

  /// Connects to `address`. Throws std::system_error that names it. Cancelling closes the socket.
  static Task<TcpStream> connect(Address address);
  /// Resolves `host`, a name or a number, and connects to the first of its addresses that answers.
  /// Throws ResolveError, or what the last address failed with.
  static Task<TcpStream> connect(std::string host, std::uint16_t port);

  /// Reads what is there, at least one byte: yields how many. 0: the peer ended its side. Cancel-safe.
  ReceiveOperation read_some(std::span<std::byte> buffer) { return ReceiveOperation(fd(), buffer); }
  /// The same for an array or a vector; in a co_await GCC 12 would keep the span of it in the frame.
  template <class Buffer>
    requires std::convertible_to<Buffer&, std::span<std::byte>>
  ReceiveOperation read_some(Buffer& buffer) {
    return ReceiveOperation(fd(), buffer);
  }
  ReceiveOperation read_some(std::span<char> buffer) { return read_some(std::as_writable_bytes(buffer)); }
  /// Writes what the kernel takes now, at least one byte: yields how many. Cancel-safe.
  SendOperation write_some(std::span<const std::byte> buffer) { return SendOperation(fd(), buffer); }
  SendOperation write_some(std::string_view text) { return write_some(std::as_bytes(std::span(text))); }
  /// Writes the whole buffer. Not cancel-safe: a part of it may be written then.
  SendAllOperation write_all(std::span<const std::byte> buffer) { return SendAllOperation(fd(), buffer); }
  SendAllOperation write_all(std::string_view text) { return write_all(std::as_bytes(std::span(text))); }
};

/// How to listen.
struct ListenOptions {
  int backlog = 4096;  ///< connections the kernel keeps until they are accepted; it may allow fewer
  bool reuse_port =
      false;             ///< SO_REUSEPORT: several sockets share the port, and the kernel spreads connections
  bool v6_only = false;  ///< an IPv6 socket takes no IPv4 connections
};

/// A listening TCP socket.
class HEDDLE_EXPORT TcpListener : public Socket {
 public:
  TcpListener() noexcept = default;
  /// Takes over a listening, non-blocking socket.
  explicit TcpListener(Fd fd) noexcept : Socket(std::move(fd)), spare_(AcceptOperation::make_spare()) {}

  /// Listens on `address`; port 0: the kernel picks one (see local_address). SO_REUSEADDR is set.
  /// Throws std::system_error that names the address.
  static TcpListener bind(const Address& address, const ListenOptions& options = {});

  class Accept;
  /// Waits for a connection. Goes on, without spinning, when descriptors run out: peers are refused then
  /// until there are some again. Cancel-safe: no connection is lost.
  Accept accept();

 private:
  Fd spare_;
};

class [[nodiscard]] TcpListener::Accept {
 public:
  explicit Accept(const AcceptOperation& operation) noexcept : operation_(operation) {}

  bool await_ready() { return operation_.await_ready(); }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) {
    operation_.await_suspend(coroutine);
  }
  TcpStream await_resume() const { return TcpStream(operation_.await_resume()); }

 private:
  AcceptOperation operation_;
};

inline TcpListener::Accept TcpListener::accept() { return Accept(AcceptOperation(fd(), spare_)); }

}  // namespace heddle
