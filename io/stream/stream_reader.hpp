// StreamReader: lines, frames and exact numbers of bytes from any stream.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <concepts>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "../../runtime/core/cancelled.hpp"
#include "../../runtime/task/sleep.hpp"
#include "../../selector/errors.hpp"
#include "buffered_operation.hpp"
#include "read_buffer.hpp"
#include "read_errors.hpp"
#include "stream.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

// std::min without <algorithm>, which every user would compile.
inline std::size_t smaller(std::size_t a, std::size_t b) noexcept { return a < b ? a : b; }

}  // namespace detail

/// Reads a stream through a buffer, as asyncio.StreamReader. The stream must outlive it and not be read
/// otherwise. One task at a time may read (std::logic_error for a second one); it gets std::logic_error when
/// the reader is destroyed meanwhile.
///
/// What comes as a std::string_view stays in the buffer and is valid until the reader is used again: a line
/// costs no allocation. Everything is cancel-safe: what has arrived stays in the reader. Besides what is said
/// there, all throw what the stream throws, and then, too, nothing that has arrived is lost.
template <ReadStream S>
class StreamReader {
 public:
  /// `limit`: how long, in bytes, a line or what read_until() yields may be, with its separator; the buffer
  /// is grown no further for them. Throws ValueError when it is 0.
  explicit StreamReader(S& stream, std::size_t limit = 65536) : stream_(stream), buffer_(limit) {}

  class Line;
  class Until;
  class Exactly;
  class Some;
  class SomeInto;

  /// Yields the next line without its end, "\n" or "\r\n"; nullopt after the last one, which need not have an
  /// end. Throws LimitOverrunError when it is longer than the limit.
  Line read_line() noexcept { return Line(*this); }
  /// Yields everything up to and with `separator`, which must live until then. Throws ValueError when that is
  /// empty, LimitOverrunError, and IncompleteReadError when the stream ends before.
  Until read_until(std::string_view separator) { return Until(*this, checked(separator)); }
  /// Yields exactly `size` bytes; the limit doesn't matter. Throws IncompleteReadError.
  Exactly read_exactly(std::size_t size) noexcept { return Exactly(*this, size, true); }
  /// The same, but leaves them in the buffer, also when it throws IncompleteReadError.
  Exactly peek(std::size_t size) noexcept { return Exactly(*this, size, false); }
  /// Yields what is there, at most `most` bytes; empty at the end.
  Some read(std::size_t most) noexcept { return Some(*this, most); }
  /// Reads into memory of the caller's and yields how many bytes; 0: the end. So a reader is a ReadStream
  /// itself.
  SomeInto read_some(std::span<std::byte> buffer) noexcept { return SomeInto(*this, buffer); }
  template <class Buffer>
    requires std::convertible_to<Buffer&, std::span<std::byte>>
  SomeInto read_some(Buffer& buffer) noexcept {
    return SomeInto(*this, buffer);
  }
  SomeInto read_some(std::span<char> buffer) noexcept { return read_some(std::as_writable_bytes(buffer)); }
  /// Fills the caller's memory. Throws IncompleteReadError. (When it is cancelled, or the stream fails, the
  /// bytes that had come are put back into the buffer.)
  Task<void> read_exactly(std::span<std::byte> buffer);
  /// Yields everything to the end of the stream. Throws LimitOverrunError when that is more than `most`
  /// bytes.
  Task<std::string_view> read_all(std::size_t most);

  // For parsers.

  /// The bytes that were received and not yet read.
  std::string_view buffered() const noexcept { return buffer_.text(); }
  /// Takes the first `size` of these. Throws ValueError when there are fewer.
  std::string_view consume(std::size_t size) {
    if (size > buffer_.size()) throw ValueError("StreamReader.consume() of more than is buffered");
    return buffer_.take(size);
  }
  /// Takes all of these, for who reads the stream itself from now on. Throws std::logic_error while a task
  /// reads.
  std::string take_buffered() {
    buffer_.check_idle();
    std::string bytes(buffer_.text());
    buffer_.take(bytes.size());
    return bytes;
  }
  /// Waits for more and adds it to buffered(); yields false when the stream has ended. Throws
  /// LimitOverrunError when the limit is reached.
  Task<bool> fill();
  /// The stream has ended and all was read.
  bool at_end() const noexcept { return buffer_.ended() && buffer_.empty(); }

