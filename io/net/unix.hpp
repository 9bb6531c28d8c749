// UnixStream, UnixListener, UnixDatagram: sockets between the processes of one machine.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "../address/unix_address.hpp"
#include "../operation/accept_operation.hpp"
#include "../operation/datagram_operation.hpp"
#include "../operation/fd_passing.hpp"
#include "connect.hpp"
#include "socket.hpp"
#include "stream_socket.hpp"

namespace heddle {

/// Who is at the other end, as it was when the connection was made.
struct PeerCredentials {
  int pid = -1;  ///< 0: of another pid namespace; -1: the platform doesn't tell
  unsigned uid = 0;
  unsigned gid = 0;
};

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

/// A stream over a Unix socket. Reading and writing: see StreamSocket. Bytes behind others that came with
/// descriptors (or, with SO_PASSCRED, from another process) may be read 100 ms late, unless the
/// descriptors were received with receive_with_fds(): read_some() doesn't learn that there were any.
class HEDDLE_EXPORT UnixStream : public StreamSocket<UnixSocket, ShortRead::EMPTIES_UNLESS_CUT> {
 public:
  UnixStream() noexcept = default;
  /// Takes over a connected, non-blocking socket of the type SOCK_STREAM.
  explicit UnixStream(Fd fd) noexcept : StreamSocket(std::move(fd)) {}

  /// Connects to a listener; while its queue is full, asks again every few milliseconds. Throws
  /// std::system_error that names the address. Cancelling closes the socket.
  static Connecting<UnixStream> connect(UnixAddress address);

  /// Writes the buffer, which must not be empty, and sends duplicates of the descriptors with its first byte.
  /// Throws ValueError for an empty buffer and for more than SendFdsOperation::most_fds descriptors.
  [[nodiscard]] SendFdsOperation send_with_fds(std::span<const std::byte> buffer, std::span<const int> fds);
  [[nodiscard]] SendFdsOperation send_with_fds(std::string_view text, std::span<const int> fds) {
    return send_with_fds(std::as_bytes(std::span(text)), fds);
  }
  /// Reads some bytes, and the descriptors that came with them into `fds`. (read_some() drops them.)
  [[nodiscard]] ReceiveFdsOperation receive_with_fds(std::span<std::byte> buffer, std::span<Fd> fds) {
    return ReceiveFdsOperation(fd(), buffer, fds);
  }
  [[nodiscard]] ReceiveFdsOperation receive_with_fds(std::span<char> buffer, std::span<Fd> fds) {
    return receive_with_fds(std::as_writable_bytes(buffer), fds);
  }
};

/// A path that a socket is bound to: it is removed with the socket, unless it is another's by then.
class HEDDLE_EXPORT BoundPath {
 public:
  BoundPath() noexcept = default;
  /// Notes which file is at `address` now, if that is a path.
  BoundPath(System& system, const UnixAddress& address);
  BoundPath(BoundPath&& other) noexcept
      : path_(std::move(other.path_)), device_(other.device_), inode_(other.inode_) {
    other.path_.clear();
  }
  BoundPath& operator=(BoundPath&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(device_, other.device_);
    std::swap(inode_, other.inode_);
    return *this;
  }

  void remove(System& system) noexcept;
  void forget() noexcept { path_.clear(); }

 private:
  std::string path_;
  std::uint64_t device_ = 0;
  std::uint64_t inode_ = 0;
};

/// How to bind to a path.
struct UnixBindOptions {
  /// Where a socket lies at the path to which nobody listens any more, take its place. Anything else at the
  /// path, and a socket in use, is EADDRINUSE.
  bool replace_stale = false;
  bool unlink = true;  ///< remove the path when the socket is closed
};

/// A listening Unix socket. It may be moved while tasks accept from it.
class HEDDLE_EXPORT UnixListener : public UnixSocket {
 public:
  UnixListener() noexcept = default;
  /// Takes over a listening, non-blocking socket; its path stays.
  explicit UnixListener(Fd fd) : UnixSocket(std::move(fd)), spare_(SpareFd::make()) {}
  UnixListener(UnixListener&& other) noexcept = default;
  UnixListener& operator=(UnixListener&& other) noexcept;
  ~UnixListener() { close(); }

  /// Listens on `address`. Throws std::system_error that names it.
  static UnixListener bind(const UnixAddress& address, const UnixBindOptions& options = {},
                           int backlog = 4096);

