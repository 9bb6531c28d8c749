// The awaitables that pass descriptors over a Unix socket.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <span>

#include "socket_operation.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// What came by receive_with_fds().
struct ReceivedWithFds {
  std::size_t size = 0;  ///< bytes in the buffer; 0 on a stream: the peer has ended its side
  std::size_t fds = 0;   ///< how many descriptors were put into the caller's array
  bool fds_lost =
      false;  ///< more arrived than there was room for, or than the process may open; these were closed
  bool truncated = false;  ///< a datagram was longer than the buffer; the rest of it is lost
};

namespace detail {

/// Yields a ReceivedWithFds. Every descriptor that arrives goes into the caller's array or, when that is
/// full, is closed. They are close-on-exec; whether they are non-blocking is up to the sender. Cancel-safe.
class HEDDLE_EXPORT ReceiveFdsOperation final
    : public SocketOperationOf<ReceiveFdsOperation, Direction::READ> {
 public:
  ReceiveFdsOperation(Fd& socket, std::span<std::byte> buffer, std::span<Fd> fds)
      : SocketOperationOf(socket),
        data_(buffer.data()),
        size_(buffer.size()),
        fds_(fds.data()),
        room_(fds.size()) {}

  // For the base classes.

  static constexpr const char* name = "recvmsg";
  ReceivedWithFds value() const noexcept;
  bool attempt(int fd, FdWatch* watch) noexcept;

 private:
  std::byte* data_;
  std::size_t size_;
  Fd* fds_;
  std::size_t room_;
  std::size_t received_ = 0;
  bool lost_ = false;
  bool truncated_ = false;
};

/// Yields when everything is sent; the descriptors go with the first byte. They stay the caller's, and may be
/// closed then. Not cancel-safe on a stream: cancelled or failed, it may have sent a part.
class HEDDLE_EXPORT SendFdsOperation final
    : public SocketOperationOf<SendFdsOperation, Direction::WRITE, SteppedOperation> {
 public:
  /// How many descriptors a call can send (SCM_MAX_FD).
  static constexpr std::size_t most_fds = 253;

  /// `most_at_once`: bytes of one turn, where they need not be sent whole. Throws ValueError for more
  /// descriptors than that.
  SendFdsOperation(Fd& socket, std::span<const std::byte> buffer, std::span<const int> fds,
                   std::size_t most_at_once = static_cast<std::size_t>(-1))
      : SocketOperationOf(socket),
        data_(buffer.data()),
        size_(buffer.size()),
        fds_(fds.data()),
        count_(fds.size()),
        most_at_once_(most_at_once) {
    if (count_ > most_fds) throw_too_many(count_);
  }

  bool await_ready() noexcept {
    sent_ = 0;
    return false;
  }

  // For the base classes.

  static constexpr const char* name = "sendmsg";
  void value() const noexcept {}
  bool attempt(int fd, FdWatch* watch) noexcept;

 private:
  [[noreturn]] static void throw_too_many(std::size_t count);

  const std::byte* data_;
  std::size_t size_;
  const int* fds_;
  std::size_t count_;
  std::size_t most_at_once_;
  std::size_t sent_ = 0;
};

}  // namespace detail

}  // namespace heddle

HEDDLE_HEADER_END