  std::size_t limit() const noexcept { return buffer_.limit(); }
  S& stream() noexcept { return stream_; }

 private:
  template <class Op, class T>
  class Operation;

  static std::string_view checked(std::string_view separator) {
    if (separator.empty()) throw ValueError("StreamReader.read_until() an empty separator");
    return separator;
  }
  [[noreturn]] void throw_incomplete(std::size_t expected) {
    throw IncompleteReadError(std::string(buffer_.take(buffer_.size())), expected);
  }

  S& stream_;
  detail::ReadBuffer buffer_;
};

template <ReadStream S>
template <class Op, class T>
class StreamReader<S>::Operation : public detail::BufferedOperation<Op, T> {
 public:
  explicit Operation(StreamReader& reader) noexcept : reader_(reader) {}

  void begin() const { reader_.buffer_.check_idle(); }
  /// Reads until the Op is ready().
  Task<T> slow_path() {
    Op& self = static_cast<Op&>(*this);
    typename detail::ReadBuffer::Filling filling(reader_.buffer_, Op::name);
    try {
      if (self.ready()) {
        co_await yield();
        filling.check();
      }
      while (!self.ready()) filling.received(co_await reader_.stream_.read_some(filling.room(self.wanted())));
    } catch (...) {
      filling.rethrow();
    }
    co_return self.take();
  }
  /// How many bytes it needs, where that is known.
  std::size_t wanted() const noexcept { return 0; }

 protected:
  ~Operation() = default;

  StreamReader& reader_;
};

template <ReadStream S>
class StreamReader<S>::Line : public Operation<Line, std::optional<std::string_view>> {
 public:
  static constexpr const char* name = "StreamReader.read_line()";

  explicit Line(StreamReader& reader) noexcept : Operation<Line, std::optional<std::string_view>>(reader) {}

  bool ready() {
    size_ = this->reader_.buffer_.find("\n", scanned_);
    return size_ != detail::ReadBuffer::npos || this->reader_.buffer_.ended();
  }
  std::optional<std::string_view> take() {
    detail::ReadBuffer& buffer = this->reader_.buffer_;
    if (size_ == detail::ReadBuffer::npos) {
      if (buffer.empty()) return std::nullopt;
      return buffer.take(buffer.size());
    }
    std::string_view line = buffer.take(size_);
    line.remove_suffix(line.ends_with("\r\n") ? 2 : 1);
    return line;
  }

 private:
  std::size_t scanned_ = 0;
  std::size_t size_ = 0;
};

template <ReadStream S>
class StreamReader<S>::Until : public Operation<Until, std::string_view> {
 public:
  static constexpr const char* name = "StreamReader.read_until()";

  Until(StreamReader& reader, std::string_view separator) noexcept
      : Operation<Until, std::string_view>(reader), separator_(separator) {}

  bool ready() {
    size_ = this->reader_.buffer_.find(separator_, scanned_);
    if (size_ != detail::ReadBuffer::npos) return true;
    if (this->reader_.buffer_.ended()) this->reader_.throw_incomplete(0);
    return false;
  }
  std::string_view take() { return this->reader_.buffer_.take(size_); }

 private:
  std::string_view separator_;
  std::size_t scanned_ = 0;
  std::size_t size_ = 0;
};

template <ReadStream S>
class StreamReader<S>::Exactly : public Operation<Exactly, std::string_view> {
 public:
  static constexpr const char* name = "StreamReader.read_exactly()";

  Exactly(StreamReader& reader, std::size_t size, bool taken) noexcept
      : Operation<Exactly, std::string_view>(reader), size_(size), taken_(taken) {}

  bool ready() {
    if (this->reader_.buffer_.size() >= size_) return true;
    if (!this->reader_.buffer_.ended()) return false;
    if (taken_) this->reader_.throw_incomplete(size_);
    throw IncompleteReadError(std::string(this->reader_.buffer_.text()), size_);
  }
  std::string_view take() {
    return taken_ ? this->reader_.buffer_.take(size_) : this->reader_.buffer_.text().substr(0, size_);
  }
  std::size_t wanted() const noexcept { return size_; }

