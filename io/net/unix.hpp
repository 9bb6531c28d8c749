// UnixStream, UnixListener, UnixDatagram: sockets between the processes of one machine.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <utility>

#include "../address/unix_address.hpp"
#include "../operation/accept_operation.hpp"
#include "../operation/datagram_operation.hpp"
#include "../operation/fd_passing.hpp"
#include "connect.hpp"
#include "socket.hpp"
#include "stream_socket.hpp"
#include "unix_path.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// Who is at the other end, as it was when the connection was made.
struct PeerCredentials {
  int pid = -1;  ///< 0: of another pid namespace; -1: the platform doesn't report it
  unsigned uid = 0;
  unsigned gid = 0;
};

namespace detail {

/// A socket of AF_UNIX.
class HEDDLE_EXPORT UnixSocket : public Socket {
 public:
  using Socket::Socket;

  UnixAddress local_address() const;
  UnixAddress peer_address() const;
  /// SO_PEERCRED: of the process that connected, or that listened. ENOTCONN, or a pid of 0, without a
  /// connection.
  PeerCredentials peer_credentials() const;
};

}  // namespace detail

/// A stream over a Unix socket. Reading and writing: see StreamSocket. After bytes that came with descriptors
/// (or, with SO_PASSCRED, from another process), read_some() into one buffer may read those that follow 100
/// ms late (see ShortRead::MAY_LEAVE_MORE); receive_with_fds() reads them at once.
class HEDDLE_EXPORT UnixStream : public StreamSocket<detail::UnixSocket, detail::ShortRead::MAY_LEAVE_MORE> {
 public:
  UnixStream() noexcept = default;
  /// Takes over a connected, non-blocking socket of the type SOCK_STREAM.
  explicit UnixStream(Fd fd) noexcept : StreamSocket(std::move(fd)) {}

  /// Connects to a listener; while its queue is full, tries again every few milliseconds. Throws
  /// std::system_error that names the address. Cancelling closes the socket.
  static detail::Connecting<UnixStream> connect(UnixAddress address);

  /// Writes the buffer, which must not be empty, and sends duplicates of the descriptors with its first byte.
  /// Throws ValueError for an empty buffer and for more than SendFdsOperation::most_fds descriptors.
  [[nodiscard]] detail::SendFdsOperation send_with_fds(std::span<const std::byte> buffer,
                                                       std::span<const int> fds);
  [[nodiscard]] detail::SendFdsOperation send_with_fds(std::string_view text, std::span<const int> fds) {
    return send_with_fds(std::as_bytes(std::span(text)), fds);
  }
  /// Reads some bytes, and the descriptors that came with them into `fds`. (read_some() drops them.)
  [[nodiscard]] detail::ReceiveFdsOperation receive_with_fds(std::span<std::byte> buffer, std::span<Fd> fds) {
    return detail::ReceiveFdsOperation(fd(), buffer.first(detail::of_one_turn(buffer.size())), fds);
  }
  [[nodiscard]] detail::ReceiveFdsOperation receive_with_fds(std::span<char> buffer, std::span<Fd> fds) {
    return receive_with_fds(std::as_writable_bytes(buffer), fds);
  }
};

namespace detail {

/// A Unix socket that removes the path it was bound to when it is closed.
class HEDDLE_EXPORT BoundUnixSocket : public UnixSocket {
 public:
  BoundUnixSocket() noexcept = default;
  explicit BoundUnixSocket(Fd fd) noexcept : UnixSocket(std::move(fd)) {}
  BoundUnixSocket(BoundUnixSocket&& other) noexcept = default;
  BoundUnixSocket& operator=(BoundUnixSocket&& other) noexcept;
  ~BoundUnixSocket() { close(); }

  /// Removes the path that bind() made, and closes the socket. Operations that wait end with ECANCELED.
  void close() noexcept;
  void abort() noexcept { close(); }
  /// The path stays when the socket is closed: another process owns it now. (In the child of a fork() that
  /// comes after bind() it stays anyway.)
  void keep_path() noexcept { path_.forget(); }

 protected:
  /// Throws std::system_error.
  void bind_as(int type, const UnixAddress& address, const UnixBindOptions& options);

 private:
  UnixPath path_;
};

}  // namespace detail

/// A listening Unix socket. It may be moved while tasks accept from it.
class HEDDLE_EXPORT UnixListener : public detail::BoundUnixSocket {
 public:
  UnixListener() noexcept = default;
  /// Takes over a listening, non-blocking socket; its path stays.
  explicit UnixListener(Fd fd) : detail::BoundUnixSocket(std::move(fd)), spare_(detail::SpareFd::make()) {}

