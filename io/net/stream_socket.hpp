// StreamSocket: reading and writing, the same for TCP and Unix streams.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "../../runtime/core/task.hpp"
#include "../../selector/timeout.hpp"
#include "../operation/buffers.hpp"
#include "../operation/file_transfer.hpp"
#include "../operation/socket_operation.hpp"
#include "../operation/vector_operation.hpp"
#include "socket.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

/// What StreamSocket::finish() does.
HEDDLE_EXPORT Task<void> finish_connection(Socket& socket, Timeout limit);

}  // namespace detail

/// A connected socket of the kind `Base`. Any number of tasks of one loop may read and write at the same
/// time: operations of a direction complete in the order in which they were started. Buffers must live until
/// the co_await returns. One turn of a task moves at most 256 KB by an operation, so that the
/// others and the selector have their turns, however fast the peer is. All operations throw std::system_error
/// (ECONNRESET, EPIPE, ... ; ECANCELED when the stream is closed under them; EBADF when it was closed before)
/// and Cancelled. `co_await operation.as_result()` yields a Result instead of a system_error.
template <class Base, detail::ShortRead short_read>
class StreamSocket : public Base {
 public:
  using Receive = detail::BasicReceiveOperation<short_read>;
  using ReceiveVector = detail::BasicReceiveVectorOperation<short_read>;

  StreamSocket() noexcept = default;
  explicit StreamSocket(Fd fd) noexcept : Base(std::move(fd)) {}

  /// Reads what is there, at least one byte: yields how many. 0: the peer ended its side. Cancel-safe. Only a
  /// read that fills its buffer has to be followed by another to learn whether there is more: give a buffer
  /// some room beyond the messages that usually come, and each of them is one system call.
  [[nodiscard]] Receive read_some(std::span<std::byte> buffer) { return Receive(this->fd(), buffer); }
  /// The same for an array or a vector. Not by a conversion to a span, which GCC 12 would keep in the frame.
  template <class Buffer>
    requires std::convertible_to<Buffer&, std::span<std::byte>>
  [[nodiscard]] Receive read_some(Buffer& buffer) {
    return Receive(this->fd(), buffer);
  }
  [[nodiscard]] Receive read_some(std::span<char> buffer) {
    return read_some(std::as_writable_bytes(buffer));
  }
  /// The same into several buffers, one after the other. The array of them must live until the co_await
  /// returns, too.
  [[nodiscard]] ReceiveVector read_some(std::span<const MutableBuffer> buffers) {
    return ReceiveVector(this->fd(), buffers);
  }

  /// Reads what is there without waiting: yields how many bytes. 0: the peer ended its side (or the buffer is
  /// empty). nullopt: `co_await readable()` before trying again, because nothing is there as far as the loop
  /// knows; or a read of another task waits, which comes first; or the task has spent its budget or is asked
  /// to stop, which takes effect in the co_await. As no buffer is needed while a task waits, all connections
  /// of a loop can share one. To be called by tasks and callbacks of the stream's loop. Throws
  /// std::system_error as read_some() does, but not Cancelled; std::logic_error when no loop runs, or
  /// another.
  [[nodiscard]] std::optional<std::size_t> try_read_some(std::span<std::byte> buffer) {
    return Receive::try_now(this->fd(), buffer);
  }
  [[nodiscard]] std::optional<std::size_t> try_read_some(std::span<char> buffer) {
    return try_read_some(std::as_writable_bytes(buffer));
  }

  /// As read_some(), but the next read gets the same bytes again. Cancel-safe.
  [[nodiscard]] detail::PeekOperation peek(std::span<std::byte> buffer) {
    return detail::PeekOperation(this->fd(), buffer);
  }
  [[nodiscard]] detail::PeekOperation peek(std::span<char> buffer) {
    return peek(std::as_writable_bytes(buffer));
  }

  /// Writes what the kernel takes now, at least one byte: yields how many. Cancel-safe.
  [[nodiscard]] detail::SendOperation write_some(std::span<const std::byte> buffer) {
    return detail::SendOperation(this->fd(), buffer);
  }
  [[nodiscard]] detail::SendOperation write_some(std::string_view text) {
    return write_some(std::as_bytes(std::span(text)));
  }
  [[nodiscard]] detail::SendVectorOperation write_some(std::span<const ConstBuffer> buffers) {
    return detail::SendVectorOperation(this->fd(), buffers);
  }
  /// Writes what the kernel takes now without waiting: yields how many bytes, also 0, for the reasons that
  /// try_read_some() has for nullopt. `co_await write_all()` writes the rest; what other tasks write
  /// meanwhile may come before it. To be called from where try_read_some() may be, and throws the same.
  [[nodiscard]] std::size_t try_write_some(std::span<const std::byte> buffer) {
    return detail::SendOperation::try_now(this->fd(), buffer);
  }
  [[nodiscard]] std::size_t try_write_some(std::string_view text) {
    return try_write_some(std::as_bytes(std::span(text)));
  }
  [[nodiscard]] std::size_t try_write_some(std::span<const ConstBuffer> buffers) {
    return detail::SendVectorOperation::try_now(this->fd(), buffers);
  }

  /// Writes the whole buffer. Not cancel-safe: a part of it may be written then.
  [[nodiscard]] detail::SendAllOperation write_all(std::span<const std::byte> buffer) {
    return detail::SendAllOperation(this->fd(), buffer);
  }
  [[nodiscard]] detail::SendAllOperation write_all(std::string_view text) {
    return write_all(std::as_bytes(std::span(text)));
  }
  [[nodiscard]] detail::SendAllVectorOperation write_all(std::span<const ConstBuffer> buffers) {
    return detail::SendAllVectorOperation(this->fd(), buffers);
  }
  /// Writes `head`, and then `count` bytes of an open file, from `offset` on, or all there are: yields how
  /// many of the file. The kernel copies them, and `head` leaves together with the first. Not cancel-safe.
  [[nodiscard]] detail::SendFileOperation send_file(int file, std::uint64_t offset, std::uint64_t count,
                                                    std::string_view head = {}) {
    return detail::SendFileOperation(this->fd(), file, offset, count, head);
  }
  [[nodiscard]] detail::SendFileOperation send_file(const Fd& file, std::uint64_t offset, std::uint64_t count,
                                                    std::string_view head = {}) {
    return send_file(file.fileno(), offset, count, head);
  }
  /// Ends this side, waits until the peer has ended its own, dropping what it still sends, and closes the
  /// socket; also when that takes longer than `limit`, fails or is cancelled. (A TCP connection that is
  /// closed with bytes unread is reset, and the peer can lose what was written last.) The stream itself is
  /// closed as soon as this begins, and may go. Throws nothing but Cancelled.
  HEDDLE_CORO_WRAPPER Task<void> finish(Timeout limit) { return detail::finish_connection(*this, limit); }
};

}  // namespace heddle

HEDDLE_HEADER_END
