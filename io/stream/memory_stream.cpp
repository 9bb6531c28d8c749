// MemoryPipe: one direction of a memory pair: a ring buffer, and the operations that wait for bytes or room.
// SPDX-License-Identifier: MIT
#include "memory_stream.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

namespace heddle {

using namespace detail;

namespace detail {

// Readers wait only while there are no bytes and there may be some yet; writers only while there is no room.
class MemoryPipe {
 public:
  explicit MemoryPipe(std::size_t capacity) : bytes_(new std::byte[capacity]), capacity_(capacity) {}
  MemoryPipe(const MemoryPipe&) = delete;
  MemoryPipe& operator=(const MemoryPipe&) = delete;

  void release() noexcept {
    if (--references_ == 0) delete this;
  }

  // True when the operation is done.
  bool read(MemoryReadOperation& reader) noexcept;
  bool write(MemoryWriteOperation& writer) noexcept;

  void end() noexcept;                   // nothing more is written: readers see the end, writers EPIPE
  void close_write() noexcept;           // the same, and writers that wait get ECANCELED
  void end_reading(int error) noexcept;  // nothing more is read: readers that wait get `error`, writers EPIPE
  void reset() noexcept;                 // what is buffered is dropped, and both sides get ECONNRESET
  static void complete_all(WaitList& waiters, int error) noexcept;

  WaitList readers;
  WaitList writers;

 private:
  ~MemoryPipe() { delete[] bytes_; }

  void fill(MemoryReadOperation& reader) noexcept;
  std::size_t put(std::span<const std::byte> piece) noexcept;
  bool take_from(MemoryWriteOperation& writer) noexcept;

