// ReadBuffer: the bytes that a StreamReader has received and its user hasn't taken yet.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <span>
#include <string_view>

#include "../../runtime/core/wait_scope.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// One block of memory, allocated when the first read begins, that grows as far as needed.
class HEDDLE_EXPORT ReadBuffer {
 public:
  /// Throws ValueError for a limit of 0.
  explicit ReadBuffer(std::size_t limit);
  ReadBuffer(const ReadBuffer&) = delete;
  ReadBuffer& operator=(const ReadBuffer&) = delete;
  /// A task that reads into it is asked to stop.
  ~ReadBuffer();

  std::size_t limit() const noexcept { return limit_; }
  std::size_t size() const noexcept { return end_ - begin_; }
  bool empty() const noexcept { return end_ == begin_; }
  std::string_view text() const noexcept { return {bytes_ + begin_, size()}; }
  /// Removes and yields the first `size` bytes: a view that is valid until more is read into the buffer.
  std::string_view take(std::size_t size) noexcept {
    const std::string_view taken(bytes_ + begin_, size);
    begin_ += size;
    return taken;
  }
  /// The stream has ended: no bytes will follow these.
  bool ended() const noexcept { return ended_; }

  static constexpr std::size_t npos = static_cast<std::size_t>(-1);
  /// The size of what is buffered up to the end of the first `separator`; npos when there is none. The first
  /// `scanned` bytes aren't searched; it is set to how many need not be searched again. Throws
  /// LimitOverrunError.
  std::size_t find(std::string_view separator, std::size_t& scanned) const;

  /// Throws std::logic_error while a task reads from the stream.
  void check_idle() const {
    if (filling_ != nullptr) [[unlikely]]
      throw_filling();
  }

  /// Held by the task that reads from the stream: one at a time. The buffer may go meanwhile: then the task
  /// is asked to stop, and the memory that is read into lives as long as this.
  class HEDDLE_EXPORT Filling {
   public:
    /// `operation`: of the StreamReader, for the message when that is destroyed. Throws std::logic_error when
    /// another task reads.
    Filling(ReadBuffer& buffer, const char* operation) : buffer_(&buffer), operation_(operation) {
      buffer.check_idle();
      buffer.filling_ = this;
    }
    Filling(const Filling&) = delete;
    Filling& operator=(const Filling&) = delete;
    ~Filling();

    /// Memory to read into. `wanted`: how many bytes the buffer is going to hold, where that is known.
    std::span<std::byte> room(std::size_t wanted = 0) { return buffer_->room(wanted); }
    /// To be called after each co_await: throws if the buffer is gone.
    void check() { scope_.check(operation_); }
    /// `size` bytes were read; 0: the stream has ended, and this yields false. Throws as check() does.
    bool received(std::size_t size) {
      check();
      if (size == 0) return !(buffer_->ended_ = true);
      buffer_->end_ += size;
      return true;
    }
    /// In a catch block: throws as check() does, or else the exception again.
    [[noreturn]] void rethrow() { scope_.rethrow(operation_); }
    /// Puts bytes that were read into other memory into the buffer, which must be empty; nothing if that is
    /// gone. Throws std::bad_alloc.
    void put_back(std::span<const std::byte> bytes);

   private:
    friend class ReadBuffer;
    ReadBuffer* buffer_;
    const char* operation_;
    char* memory_ = nullptr;  // of the buffer that is gone
    WaitScope scope_;
  };

 private:
  [[noreturn]] static void throw_filling();
  std::span<std::byte> room(std::size_t wanted);
  void move_to(std::size_t capacity);
  void compact() noexcept;

  char* bytes_ = nullptr;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t capacity_ = 0;
  std::size_t limit_;
  bool ended_ = false;
  Filling* filling_ = nullptr;
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
