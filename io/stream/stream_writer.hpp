// StreamWriter: writing that doesn't wait, and waiting for what was written to be sent.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "../../runtime/core/cancelled.hpp"
#include "../../runtime/core/weak_link.hpp"
#include "../../runtime/task/sleep.hpp"
#include "../../selector/errors.hpp"
#include "buffered_operation.hpp"
#include "stream.hpp"
#include "write_buffer.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// Writes a stream through a buffer. write() never waits; what is buffered is sent when drain(), flush() or
/// close() is awaited, many small pieces in one call, or by a task that runs pump(). The stream must outlive
/// the writer. When the writer is destroyed who waits gets std::logic_error, and what is still buffered is
/// dropped.
///
/// Any number of tasks may write. When sending fails, everything that is buffered or written later is
/// dropped, and drain() and flush() throw the error from then on. All that waits is cancel-safe: what was not
/// sent stays in the writer.
template <WriteStream S>
class StreamWriter {
 public:
  /// See set_limits().
  explicit StreamWriter(S& stream, std::size_t high = 0, std::size_t low = 0) : stream_(stream) {
    set_limits(high, low);
  }
  StreamWriter(const StreamWriter&) = delete;
  StreamWriter& operator=(const StreamWriter&) = delete;

  /// The water marks of drain(), in bytes. By default both are 0: it sends everything. To send many small
  /// answers together set them higher, and await flush() before waiting for the peer. Throws ValueError when
  /// low > high.
  void set_limits(std::size_t high, std::size_t low) {
    if (low > high) throw ValueError("StreamWriter: the low mark is above the high one");
    high_ = high;
    low_ = low;
  }

  /// Copies the bytes into the buffer. Throws std::bad_alloc, and then has written nothing.
  void write(std::string_view text) { buffer_.write(text); }
  void write(std::span<const std::byte> bytes) {
    buffer_.write({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  void write(const char* text) { buffer_.write(text); }
  /// The same without a copy, where that is worth it.
  void write(std::string&& text) { buffer_.take_over(std::move(text)); }
  /// How many bytes are still to be sent.
  std::size_t buffered() const noexcept { return buffer_.size(); }

  class Drain;
  /// To be awaited after writing: when more than the high mark is buffered, returns when no more than the low
  /// mark is; otherwise at once.
  Drain drain() noexcept { return Drain(*this, high_, low_); }
  /// Returns when the stream has taken all that was written before.
  Drain flush() noexcept { return Drain(*this, 0, 0); }
  /// Flushes, then ends this side of the stream: the peer reads to the end.
  Task<void> shutdown_write()
    requires Stream<S>
  {
    co_await flush();
    co_await finish_writing(stream_);
  }
  /// Flushes, ends this side as shutdown_write() does and closes the stream; also if that fails or is
  /// cancelled. An earlier error of sending is thrown only if no drain() or flush() has thrown it.
  Task<void> close()
    requires Stream<S>;
  /// Sends whatever is written until it is cancelled or sending fails: to be spawned into a group beside the
  /// tasks that write.
  Task<void> pump();

  S& stream() noexcept { return stream_; }

  /// For those who are to know when it is destroyed.
  detail::WeakLinks& weak_links() noexcept { return links_; }

 private:
  Task<void> send_before(std::uint64_t position);

  S& stream_;
  detail::WriteBuffer buffer_;
  detail::WeakLinks links_;
  std::size_t high_ = 0;
  std::size_t low_ = 0;
};

template <WriteStream S>
class StreamWriter<S>::Drain : public detail::BufferedOperation<Drain, void> {
 public:
  Drain(StreamWriter& writer, std::size_t high, std::size_t low) noexcept
      : writer_(writer), high_(high), low_(low) {}

  void begin() const noexcept {}
  bool ready() const {
    detail::WriteBuffer& buffer = writer_.buffer_;
    return !buffer.has_before(buffer.written()) || buffer.size() <= high_;
  }
  void take() const noexcept {}
  HEDDLE_CORO_WRAPPER Task<void> slow_path() {
    if (ready()) return yield_once();
    return writer_.send_before(writer_.buffer_.written() - low_);
  }

 private:
  static Task<void> yield_once() { co_await yield(); }

  StreamWriter& writer_;
  std::size_t high_;
  std::size_t low_;
};

template <WriteStream S>
Task<void> StreamWriter<S>::send_before(std::uint64_t position) {
  while (buffer_.has_before(position)) {
    if (buffer_.sending()) {
      co_await buffer_.changed();
      continue;
    }
    detail::WriteBuffer::Sending sending(buffer_);
    try {
      while (buffer_.has_before(position)) {
        if constexpr (detail::VectoredWriteStream<S>) {
          std::array<ConstBuffer, 16> pieces;
          const std::size_t count = buffer_.pieces(pieces);
          const std::span<const ConstBuffer> all(pieces.data(), count);
          sending.advance(co_await stream_.write_some(all));
        } else {
          ConstBuffer piece;
          buffer_.pieces(std::span(&piece, 1));
          sending.advance(co_await stream_.write_some(std::span(piece.data, piece.size)));
        }
      }
    } catch (const Cancelled&) {
      sending.check();
      throw;
    } catch (...) {
      sending.check();
      buffer_.fail(std::current_exception());
    }
  }
}

template <WriteStream S>
Task<void> StreamWriter<S>::pump() {
  for (;;) {
    while (!buffer_.has_before(buffer_.written())) co_await buffer_.changed();
    co_await send_before(buffer_.written());
  }
}

template <WriteStream S>
Task<void> StreamWriter<S>::close()
  requires Stream<S>
{
  // Not when the writer was destroyed: then the stream may be gone, too.
  struct Closer {
    detail::WeakLink<StreamWriter> writer;
    ~Closer() {
      if (StreamWriter* const there = writer.get()) there->stream_.close();
    }
  } closer;
  closer.writer.reset(this);
  if (!buffer_.failed()) {
    co_await shutdown_write();
  } else if (buffer_.has_unreported_error()) {
    co_await flush();  // throws
  }
}

}  // namespace heddle

HEDDLE_HEADER_END
