// DatagramBatch: recvmmsg(2) and sendmmsg(2) on arrays that are allocated once.
// SPDX-License-Identifier: MIT
#include "datagram_batch.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>

#include "../../selector/errors.hpp"
#include "datagram_control.hpp"
#include "socket_operation_steps.hpp"

#ifndef __linux__
struct mmsghdr {
  msghdr msg_hdr;
  unsigned msg_len;
};
#endif

namespace heddle {

using namespace detail;

namespace {

constexpr std::size_t most_messages = 1024;  // per call (UIO_MAXIOV)
// Datagrams are mostly shorter than there is room for: so many are received at once, however much that is.
constexpr std::size_t least_messages = 16;
constexpr std::size_t least_cost = 1024;  // of sending one, in bytes that take as long

}  // namespace

DatagramBatch::DatagramBatch(std::size_t capacity, std::size_t datagram_size)
    : capacity_(capacity), datagram_size_(datagram_size), used_(capacity) {
  if (capacity == 0 || datagram_size == 0) throw ValueError("a DatagramBatch without room");
  auto bytes = std::make_unique_for_overwrite<std::byte[]>(capacity * datagram_size);
  auto addresses = std::make_unique<Address[]>(capacity);
  auto entries = std::make_unique<Entry[]>(capacity);
  auto headers = std::make_unique<mmsghdr[]>(capacity);
  auto pieces = std::make_unique<iovec[]>(capacity);
  for (std::size_t i = 0; i < capacity; ++i) {
    pieces[i] = {bytes.get() + i * datagram_size, datagram_size};
    headers[i] = {};
    headers[i].msg_hdr.msg_iov = &pieces[i];
    headers[i].msg_hdr.msg_iovlen = 1;
  }
  bytes_ = bytes.release();
  addresses_ = addresses.release();
  entries_ = entries.release();
  messages_ = headers.release();
  pieces.release();
}

DatagramBatch DatagramBatch::with_details(std::size_t capacity, std::size_t datagram_size) {
  DatagramBatch batch(capacity, datagram_size);
  batch.details_ = new DatagramDetails[capacity];
  batch.control_ = new std::byte[capacity * control_room];
  return batch;
}

DatagramBatch::DatagramBatch(DatagramBatch&& other) noexcept
    : capacity_(std::exchange(other.capacity_, 0)),
      datagram_size_(other.datagram_size_),
      size_(std::exchange(other.size_, 0)),
      sent_(std::exchange(other.sent_, 0)),
      used_(std::exchange(other.used_, 0)),
      failed_(std::exchange(other.failed_, false)),
      bytes_(std::exchange(other.bytes_, nullptr)),
      addresses_(std::exchange(other.addresses_, nullptr)),
      entries_(std::exchange(other.entries_, nullptr)),
      messages_(std::exchange(other.messages_, nullptr)),
      details_(std::exchange(other.details_, nullptr)),
      control_(std::exchange(other.control_, nullptr)) {}

DatagramBatch& DatagramBatch::operator=(DatagramBatch&& other) noexcept {
  std::swap(capacity_, other.capacity_);
  std::swap(datagram_size_, other.datagram_size_);
  std::swap(size_, other.size_);
  std::swap(sent_, other.sent_);
  std::swap(used_, other.used_);
  std::swap(failed_, other.failed_);
  std::swap(bytes_, other.bytes_);
  std::swap(addresses_, other.addresses_);
  std::swap(entries_, other.entries_);
  std::swap(messages_, other.messages_);
  std::swap(details_, other.details_);
  std::swap(control_, other.control_);
  return *this;
}

DatagramBatch::~DatagramBatch() {
  if (messages_ != nullptr) delete[] messages_[0].msg_hdr.msg_iov;
  delete[] messages_;
  delete[] entries_;
  delete[] addresses_;
  delete[] bytes_;
  delete[] details_;
  delete[] control_;
}

std::span<std::byte> DatagramBatch::operator[](std::size_t index) noexcept {
  return {bytes_ + index * datagram_size_, entries_[index].size};
}

std::string_view DatagramBatch::text(std::size_t index) const noexcept {
  return {reinterpret_cast<const char*>(bytes_ + index * datagram_size_), entries_[index].size};
}

void DatagramBatch::check_details() const {
  if (details_ == nullptr)
    throw ValueError("a DatagramBatch without details: with_details() makes one that has");
}

DatagramDetails& DatagramBatch::details(std::size_t index) {
  check_details();
  return details_[index];
}

const DatagramDetails& DatagramBatch::details(std::size_t index) const {
  check_details();
  return details_[index];
}

DatagramSegments DatagramBatch::segments(std::size_t index) noexcept {
  return {(*this)[index], details_ != nullptr ? details_[index].segment_size : std::size_t{0}};
}

void DatagramBatch::resize(std::size_t index, std::size_t bytes) {
  if (bytes > datagram_size_)
    throw ValueError("a datagram of " + std::to_string(bytes) + " bytes in a DatagramBatch for " +
                     std::to_string(datagram_size_));
  entries_[index].size = bytes;
}

std::span<std::byte> DatagramBatch::append(std::size_t bytes, const Address& to) {
  if (full())
    throw ValueError("the DatagramBatch is full: it has room for " + std::to_string(capacity_) +
                     " datagrams");
  resize(size_, bytes);
  addresses_[size_] = to;
  entries_[size_].truncated = false;
  if (details_ != nullptr) details_[size_] = DatagramDetails();
  return (*this)[size_++];
}

void DatagramBatch::push(std::span<const std::byte> bytes, const Address& to) {
  const std::span<std::byte> room = append(bytes.size(), to);
  if (!bytes.empty()) std::memcpy(room.data(), bytes.data(), bytes.size());
}

void DatagramBatch::push(std::span<const std::byte> bytes, const Address& to,
                         const DatagramDetails& details) {
  check_details();
  push(bytes, to);
  details_[size_ - 1] = details;
}

// Sets the fields that the kernel or the user may have changed since the last call: of no more messages than
// were used, however many there are.
void DatagramBatch::prepare_to_receive(std::size_t count) noexcept {
  for (std::size_t i = 0, end = std::min(used_, count); i < end; ++i) {
    msghdr& header = messages_[i].msg_hdr;
    header.msg_flags = 0;
    header.msg_iov->iov_len = datagram_size_;
    header.msg_name = addresses_[i].data();
    header.msg_namelen = Address::capacity();
    if (details_ == nullptr) continue;
    header.msg_control = control_ + i * control_room;
    header.msg_controllen = control_room;
  }
  used_ = 0;
}

void DatagramBatch::prepare_to_send(int fd, std::size_t first, std::size_t end) noexcept {
  used_ = std::max(used_, end);
  for (std::size_t i = first; i < end; ++i) {
    msghdr& header = messages_[i].msg_hdr;
    const unsigned length = addresses_[i].length();
    header.msg_flags = 0;
    header.msg_iov->iov_len = entries_[i].size;
    header.msg_name = length != 0 ? addresses_[i].data() : nullptr;
    header.msg_namelen = length;
  }
  if (details_ != nullptr) prepare_details_to_send(fd, first, end);
}

void DatagramBatch::prepare_details_to_send(int fd, std::size_t first, std::size_t end) noexcept {
  Address peer;
  for (std::size_t i = first; i < end; ++i) {
    std::byte* const room = control_ + i * control_room;
    const bool connected = addresses_[i].length() == 0;
    if (connected && peer.length() == 0 && names_source(details_[i])) {
      unsigned length = Address::capacity();
      if (kernel().getpeername(fd, peer.data(), &length) == 0) peer.set_length(length);
    }
    const std::size_t size =
        write_control(room, details_[i], entries_[i].size, connected ? peer : addresses_[i]);
    messages_[i].msg_hdr.msg_control = size != 0 ? room : nullptr;
    messages_[i].msg_hdr.msg_controllen = size;
  }
}

// Returns how many bytes those are.
std::ptrdiff_t DatagramBatch::note_received(std::size_t count) noexcept {
  std::size_t bytes = 0;
  size_ = count;
  used_ = std::max(used_, count);
  sent_ = 0;
  failed_ = false;
  for (std::size_t i = 0; i < count; ++i) {
    entries_[i] = {messages_[i].msg_len, (messages_[i].msg_hdr.msg_flags & MSG_TRUNC) != 0};
    addresses_[i].set_length(std::min<unsigned>(messages_[i].msg_hdr.msg_namelen, Address::capacity()));
    if (details_ != nullptr) read_control(messages_[i].msg_hdr, details_[i]);
    bytes += entries_[i].size;
  }
  return static_cast<std::ptrdiff_t>(bytes);
}

bool ReceiveBatchOperation::attempt(int fd, FdWatch* watch) noexcept {
  DatagramBatch& batch = *batch_;
  const std::size_t of_turn = std::max(most_per_turn / batch.datagram_size_, least_messages);
  const std::size_t most = std::min({batch.capacity_, most_messages, of_turn});
  batch.prepare_to_receive(most);
  result_ =
      uninterrupted([&] { return kernel().recvmmsg(fd, batch.messages_, static_cast<unsigned>(most), 0); });
  if (would_block(result_)) {
    drained(direction(), watch);
    return false;
  }
  // Fewer than `most` don't mean that the socket is drained: recvmmsg(2) stops at an error, too.
  if (result_ >= 0) charge_transfer(batch.note_received(static_cast<std::size_t>(result_)));
  return true;
}

template class detail::SocketOperationOf<ReceiveBatchOperation, Direction::READ>;

const char* SendBatchOperation::call() const noexcept {
  const DatagramBatch& batch = *batch_;
  if (!batch.failed_ || !batch.has_details()) return name;
  const std::size_t segment = batch.details_[batch.sent_].segment_size;
  return segment != 0 && segment < batch.entries_[batch.sent_].size ? "sendmmsg with UDP_SEGMENT" : name;
}

bool SendBatchOperation::await_ready() {
  sent_ = 0;
  batch_->failed_ = false;
  if (batch_->sent_ < batch_->size_) return false;
  batch_->sent_ = 0;
  return done_at_once();
}

// Makes one call, for the datagrams from sent() to `end`; false if it has failed.
bool SendBatchOperation::send(int fd, std::size_t end) noexcept {
  DatagramBatch& batch = *batch_;
  const auto count = static_cast<unsigned>(end - batch.sent_);
  result_ = uninterrupted([&] { return kernel().sendmmsg(fd, batch.messages_ + batch.sent_, count, 0); });
  if (result_ < 0) return false;
  std::size_t bytes = 0;
  for (const std::size_t sent = batch.sent_ + static_cast<std::size_t>(result_); batch.sent_ < sent; ++sent_)
    bytes += batch.entries_[batch.sent_++].size;
  charge_transfer(static_cast<std::ptrdiff_t>(bytes));
  return true;
}

bool SendBatchOperation::attempt(int fd, FdWatch* watch) noexcept {
  DatagramBatch& batch = *batch_;
  std::size_t end = batch.sent_;
  for (std::size_t bytes = 0; end < batch.size_ && bytes < most_per_turn; ++end)
    bytes += batch.entries_[end].size + least_cost;
  end = std::min(end, batch.sent_ + most_messages);
  batch.prepare_to_send(fd, batch.sent_, end);
  while (batch.sent_ < end) {
    if (send(fd, end)) continue;
    if (would_block(result_)) {
      drained(direction(), watch);
      return false;
    }
    // A socket reports the error of a datagram that was sent earlier once, in place of sending: who fails
    // twice is to blame itself.
    const std::ptrdiff_t error = result_;
    batch.failed_ = !send(fd, batch.sent_ + 1) && !would_block(result_);
    if (!batch.failed_) result_ = error;
    return true;
  }
  if (batch.sent_ < batch.size_) return at_next_turn();
  batch.sent_ = 0;
  result_ = 0;
  return true;
}

template class detail::SocketOperationOf<SendBatchOperation, Direction::WRITE, SteppedOperation>;

}  // namespace heddle
