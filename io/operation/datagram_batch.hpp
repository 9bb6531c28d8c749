// DatagramBatch: many datagrams that are received or sent by one system call.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

#include "../address/address.hpp"
#include "datagram_details.hpp"
#include "socket_operation.hpp"

struct mmsghdr;

HEDDLE_HEADER_BEGIN

namespace heddle::detail {
class ReceiveBatchOperation;
class SendBatchOperation;
}  // namespace heddle::detail

namespace heddle {

/// Room for datagrams and their addresses, allocated once and used again and again. What recv_batch() put
/// there can be sent by send_batch(): back to where it came from, unless address() is set. It must outlive
/// the operation that uses it, and not be used otherwise meanwhile.
class HEDDLE_EXPORT DatagramBatch {
 public:
  /// For up to `capacity` datagrams of up to `datagram_size` bytes each. Throws ValueError when one of them
  /// is 0, std::bad_alloc.
  DatagramBatch(std::size_t capacity, std::size_t datagram_size);
  /// The same, with DatagramDetails for each datagram. To receive what the kernel has put together (UDP_GRO)
  /// they need room for 65,535 bytes.
  static DatagramBatch with_details(std::size_t capacity, std::size_t datagram_size);
  DatagramBatch(DatagramBatch&& other) noexcept;
  DatagramBatch& operator=(DatagramBatch&& other) noexcept;
  ~DatagramBatch();

  std::size_t capacity() const noexcept { return capacity_; }
  std::size_t datagram_size() const noexcept { return datagram_size_; }
  /// How many datagrams it holds.
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  bool full() const noexcept { return size_ == capacity_; }
  /// Drops them.
  void clear() noexcept {
    size_ = sent_ = 0;
    failed_ = false;
  }

  /// The bytes of a datagram, by index below size().
  std::span<std::byte> operator[](std::size_t index) noexcept;
  std::string_view text(std::size_t index) const noexcept;
  /// Where it came from, and where it will be sent to; no address: to the peer that the socket is connected
  /// to.
  Address& address(std::size_t index) noexcept { return addresses_[index]; }
  const Address& address(std::size_t index) const noexcept { return addresses_[index]; }
  /// It was longer than datagram_size(), and the rest is lost.
  bool truncated(std::size_t index) const noexcept { return entries_[index].truncated; }

  bool has_details() const noexcept { return details_ != nullptr; }
  /// Throws ValueError for a batch that wasn't made by with_details().
  DatagramDetails& details(std::size_t index);
  const DatagramDetails& details(std::size_t index) const;
  /// The datagrams that this one is made of, by its details' segment_size; itself alone without.
  DatagramSegments segments(std::size_t index) noexcept;

  /// Sets the size of a datagram; bytes that it hadn't before are of any value. Throws ValueError for more
  /// than datagram_size().
  void resize(std::size_t index, std::size_t bytes);
  /// Appends a copy of a datagram. Throws ValueError when the batch is full, or the datagram is too long.
  void push(std::span<const std::byte> bytes, const Address& to = Address());
  void push(std::string_view text, const Address& to = Address()) {
    push(std::as_bytes(std::span(text)), to);
  }
  /// With details. Throws ValueError, too, for a batch that has none.
  void push(std::span<const std::byte> bytes, const Address& to, const DatagramDetails& details);
  void push(std::string_view text, const Address& to, const DatagramDetails& details) {
    push(std::as_bytes(std::span(text)), to, details);
  }
  /// Appends a datagram of any value and returns it, to be written to. Throws as push() does.
  std::span<std::byte> append(std::size_t bytes, const Address& to = Address());

  /// How many of them send_batch() has sent. When it threw, that is the index of the next one.
  std::size_t sent() const noexcept { return sent_; }
  /// send_batch() threw because of that one, which can't be sent (EMSGSIZE, ENETUNREACH, ...). Otherwise the
  /// error was left by one that was sent earlier (ECONNREFUSED: nobody was there), and awaiting send_batch()
  /// again goes on.
  bool failed() const noexcept { return failed_; }
  /// Skips it if it can't be sent: the next send_batch() goes on with the one after it.
  void skip() noexcept { sent_ += std::exchange(failed_, false); }

 private:
  friend class detail::ReceiveBatchOperation;
  friend class detail::SendBatchOperation;

  struct Entry {
    std::size_t size = 0;
    bool truncated = false;
  };

  void check_details() const;
  void prepare_to_receive(std::size_t count) noexcept;
  void prepare_to_send(int fd, std::size_t first, std::size_t end) noexcept;
  void prepare_details_to_send(int fd, std::size_t first, std::size_t end) noexcept;
  std::ptrdiff_t note_received(std::size_t count) noexcept;

  std::size_t capacity_;
  std::size_t datagram_size_;
  std::size_t size_ = 0;
  std::size_t sent_ = 0;
  std::size_t used_;     // of messages_ before that, fields aren't as recvmmsg(2) needs them
  bool failed_ = false;  // the datagram at sent_ can't be sent
  std::byte* bytes_ = nullptr;
  Address* addresses_ = nullptr;
  Entry* entries_ = nullptr;
  mmsghdr* messages_ = nullptr;  // the first one's msg_iov points to the array of all iovecs
  DatagramDetails* details_ = nullptr;
  std::byte* control_ = nullptr;  // control_room bytes for each, where there are details
};

namespace detail {

/// Yields how many datagrams came, at least one: what is there, up to the batch's capacity. They replace what
/// the batch held. Cancel-safe.
class HEDDLE_EXPORT ReceiveBatchOperation final
    : public SocketOperationOf<ReceiveBatchOperation, Direction::READ> {
 public:
  ReceiveBatchOperation(Fd& socket, DatagramBatch& batch) : SocketOperationOf(socket), batch_(&batch) {}

  // For the base classes.

  static constexpr const char* name = "recvmmsg";
  std::size_t value() const noexcept { return static_cast<std::size_t>(result_); }
  bool attempt(int fd, FdWatch* watch) noexcept;

 private:
  DatagramBatch* batch_;
};

/// Sends the datagrams of a batch, from sent() on, and yields how many those were. Not cancel-safe, but
/// sent() says how many went out, and awaiting it again goes on there. When all are sent, sent() is 0 again.
/// When it fails, failed() says whether the next datagram is to blame. One of several segments that can't be
/// cut apart is "sendmmsg with UDP_SEGMENT on fd 7": EIO where a network card or a tunnel can't do it (send
/// the segments one by one, and don't try again there), EINVAL for more segments than the kernel takes (64;
/// 128 since Linux 6.9), and for segments that are larger than a packet may be.
class HEDDLE_EXPORT SendBatchOperation final
    : public SocketOperationOf<SendBatchOperation, Direction::WRITE, SteppedOperation> {
 public:
  SendBatchOperation(Fd& socket, DatagramBatch& batch) : SocketOperationOf(socket), batch_(&batch) {}

  bool await_ready();
  /// Throws Cancelled or std::system_error.
  std::size_t await_resume() {
    check(call());
    return value();
  }
  Result<std::size_t> take_result() {
    if (result_ < 0) return failure(call());
    return value();
  }

  // For the base classes.

  static constexpr const char* name = "sendmmsg";
  std::size_t value() const noexcept { return sent_; }
  bool attempt(int fd, FdWatch* watch) noexcept;

 private:
  const char* call() const noexcept;
  bool send(int fd, std::size_t end) noexcept;

  DatagramBatch* batch_;
  std::size_t sent_ = 0;
};

}  // namespace detail

}  // namespace heddle

HEDDLE_HEADER_END
