// AnyStream: a stream with its type erased, for code that isn't a template and for choices at run time.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <memory>  // on purpose: it holds one
#include <span>
#include <string_view>
#include <utility>

#include "stream.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// Owns a stream of any type: TCP, TLS, memory. It is a Stream itself; each operation costs a coroutine.
/// Move-only. As with the stream itself, no operation may be under way while it is moved.
class AnyStream {
 public:
  AnyStream() noexcept = default;
  template <Stream S>
    requires(!std::same_as<S, AnyStream>)
  AnyStream(S stream) : stream_(std::make_unique<Of<S>>(std::move(stream))) {}

  /// Whether it owns a stream; without one it must not be used.
  explicit operator bool() const noexcept { return stream_ != nullptr; }
  /// The stream, if it is an S; nullptr otherwise.
  template <class S>
  S* get() noexcept {
    auto* const of = dynamic_cast<Of<S>*>(stream_.get());
    return of != nullptr ? &of->stream : nullptr;
  }

  HEDDLE_CORO_WRAPPER Task<std::size_t> read_some(std::span<std::byte> buffer) {
    return stream_->read_some(buffer);
  }
  HEDDLE_CORO_WRAPPER Task<std::size_t> read_some(std::span<char> buffer) {
    return read_some(std::as_writable_bytes(buffer));
  }
  HEDDLE_CORO_WRAPPER Task<std::size_t> write_some(std::span<const std::byte> buffer) {
    return stream_->write_some(buffer);
  }
  HEDDLE_CORO_WRAPPER Task<std::size_t> write_some(std::string_view text) {
    return write_some(std::as_bytes(std::span(text)));
  }
  HEDDLE_CORO_WRAPPER Task<void> write_all(std::span<const std::byte> buffer) {
    return stream_->write_all(buffer);
  }
  HEDDLE_CORO_WRAPPER Task<void> write_all(std::string_view text) {
    return write_all(std::as_bytes(std::span(text)));
  }
  HEDDLE_CORO_WRAPPER Task<void> shutdown_write() { return stream_->shutdown_write(); }
  void close() {
    if (stream_ != nullptr) stream_->close();
  }

 private:
  struct Base {
    virtual ~Base() = default;
    virtual Task<std::size_t> read_some(std::span<std::byte> buffer) = 0;
    virtual Task<std::size_t> write_some(std::span<const std::byte> buffer) = 0;
    virtual Task<void> write_all(std::span<const std::byte> buffer) = 0;
    virtual Task<void> shutdown_write() = 0;
    virtual void close() = 0;
  };
  template <class S>
  struct Of;

  std::unique_ptr<Base> stream_;
};

template <class S>
struct AnyStream::Of final : Base {
  explicit Of(S&& its_stream) : stream(std::move(its_stream)) {}

  Task<std::size_t> read_some(std::span<std::byte> buffer) override {
    co_return co_await stream.read_some(buffer);
  }
  Task<std::size_t> write_some(std::span<const std::byte> buffer) override {
    co_return co_await stream.write_some(buffer);
  }
  Task<void> write_all(std::span<const std::byte> buffer) override { co_await stream.write_all(buffer); }
  HEDDLE_CORO_WRAPPER Task<void> shutdown_write() override { return finish_writing(stream); }
  void close() override { stream.close(); }

  S stream;
};

}  // namespace heddle

HEDDLE_HEADER_END
