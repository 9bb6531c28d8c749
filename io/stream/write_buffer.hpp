// WriteBuffer: the bytes that a StreamWriter was given and its stream hasn't taken yet.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "../../runtime/core/wait_list.hpp"
#include "../../runtime/core/wait_scope.hpp"
#include "../operation/buffers.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

class WriteBuffer;

/// Waits until another task has sent something, has stopped sending, or has written something.
class HEDDLE_EXPORT WriteBufferOperation final : public WaitOperation {
 public:
  WriteBufferOperation(WaitList& waiters, WaitList& granted) noexcept
      : waiters_(waiters), granted_(granted) {}

  bool await_ready() {
    check_can_begin();
    return attempt(false);
  }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
    wait(waiters_, granted_, coroutine);
  }
  void await_resume() { take("StreamWriter.drain()"); }
  WaitInfo describe() const noexcept override;

 private:
  WaitList& waiters_;
  WaitList& granted_;
};

/// A list of chunks: small pieces are appended to the last one, a large string may become one itself. What is
/// buffered doesn't move in memory until it was sent.
class HEDDLE_EXPORT WriteBuffer {
 public:
  WriteBuffer() noexcept = default;
  WriteBuffer(const WriteBuffer&) = delete;
  WriteBuffer& operator=(const WriteBuffer&) = delete;
  /// A task that sends from it is asked to stop.
  ~WriteBuffer();

  /// Throws std::bad_alloc; then nothing has changed. After fail() it does nothing.
  void write(std::string_view bytes);
  void take_over(std::string&& bytes);

  std::size_t size() const noexcept { return (written_ - sent_) & ~std::size_t{0}; }  // it lies in memory
  std::uint64_t written() const noexcept { return written_; }
  std::uint64_t sent() const noexcept { return sent_; }

  /// Whether bytes before `position` (as written() and sent() count) are still to be sent. Throws the error
  /// of fail().
  bool has_before(std::uint64_t position) {
    if (error_) [[unlikely]]
      throw_error();
    return sent_ < position;
  }

  /// Fills `into` with what is to be sent next, and returns how many pieces that is.
  std::size_t pieces(std::span<ConstBuffer> into) const noexcept;
  /// `size` bytes were sent.
  void advance(std::size_t size) noexcept;
  /// Nothing can be sent any more: what is buffered, or written later, is dropped.
  void fail(std::exception_ptr error) noexcept;
  /// It has failed, and has_before() hasn't thrown the error yet.
  bool has_unreported_error() const noexcept { return error_ != nullptr && !reported_; }
  bool failed() const noexcept { return error_ != nullptr; }

  /// A task sends. Only one may at a time; others wait for changed().
  bool sending() const noexcept { return sending_ != nullptr; }
  /// The buffer may go meanwhile: then the task is asked to stop, and the memory that is sent lives as long
  /// as this.
  class HEDDLE_EXPORT Sending {
   public:
    explicit Sending(WriteBuffer& buffer) noexcept : buffer_(&buffer) { buffer.sending_ = this; }
    Sending(const Sending&) = delete;
    Sending& operator=(const Sending&) = delete;
    ~Sending() {
      if (buffer_ != nullptr) buffer_->end_sending();
    }

    /// `size` bytes were sent. Throws if the buffer is gone.
    void advance(std::size_t size) {
      check();
      buffer_->advance(size);
    }
    /// Throws if the buffer is gone.
    void check() { scope_.check("StreamWriter.drain()"); }

   private:
    friend class WriteBuffer;
    WriteBuffer* buffer_;
    std::vector<std::string> chunks_;  // of the buffer that is gone
    WaitScope scope_;
  };
  WriteBufferOperation changed() noexcept { return WriteBufferOperation(waiters_, granted_); }

 private:
  [[noreturn]] void throw_error();
  void append(std::string&& chunk);
  void note_written(std::size_t size) noexcept;
  void end_sending() noexcept;

  std::vector<std::string> chunks_;
  std::size_t first_ = 0;  // the first chunk that isn't sent whole
  std::size_t begun_ = 0;  // how much of it was sent
  std::string spare_;      // an empty chunk whose memory is used again
  std::uint64_t written_ = 0;
  std::uint64_t sent_ = 0;
  std::exception_ptr error_;
  bool reported_ = false;
  Sending* sending_ = nullptr;
  WaitList waiters_;
  WaitList granted_;  // who goes on, until its turn
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
