// copy, copy_bidirectional: everything from one stream into another, and both ways at once.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <cstdint>
#include <span>

#include "../../runtime/task/gather.hpp"
#include "../../selector/errors.hpp"
#include "../operation/byte_block.hpp"
#include "stream.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// How many bytes went each way.
struct CopyCounts {
  std::uint64_t a_to_b = 0;
  std::uint64_t b_to_a = 0;
};

namespace detail {

template <ReadStream From, WriteStream To>
Task<void> copy_counting(From& from, To& to, std::uint64_t& count, std::size_t buffer_size) {
  if (buffer_size == 0) throw ValueError("copy() with a buffer of 0 bytes");
  const ByteBlock buffer(buffer_size);
  while (const std::size_t size = co_await from.read_some(buffer.bytes())) {
    // Not by write_all(), which doesn't say how much it had written when it fails or is cancelled.
    for (std::size_t written = 0; written < size;) {
      const std::span<const std::byte> rest(buffer.data() + written, size - written);
      const std::size_t some = co_await to.write_some(rest);
      written += some;
      count += some;
    }
  }
}

template <Stream From, Stream To>
Task<void> copy_and_finish(From& from, To& to, std::uint64_t& count, std::size_t buffer_size) {
  co_await copy_counting(from, to, count, buffer_size);
  co_await finish_writing(to);
}

}  // namespace detail

/// Writes all that comes from `from`, to its end, into `to`, and yields how many bytes that were. Neither is
/// closed; both must outlive the call. Throws what the streams throw. Not cancel-safe: bytes that were read
/// may not have been written.
template <ReadStream From, WriteStream To>
Task<std::uint64_t> copy(From& from, To& to, std::size_t buffer_size = 32768) {
  std::uint64_t count = 0;
  co_await detail::copy_counting(from, to, count, buffer_size);
  co_return count;
}

/// Both ways at once, as a proxy does: when one side has ended, the other's writing direction is shut down,
/// and the way back goes on. Yields the counts when both have ended. When either way fails, the other is
/// cancelled, and the error thrown; `progress`, which must outlive the call, counts the bytes that were
/// written until then, one by one.
template <Stream A, Stream B>
Task<CopyCounts> copy_bidirectional(A& a, B& b, CopyCounts* progress = nullptr,
                                    std::size_t buffer_size = 32768) {
  CopyCounts counts;
  CopyCounts& count = progress != nullptr ? *progress : counts;
  count = CopyCounts();
  co_await gather(detail::copy_and_finish(a, b, count.a_to_b, buffer_size),
                  detail::copy_and_finish(b, a, count.b_to_a, buffer_size));
  co_return count;
}

}  // namespace heddle

HEDDLE_HEADER_END