 private:
  std::size_t size_;
  bool taken_;
};

template <ReadStream S>
class StreamReader<S>::Some : public Operation<Some, std::string_view> {
 public:
  static constexpr const char* name = "StreamReader.read()";

  Some(StreamReader& reader, std::size_t most) noexcept
      : Operation<Some, std::string_view>(reader), most_(most) {}

  bool ready() const noexcept {
    return !this->reader_.buffer_.empty() || this->reader_.buffer_.ended() || most_ == 0;
  }
  std::string_view take() {
    return this->reader_.buffer_.take(detail::smaller(most_, this->reader_.buffer_.size()));
  }

 private:
  std::size_t most_;
};

template <ReadStream S>
class StreamReader<S>::SomeInto : public Operation<SomeInto, std::size_t> {
 public:
  static constexpr const char* name = "StreamReader.read_some()";

  SomeInto(StreamReader& reader, std::span<std::byte> into) noexcept
      : Operation<SomeInto, std::size_t>(reader), into_(into) {}

  bool ready() const noexcept {
    return !this->reader_.buffer_.empty() || this->reader_.buffer_.ended() || into_.empty();
  }
  std::size_t take() {
    const std::string_view bytes =
        this->reader_.buffer_.take(detail::smaller(into_.size(), this->reader_.buffer_.size()));
    if (!bytes.empty()) std::memcpy(into_.data(), bytes.data(), bytes.size());
    return bytes.size();
  }
  Task<std::size_t> slow_path() {
    typename detail::ReadBuffer::Filling filling(this->reader_.buffer_, name);
    std::size_t size = 0;
    try {
      if (ready()) {
        co_await yield();
        filling.check();
        co_return take();
      }
      size = co_await this->reader_.stream_.read_some(into_);
    } catch (...) {
      filling.rethrow();
    }
    filling.check();
    if (size == 0) filling.received(0);
    co_return size;
  }

 private:
  std::span<std::byte> into_;
};

template <ReadStream S>
Task<void> StreamReader<S>::read_exactly(std::span<std::byte> into) {
  typename detail::ReadBuffer::Filling filling(buffer_, "StreamReader.read_exactly()");
  const std::size_t buffered = detail::smaller(into.size(), buffer_.size());
  if (buffered != 0) std::memcpy(into.data(), buffer_.take(buffered).data(), buffered);
  std::size_t got = buffered;
  try {
    while (got < into.size()) {
      const std::size_t size = buffer_.ended() ? 0 : co_await stream_.read_some(into.subspan(got));
      filling.check();
      if (size == 0) {
        filling.received(0);
        break;
      }
      got += size;
    }
  } catch (...) {
    filling.put_back(into.first(got));
    filling.rethrow();
  }
  if (got < into.size())
    throw IncompleteReadError(std::string(reinterpret_cast<const char*>(into.data()), got), into.size());
}

template <ReadStream S>
Task<std::string_view> StreamReader<S>::read_all(std::size_t most) {
  typename detail::ReadBuffer::Filling filling(buffer_, "StreamReader.read_all()");
  try {
    for (;;) {
      if (buffer_.size() > most)
        throw LimitOverrunError("the stream is longer than " + std::to_string(most) + " bytes", most);
      if (buffer_.ended()) break;
      filling.received(co_await stream_.read_some(filling.room(most)));
    }
  } catch (...) {
    filling.rethrow();
  }
  co_return buffer_.take(buffer_.size());
}

template <ReadStream S>
Task<bool> StreamReader<S>::fill() {
  typename detail::ReadBuffer::Filling filling(buffer_, "StreamReader.fill()");
  if (buffer_.size() >= buffer_.limit())
    throw LimitOverrunError("the buffer is full: the limit is " + std::to_string(buffer_.limit()), 0);
  if (buffer_.ended()) co_return false;
  bool more = false;
  try {
    more = filling.received(co_await stream_.read_some(filling.room()));
  } catch (...) {
    filling.rethrow();
  }
  co_return more;
}

}  // namespace heddle

HEDDLE_HEADER_END