  /// Listens on `address`. Throws std::system_error that names it.
  static UnixListener bind(const UnixAddress& address, const UnixBindOptions& options = {},
                           int backlog = 4096);

  /// As TcpListener::accept().
  detail::Accept<UnixStream> accept() {
    return detail::Accept<UnixStream>(detail::AcceptOperation(fd(), spare_));
  }

 private:
  detail::SpareFd spare_;
};

/// A Unix socket for datagrams, which arrive whole and in order. Buffers must live until the co_await
/// returns. Errors and cancelling are as for StreamSocket.
class HEDDLE_EXPORT UnixDatagram : public detail::BoundUnixSocket {
 public:
  UnixDatagram() noexcept = default;
  /// Takes over a non-blocking socket; its path stays.
  explicit UnixDatagram(Fd fd) noexcept : detail::BoundUnixSocket(std::move(fd)) {}

  /// An unbound socket: it can send, but not be answered.
  static UnixDatagram open();
  /// A socket that others can send to. Throws std::system_error that names the address.
  static UnixDatagram bind(const UnixAddress& address, const UnixBindOptions& options = {});
  /// From now on send() sends to `peer`, and only its datagrams are received.
  void connect_to(const UnixAddress& peer);

  /// Waits for a datagram and yields a ReceivedFrom; `from` is unnamed when the sender isn't bound.
  [[nodiscard]] detail::ReceiveFromOperation<UnixAddress> recv_from(std::span<std::byte> buffer) {
    return detail::ReceiveFromOperation<UnixAddress>(fd(), buffer);
  }
  [[nodiscard]] detail::ReceiveFromOperation<UnixAddress> recv_from(std::span<char> buffer) {
    return recv_from(std::as_writable_bytes(buffer));
  }
  /// Yields a Received.
  [[nodiscard]] detail::ReceiveDatagramOperation recv(std::span<std::byte> buffer) {
    return detail::ReceiveDatagramOperation(fd(), buffer);
  }
  [[nodiscard]] detail::ReceiveDatagramOperation recv(std::span<char> buffer) {
    return recv(std::as_writable_bytes(buffer));
  }
  /// Sends a datagram; waits while the receiver's queue is full. Both the buffer and `to` must live until
  /// then.
  [[nodiscard]] detail::SendDatagramOperation send_to(std::span<const std::byte> buffer,
                                                      const UnixAddress& to) {
    return detail::SendDatagramOperation(fd(), buffer, to);
  }
  [[nodiscard]] detail::SendDatagramOperation send_to(std::string_view text, const UnixAddress& to) {
    return send_to(std::as_bytes(std::span(text)), to);
  }
  /// The same to the peer that the socket is connected to.
  [[nodiscard]] detail::SendDatagramOperation send(std::span<const std::byte> buffer) {
    return detail::SendDatagramOperation(fd(), buffer);
  }
  [[nodiscard]] detail::SendDatagramOperation send(std::string_view text) {
    return send(std::as_bytes(std::span(text)));
  }

  /// To the connected peer, as UnixStream has them; the buffer may be empty.
  [[nodiscard]] detail::SendFdsOperation send_with_fds(std::span<const std::byte> buffer,
                                                       std::span<const int> fds) {
    return detail::SendFdsOperation(fd(), buffer, fds);
  }
  [[nodiscard]] detail::SendFdsOperation send_with_fds(std::string_view text, std::span<const int> fds) {
    return send_with_fds(std::as_bytes(std::span(text)), fds);
  }
  [[nodiscard]] detail::ReceiveFdsOperation receive_with_fds(std::span<std::byte> buffer, std::span<Fd> fds) {
    return detail::ReceiveFdsOperation(fd(), buffer, fds);
  }
  [[nodiscard]] detail::ReceiveFdsOperation receive_with_fds(std::span<char> buffer, std::span<Fd> fds) {
    return receive_with_fds(std::as_writable_bytes(buffer), fds);
  }
};

/// Two streams that are connected to each other. Throws std::system_error.
HEDDLE_EXPORT std::pair<UnixStream, UnixStream> socket_pair();
/// The same for datagrams.
HEDDLE_EXPORT std::pair<UnixDatagram, UnixDatagram> datagram_pair();

}  // namespace heddle

HEDDLE_HEADER_END
