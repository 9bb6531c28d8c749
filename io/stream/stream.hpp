// Stream: what TCP and Unix connections, pipes, TLS and memory pairs have in common, as concepts.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <concepts>
#include <cstddef>
#include <span>

#include "../../runtime/core/awaitable.hpp"
#include "../../runtime/core/task.hpp"
#include "../operation/buffers.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

/// An awaitable whose co_await yields a T.
template <class A, class T>
concept AwaitableOf = Awaitable<A> && std::convertible_to<AwaitResult<A>, T>;

}  // namespace detail

// True of all streams: operations of one direction complete in the order in which they were started;
// their buffers live until the co_await returns; read_some() and write_some() are cancel-safe. When a stream
// is closed or destroyed, operations that wait at it fail with ECANCELED and don't touch it again.

/// `co_await stream.read_some(buffer)` reads what is there, at least one byte, and yields how many; 0: the
/// end (or the buffer is empty).
template <class S>
concept ReadStream = requires(S& stream, std::span<std::byte> buffer) {
  { stream.read_some(buffer) } -> detail::AwaitableOf<std::size_t>;
};

/// `co_await stream.write_some(buffer)` writes at least one byte and yields how many; write_all() writes all,
/// and may have written a part when it is cancelled.
template <class S>
concept WriteStream = requires(S& stream, std::span<const std::byte> buffer) {
  { stream.write_some(buffer) } -> detail::AwaitableOf<std::size_t>;
  { stream.write_all(buffer) } -> Awaitable;
};

/// Both directions. shutdown_write() ends the writing one: the peer reads to the end and sees 0, while this
/// side may read on (finish_writing() awaits it where it is awaitable). close() releases the stream.
template <class S>
concept Stream = ReadStream<S> && WriteStream<S> && requires(S& stream) {
  stream.shutdown_write();
  stream.close();
};

namespace detail {

/// A WriteStream that takes several buffers at once.
template <class S>
concept VectoredWriteStream = WriteStream<S> && requires(S& stream, std::span<const ConstBuffer> buffers) {
  { stream.write_some(buffers) } -> AwaitableOf<std::size_t>;
};

}  // namespace detail

/// `stream.shutdown_write()`, awaited where it is awaitable (TLS sends close_notify).
template <Stream S>
Task<void> finish_writing(S& stream) {
  if constexpr (Awaitable<decltype(stream.shutdown_write())>)
    co_await stream.shutdown_write();
  else
    stream.shutdown_write();
  co_return;
}

}  // namespace heddle

HEDDLE_HEADER_END
