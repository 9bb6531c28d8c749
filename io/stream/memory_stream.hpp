// MemoryStream, memory_pair: connections without a kernel, for tests and for parts of one program.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <concepts>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

#include "../../runtime/core/wait_list.hpp"
#include "../net/socket.hpp"
#include "../operation/buffers.hpp"
#include "../operation/result.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

class MemoryPipe;

}  // namespace detail

class MemoryStream;

namespace detail {

/// Reads from, or writes to, one direction of a memory pair.
class HEDDLE_EXPORT MemoryOperation : public WaitOperation {
 public:
  int fileno() const noexcept { return -1; }

 protected:
  explicit MemoryOperation(MemoryPipe* pipe) noexcept : pipe_(pipe) {}
  MemoryOperation(const MemoryOperation& other) noexcept : WaitOperation(other), pipe_(other.pipe_) {}

  void begin() noexcept {
    moved_ = 0;
    error_ = 0;
  }
  /// Also when it was cancelled.
  bool has_failed() const noexcept { return state_ != State::GRANTED || error_ != 0; }
  /// After has_failed(). Throws Cancelled.
  Failure failure(const char* name) const;

 private:
  friend class MemoryPipe;

 protected:
  MemoryPipe* pipe_;  // nullptr: the stream was closed already
  std::size_t moved_ = 0;
  int error_ = 0;
};

/// Yields how many bytes came. Cancel-safe.
class HEDDLE_EXPORT MemoryReadOperation final : public MemoryOperation {
 public:
  MemoryReadOperation(MemoryPipe* pipe, std::span<std::byte> buffer) noexcept
      : MemoryOperation(pipe), data_(buffer.data()), size_(buffer.size()) {}

  bool await_ready();
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
    wait(waiters(), coroutine);
  }
  std::size_t await_resume() const {
    if (has_failed()) [[unlikely]]
      failure("read").raise();
    return moved_;
  }
  Result<std::size_t> take_result() const;
  AsResult<MemoryReadOperation> as_result() && noexcept { return AsResult(*this); }
  WaitInfo describe() const noexcept override;

 private:
  friend class MemoryPipe;
  WaitList& waiters() const noexcept;

  std::byte* data_;
  std::size_t size_;
};

/// Yields how many bytes were taken.
class HEDDLE_EXPORT MemoryWriteOperation : public MemoryOperation {
 public:
  bool await_ready();
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
    wait(waiters(), coroutine);
  }
  Result<std::size_t> take_result() const;
  WaitInfo describe() const noexcept override;

 protected:
  MemoryWriteOperation(MemoryPipe* pipe, std::span<const std::byte> buffer, bool all) noexcept
      : MemoryOperation(pipe), buffer_(buffer), buffers_(&buffer_, 1), all_(all) {}
  MemoryWriteOperation(MemoryPipe* pipe, std::span<const ConstBuffer> buffers, bool all) noexcept
      : MemoryOperation(pipe), buffers_(buffers), all_(all) {}
  MemoryWriteOperation(const MemoryWriteOperation& other) noexcept
      : MemoryOperation(other),
        buffer_(other.buffer_),
        buffers_(other.buffers_.data() == &other.buffer_ ? std::span<const ConstBuffer>(&buffer_, 1)
                                                         : other.buffers_),
        all_(other.all_) {}

 private:
  friend class MemoryPipe;
  WaitList& waiters() const noexcept;
  std::span<const std::byte> piece() noexcept;

  ConstBuffer buffer_;
  std::span<const ConstBuffer> buffers_;
  std::size_t index_ = 0;  // the buffer to take from, and how much of it was taken
  std::size_t begun_ = 0;
  bool all_;
};

class MemoryWriteSome final : public MemoryWriteOperation {
 public:
  template <class B>
  MemoryWriteSome(MemoryPipe* pipe, B buffer) noexcept : MemoryWriteOperation(pipe, buffer, false) {}
  std::size_t await_resume() const {
    if (has_failed()) [[unlikely]]
      failure("write").raise();
    return moved_;
  }
  AsResult<MemoryWriteSome> as_result() && noexcept { return AsResult(*this); }
};

