// read_frame, write_frame: length-prefixed messages.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "stream_reader.hpp"
#include "stream_writer.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// How a frame's length is encoded, and how long a frame may be.
struct FrameFormat {
  FrameFormat() noexcept = default;
  /// Throws ValueError unless `prefix_size` is 1, 2, 4 or 8.
  HEDDLE_EXPORT explicit FrameFormat(std::size_t prefix_size, std::size_t most = 1 << 20,
                                     std::endian order = std::endian::big);

  std::size_t prefix = 4;                ///< bytes of the length, which doesn't count itself
  std::size_t longest = 1 << 20;         ///< a frame may have no more bytes
  std::endian order = std::endian::big;  ///< of the length's bytes
};

namespace detail {

/// The length that `prefix` encodes. Throws LimitOverrunError when it is too long for the format.
HEDDLE_EXPORT std::size_t frame_size(const FrameFormat& format, std::string_view prefix);
/// The prefix of a frame with so many bytes, in `prefix`; returns its size. Throws ValueError when they are
/// too many.
HEDDLE_EXPORT std::size_t frame_prefix(const FrameFormat& format, std::size_t size, char (&prefix)[8]);

}  // namespace detail

/// Yields the next frame without its length; it is valid until the reader is used again. nullopt when the
/// stream ends where a frame could begin. Throws IncompleteReadError when it ends elsewhere, and
/// LimitOverrunError for a frame that is too long; both leave the bytes that have come in the reader.
/// Cancel-safe.
template <ReadStream S>
Task<std::optional<std::string_view>> read_frame(StreamReader<S>& reader, FrameFormat format = {}) {
  if (reader.buffered().empty()) {
    const bool more = co_await reader.fill();
    if (!more) co_return std::nullopt;
  }
  const std::size_t size = detail::frame_size(format, co_await reader.peek(format.prefix));
  co_await reader.peek(format.prefix + size);
  co_return reader.consume(format.prefix + size).substr(format.prefix);
}

/// Puts a frame into the writer's buffer. Throws ValueError when it is too long for the format, and then has
/// written nothing.
template <WriteStream S>
void write_frame(StreamWriter<S>& writer, std::string_view frame, const FrameFormat& format = {}) {
  char prefix[8];
  const std::size_t size = detail::frame_prefix(format, frame.size(), prefix);
  writer.write(std::string_view(prefix, size));
  writer.write(frame);
}

}  // namespace heddle

HEDDLE_HEADER_END
