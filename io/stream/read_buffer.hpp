// ReadBuffer: the bytes that a StreamReader has and nobody has asked for yet.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "../../selector/export.hpp"

namespace heddle {

/// One block of memory that grows as far as it has to. There is none before the first byte is awaited.
class HEDDLE_EXPORT ReadBuffer {
 public:
  /// Throws ValueError for a limit of 0.
  explicit ReadBuffer(std::size_t limit);
  ReadBuffer(const ReadBuffer&) = delete;
  ReadBuffer& operator=(const ReadBuffer&) = delete;
  /// Ends the program if somebody reads into it.
  ~ReadBuffer();

  std::size_t limit() const noexcept { return limit_; }
  std::size_t size() const noexcept { return end_ - begin_; }
  bool empty() const noexcept { return end_ == begin_; }
  std::string_view text() const noexcept { return {bytes_ + begin_, size()}; }
  /// The first `size` bytes, which are taken out but stay where they are until somebody reads on.
  std::string_view take(std::size_t size) noexcept {
    const std::string_view taken(bytes_ + begin_, size);
    begin_ += size;
    return taken;
  }
  /// The stream has ended, and these are the last bytes.
  bool ended() const noexcept { return ended_; }

  static constexpr std::size_t npos = static_cast<std::size_t>(-1);
  /// The size of the first piece up to and with `separator`, or npos. The first `scanned` bytes are known to
  /// hold none, and then those that don't are. Throws LimitOverrunError.
  std::size_t find(std::string_view separator, std::size_t& scanned) const;

  /// Throws std::logic_error while a task reads from the stream.
  void check_idle() const {
    if (filling_) [[unlikely]]
      throw_filling();
  }

  /// For who reads from the stream. Only one task may at a time.
  class HEDDLE_EXPORT Filling {
   public:
    /// Throws std::logic_error when another task reads.
    explicit Filling(ReadBuffer& buffer) : buffer_(buffer) {
      buffer.check_idle();
      buffer.filling_ = true;
    }
    Filling(const Filling&) = delete;
    Filling& operator=(const Filling&) = delete;
    ~Filling() { buffer_.filling_ = false; }

    /// Where to read to. `wanted`: it is known that so many bytes are to be in the buffer.
    std::span<std::byte> room(std::size_t wanted = 0) { return buffer_.room(wanted); }
    /// So many bytes came; 0: the end. False then.
    bool got(std::size_t size) noexcept {
      if (size == 0) return !(buffer_.ended_ = true);
      buffer_.end_ += size;
      return true;
    }
    /// Bytes that were read to elsewhere and have to go into the buffer, which is empty. Throws
    /// std::bad_alloc.
    void put_back(std::span<const std::byte> bytes);

   private:
    ReadBuffer& buffer_;
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
  bool filling_ = false;
};

}  // namespace heddle