class MemoryWriteAll final : public MemoryWriteOperation {
 public:
  template <class B>
  MemoryWriteAll(MemoryPipe* pipe, B buffer) noexcept : MemoryWriteOperation(pipe, buffer, true) {}
  void await_resume() const {
    if (has_failed()) [[unlikely]]
      failure("write").raise();
  }
  AsResult<MemoryWriteAll> as_result() && noexcept { return AsResult(*this); }
};

}  // namespace detail

/// One end of a memory_pair(): a stream as TcpStream is, for one loop's thread and without a system call.
/// Each direction buffers up to the pair's capacity, and then writing waits. After the peer closed, what it
/// wrote is read to its end, and writing is EPIPE; after it aborted, both are ECONNRESET. Move-only;
/// destroying it closes it.
class HEDDLE_EXPORT MemoryStream {
 public:
  MemoryStream() noexcept = default;
  MemoryStream(MemoryStream&& other) noexcept
      : in_(std::exchange(other.in_, nullptr)), out_(std::exchange(other.out_, nullptr)) {}
  MemoryStream& operator=(MemoryStream&& other) noexcept {
    if (this != &other) {
      close();
      in_ = std::exchange(other.in_, nullptr);
      out_ = std::exchange(other.out_, nullptr);
    }
    return *this;
  }
  ~MemoryStream() { close(); }

  bool is_open() const noexcept { return in_ != nullptr; }
  /// Operations that wait at this end fail with ECANCELED; the peer reads to the end. Idempotent.
  void close() noexcept;
  /// The same, but the peer gets ECONNRESET, and what it hasn't read is dropped.
  void abort() noexcept;
  /// Throws std::system_error (EBADF) when it is closed.
  void shutdown(Shutdown how);
  void shutdown_write() { shutdown(Shutdown::WRITE); }

  /// Reads what is there, at least one byte: yields how many. 0: the peer ended its side. Cancel-safe.
  [[nodiscard]] detail::MemoryReadOperation read_some(std::span<std::byte> buffer) noexcept {
    return detail::MemoryReadOperation(in_, buffer);
  }
  template <class Buffer>
    requires std::convertible_to<Buffer&, std::span<std::byte>>
  [[nodiscard]] detail::MemoryReadOperation read_some(Buffer& buffer) noexcept {
    return detail::MemoryReadOperation(in_, buffer);
  }
  [[nodiscard]] detail::MemoryReadOperation read_some(std::span<char> buffer) noexcept {
    return read_some(std::as_writable_bytes(buffer));
  }
  /// Writes what there is room for, at least one byte: yields how many. Cancel-safe. The array of several
  /// buffers must live until the co_await returns, too.
  [[nodiscard]] detail::MemoryWriteSome write_some(std::span<const std::byte> buffer) noexcept {
    return detail::MemoryWriteSome(out_, buffer);
  }
  [[nodiscard]] detail::MemoryWriteSome write_some(std::string_view text) noexcept {
    return write_some(std::as_bytes(std::span(text)));
  }
  [[nodiscard]] detail::MemoryWriteSome write_some(std::span<const ConstBuffer> buffers) noexcept {
    return detail::MemoryWriteSome(out_, buffers);
  }
  /// Writes all. Not cancel-safe: a part of it may be written then.
  [[nodiscard]] detail::MemoryWriteAll write_all(std::span<const std::byte> buffer) noexcept {
    return detail::MemoryWriteAll(out_, buffer);
  }
  [[nodiscard]] detail::MemoryWriteAll write_all(std::string_view text) noexcept {
    return write_all(std::as_bytes(std::span(text)));
  }
  [[nodiscard]] detail::MemoryWriteAll write_all(std::span<const ConstBuffer> buffers) noexcept {
    return detail::MemoryWriteAll(out_, buffers);
  }

 private:
  friend HEDDLE_EXPORT std::pair<MemoryStream, MemoryStream> memory_pair(std::size_t capacity);
  MemoryStream(detail::MemoryPipe& in, detail::MemoryPipe& out) noexcept : in_(&in), out_(&out) {}

  detail::MemoryPipe* in_ = nullptr;
  detail::MemoryPipe* out_ = nullptr;
};

/// Two streams that are connected to each other. `capacity`: how many bytes each direction holds between
/// them. Throws ValueError when that is 0.
HEDDLE_EXPORT std::pair<MemoryStream, MemoryStream> memory_pair(std::size_t capacity = 65536);

}  // namespace heddle

HEDDLE_HEADER_END
