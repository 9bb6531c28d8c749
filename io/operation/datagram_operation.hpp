// The awaitables of datagram sockets: receive and send, with and without an address.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <span>

#include "socket_operation.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// A datagram that was received into a buffer.
struct Received {
  std::size_t size = 0;    ///< how many bytes of the buffer were filled
  bool truncated = false;  ///< the datagram was longer than the buffer; the rest of it is lost
};

/// The same, and where it came from.
template <class SomeAddress>
struct ReceivedFrom {
  std::size_t size = 0;
  bool truncated = false;
  SomeAddress from;
};

namespace detail {

/// Yields a Received. Cancel-safe: nothing is lost. An error may be that of an earlier send (ECONNREFUSED:
/// nobody is there); the socket goes on working.
class HEDDLE_EXPORT ReceiveDatagramOperation final
    : public SocketOperationOf<ReceiveDatagramOperation, Direction::READ> {
 public:
  ReceiveDatagramOperation(Fd& socket, std::span<std::byte> buffer)
      : SocketOperationOf(socket), data_(buffer.data()), size_(buffer.size()) {}

  // For the base classes.

  static constexpr const char* name = "recvmsg";
  Received value() const noexcept { return {static_cast<std::size_t>(result_), truncated_}; }
  bool attempt(int fd, FdWatch* watch) noexcept;

 private:
  std::byte* data_;
  std::size_t size_;
  bool truncated_ = false;
};

/// The same, yielding a ReceivedFrom<SomeAddress>: Address or UnixAddress.
template <class SomeAddress>
class HEDDLE_EXPORT ReceiveFromOperation final
    : public SocketOperationOf<ReceiveFromOperation<SomeAddress>, Direction::READ> {
  using Base = SocketOperationOf<ReceiveFromOperation, Direction::READ>;

 public:
  ReceiveFromOperation(Fd& socket, std::span<std::byte> buffer)
      : Base(socket), data_(buffer.data()), size_(buffer.size()) {}

  // For the base classes.

  static constexpr const char* name = "recvmsg";
  ReceivedFrom<SomeAddress> value() const noexcept {
    return {static_cast<std::size_t>(this->result_), truncated_, from_};
  }
  bool attempt(int fd, FdWatch* watch) noexcept;

 private:
  std::byte* data_;
  std::size_t size_;
  bool truncated_ = false;
  SomeAddress from_;
};

/// Yields nothing: a datagram is sent whole or not at all (EMSGSIZE: it is too large). Cancel-safe:
/// cancelled, it wasn't sent. Where the receiver's queue is full, as it may be with Unix sockets, it waits
/// for room. No event reports room to a socket that isn't connected, so there it tries once a millisecond.
class HEDDLE_EXPORT SendDatagramOperation final
    : public SocketOperationOf<SendDatagramOperation, Direction::WRITE, PausingOperation> {
 public:
  /// To the peer that the socket is connected to.
  SendDatagramOperation(Fd& socket, std::span<const std::byte> buffer)
      : SocketOperationOf(socket), data_(buffer.data()), size_(buffer.size()) {}
  /// To an Address or UnixAddress, which is read when the operation is awaited.
  template <class SomeAddress>
  SendDatagramOperation(Fd& socket, std::span<const std::byte> buffer, const SomeAddress& to)
      : SocketOperationOf(socket),
        data_(buffer.data()),
        size_(buffer.size()),
        to_(to.data()),
        to_length_(to.length()) {}

  // For the base classes.

  static constexpr const char* name = "sendmsg";
  void value() const noexcept {}
  bool attempt(int fd, FdWatch* watch) noexcept;

 private:
  const std::byte* data_;
  std::size_t size_;
  const sockaddr* to_ = nullptr;
  unsigned to_length_ = 0;
};

}  // namespace detail

}  // namespace heddle

HEDDLE_HEADER_END