  std::byte* bytes_;
  std::size_t capacity_;
  std::size_t begin_ = 0;
  std::size_t size_ = 0;
  unsigned references_ = 2;
  int error_ = 0;
  bool ended_ = false;
  bool reader_gone_ = false;
};

}  // namespace detail

bool MemoryPipe::read(MemoryReadOperation& reader) noexcept {
  if (error_ != 0) {
    reader.error_ = error_;
    return true;
  }
  if (size_ == 0) return ended_ || reader_gone_ || reader.size_ == 0;
  fill(reader);
  while (!writers.empty() && size_ < capacity_) {
    if (!take_from(static_cast<MemoryWriteOperation&>(writers.first()))) break;
    writers.grant_first();
  }
  return true;
}

void MemoryPipe::fill(MemoryReadOperation& reader) noexcept {
  while (size_ > 0 && reader.moved_ < reader.size_) {
    const std::size_t size = std::min({size_, capacity_ - begin_, reader.size_ - reader.moved_});
    std::memcpy(reader.data_ + reader.moved_, bytes_ + begin_, size);
    reader.moved_ += size;
    size_ -= size;
    begin_ = size_ == 0 ? 0 : (begin_ + size) % capacity_;
  }
}

bool MemoryPipe::write(MemoryWriteOperation& writer) noexcept {
  if (error_ != 0 || ended_ || reader_gone_) {
    writer.error_ = error_ != 0 ? error_ : EPIPE;
    return true;
  }
  if (writer.piece().empty()) return true;  // nothing to write
  return writers.empty() && take_from(writer);
}

// Takes as many bytes as there is room for. True when the operation is done then.
bool MemoryPipe::take_from(MemoryWriteOperation& writer) noexcept {
  for (;;) {
    const std::span<const std::byte> piece = writer.piece();
    if (piece.empty()) return true;
    const std::size_t size = put(piece);
    if (size == 0) return !writer.all_ && writer.moved_ > 0;
    writer.moved_ += size;
    writer.begun_ += size;
  }
}

std::size_t MemoryPipe::put(std::span<const std::byte> piece) noexcept {
  std::size_t size = 0;
  if (!readers.empty()) {
    auto& reader = static_cast<MemoryReadOperation&>(readers.first());
    size = std::min(piece.size(), reader.size_);
    std::memcpy(reader.data_, piece.data(), size);
    reader.moved_ = size;
    readers.grant_first();
  } else {
    const std::size_t end = (begin_ + size_) % capacity_;
    size = std::min({piece.size(), capacity_ - size_, capacity_ - end});
    std::memcpy(bytes_ + end, piece.data(), size);
    size_ += size;
  }
  return size;
}

void MemoryPipe::complete_all(WaitList& waiters, int error) noexcept {
  while (!waiters.empty()) {
    static_cast<MemoryOperation&>(waiters.first()).error_ = error;
    waiters.grant_first();
  }
}

void MemoryPipe::end() noexcept {
  ended_ = true;
  complete_all(writers, EPIPE);
  complete_all(readers, 0);
}

void MemoryPipe::close_write() noexcept {
  complete_all(writers, ECANCELED);
  end();
}

void MemoryPipe::end_reading(int error) noexcept {
  reader_gone_ = true;
  size_ = 0;
  complete_all(readers, error);
  complete_all(writers, EPIPE);
}

void MemoryPipe::reset() noexcept {
  error_ = ECONNRESET;
  size_ = 0;
  complete_all(readers, error_);
  complete_all(writers, error_);
}

// The operations.

Failure MemoryOperation::failure(const char* name) const {
  check(name);
  check_task();  // an end has gone, and who waits is to stop as well: that is enough to say
  if (error_ == EBADF) return {error_, name, -1};
  return {error_, name[0] == 'r' ? "read on a memory stream" : "write on a memory stream", -1};
}

bool MemoryReadOperation::await_ready() {
  check_can_begin();
  begin();
  if (pipe_ != nullptr) return attempt(pipe_->read(*this));
  error_ = EBADF;
  state_ = State::GRANTED;
  return true;
}

Result<std::size_t> MemoryReadOperation::take_result() const {
  if (has_failed()) return failure("read");
  return moved_;
}

WaitList& MemoryReadOperation::waiters() const noexcept { return pipe_->readers; }

WaitInfo MemoryReadOperation::describe() const noexcept {
  WaitInfo info;
  info.what = "bytes from a memory stream";
  return info;
}

// The bytes to be taken next; empty when all were taken.
std::span<const std::byte> MemoryWriteOperation::piece() noexcept {
  while (index_ < buffers_.size() && begun_ == buffers_[index_].size) {
    ++index_;
    begun_ = 0;
  }
  if (index_ == buffers_.size()) return {};
  return {buffers_[index_].data + begun_, buffers_[index_].size - begun_};
}

bool MemoryWriteOperation::await_ready() {
  check_can_begin();
  begin();
  index_ = begun_ = 0;
  if (pipe_ != nullptr) return attempt(pipe_->write(*this));
  error_ = EBADF;
  state_ = State::GRANTED;
  return true;
}

Result<std::size_t> MemoryWriteOperation::take_result() const {
  if (has_failed()) return failure("write");
  return moved_;
}

WaitList& MemoryWriteOperation::waiters() const noexcept { return pipe_->writers; }

WaitInfo MemoryWriteOperation::describe() const noexcept {
  WaitInfo info;
  info.what = "room in a memory stream";
  return info;
}

// The ends.

std::pair<MemoryStream, MemoryStream> memory_pair(std::size_t capacity) {
  if (capacity == 0) throw ValueError("memory_pair() of capacity 0: nothing could ever be written");
  std::pair<MemoryStream, MemoryStream> pair;
  auto* const there = new MemoryPipe(capacity);
  MemoryPipe* back = nullptr;
  try {
    back = new MemoryPipe(capacity);
  } catch (...) {
    there->release();
    there->release();
    throw;
  }
  pair.first = MemoryStream(*back, *there);
  pair.second = MemoryStream(*there, *back);
  return pair;
}

void MemoryStream::close() noexcept {
  if (!is_open()) return;
  MemoryPipe* const in = std::exchange(in_, nullptr);
  MemoryPipe* const out = std::exchange(out_, nullptr);
  in->end_reading(ECANCELED);
  out->close_write();
  in->release();
  out->release();
}

void MemoryStream::abort() noexcept {
  if (!is_open()) return;
  MemoryPipe* const in = in_;
  MemoryPipe* const out = out_;
  MemoryPipe::complete_all(in->readers, ECANCELED);
  MemoryPipe::complete_all(out->writers, ECANCELED);
  in->reset();
  out->reset();
  close();
}

void MemoryStream::shutdown(Shutdown how) {
  if (!is_open())
    throw std::system_error(EBADF, std::generic_category(), "shutdown on a closed memory stream");
  if (how != Shutdown::WRITE) in_->end_reading(0);
  if (how != Shutdown::READ) out_->end();
}

}  // namespace heddle