  /// Removes the path that bind() made, and closes the socket. Operations that wait end with ECANCELED.
  void close() noexcept;
  void abort() noexcept { close(); }
  /// The path stays when the socket is closed: it is somebody else's now, as after a fork.
  void keep_path() noexcept { path_.forget(); }

  /// As TcpListener::accept().
  Accept<UnixStream> accept() { return Accept<UnixStream>(AcceptOperation(fd(), spare_)); }

 private:
  SpareFd spare_;
  BoundPath path_;
};

/// A Unix socket for datagrams, which arrive whole and in order. Buffers must live until the co_await
/// returns. Errors and cancelling are as for StreamSocket.
class HEDDLE_EXPORT UnixDatagram : public UnixSocket {
 public:
  UnixDatagram() noexcept = default;
  /// Takes over a non-blocking socket; its path stays.
  explicit UnixDatagram(Fd fd) noexcept : UnixSocket(std::move(fd)) {}
  UnixDatagram(UnixDatagram&& other) noexcept = default;
  UnixDatagram& operator=(UnixDatagram&& other) noexcept;
  ~UnixDatagram() { close(); }

  /// A socket that can send, and that nobody can answer.
  static UnixDatagram open();
  /// One that others can send to. Throws std::system_error that names the address.
  static UnixDatagram bind(const UnixAddress& address, const UnixBindOptions& options = {});
  /// From now on send() sends to `peer`, and only its datagrams are received.
  void connect_to(const UnixAddress& peer);

  /// As UnixListener::close().
  void close() noexcept;
  void abort() noexcept { close(); }
  void keep_path() noexcept { path_.forget(); }

  /// Waits for a datagram and yields a ReceivedFrom; `from` is unnamed when the sender isn't bound.
  [[nodiscard]] ReceiveFromOperation<UnixAddress> recv_from(std::span<std::byte> buffer) {
    return ReceiveFromOperation<UnixAddress>(fd(), buffer);
  }
  [[nodiscard]] ReceiveFromOperation<UnixAddress> recv_from(std::span<char> buffer) {
    return recv_from(std::as_writable_bytes(buffer));
  }
  /// Yields a Received.
  [[nodiscard]] ReceiveDatagramOperation recv(std::span<std::byte> buffer) {
    return ReceiveDatagramOperation(fd(), buffer);
  }
  [[nodiscard]] ReceiveDatagramOperation recv(std::span<char> buffer) {
    return recv(std::as_writable_bytes(buffer));
  }
  /// Sends a datagram; waits while the receiver's queue is full. Both the buffer and `to` must live until
  /// then.
  [[nodiscard]] SendDatagramOperation send_to(std::span<const std::byte> buffer, const UnixAddress& to) {
    return SendDatagramOperation(fd(), buffer, to);
  }
  [[nodiscard]] SendDatagramOperation send_to(std::string_view text, const UnixAddress& to) {
    return send_to(std::as_bytes(std::span(text)), to);
  }
  /// The same to the peer that the socket is connected to.
  [[nodiscard]] SendDatagramOperation send(std::span<const std::byte> buffer) {
    return SendDatagramOperation(fd(), buffer);
  }
  [[nodiscard]] SendDatagramOperation send(std::string_view text) {
    return send(std::as_bytes(std::span(text)));
  }

  /// To the connected peer, as UnixStream has them; the buffer may be empty.
  [[nodiscard]] SendFdsOperation send_with_fds(std::span<const std::byte> buffer, std::span<const int> fds) {
    return SendFdsOperation(fd(), buffer, fds);
  }
  [[nodiscard]] SendFdsOperation send_with_fds(std::string_view text, std::span<const int> fds) {
    return send_with_fds(std::as_bytes(std::span(text)), fds);
  }
  [[nodiscard]] ReceiveFdsOperation receive_with_fds(std::span<std::byte> buffer, std::span<Fd> fds) {
    return ReceiveFdsOperation(fd(), buffer, fds);
  }
  [[nodiscard]] ReceiveFdsOperation receive_with_fds(std::span<char> buffer, std::span<Fd> fds) {
    return receive_with_fds(std::as_writable_bytes(buffer), fds);
  }

 private:
  BoundPath path_;
};

/// Two streams that are connected to each other. Throws std::system_error.
HEDDLE_EXPORT std::pair<UnixStream, UnixStream> socket_pair();
/// The same for datagrams.
HEDDLE_EXPORT std::pair<UnixDatagram, UnixDatagram> datagram_pair();

}  // namespace heddle
