// TlsConnection: its coroutines, which carry bytes between an engine that never waits and a stream that does.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cerrno>
#include <chrono>
#include <cstring>
#include <exception>
#include <system_error>

#include "../../runtime/core/cancelled.hpp"
#include "../../runtime/task/gather.hpp"
#include "../../runtime/task/race.hpp"
#include "../../runtime/task/timeout.hpp"
#include "../file/file_operation.hpp"
#include "../operation/byte_block.hpp"
#include "tls_stream.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// Receives once, into the engine: a reader that is cancelled after that loses nothing. One task at a time;
/// who waits for another one's receiving has received as well.
template <class S>
Task<void> detail::TlsConnection<S>::fill() {
  const std::size_t before = engine.receipts();
  const auto turn = co_await receiving_.scoped();
  check_closed("TLS read", ECANCELED);
  if (engine.receipts() != before) co_return;
  engine.received(co_await transport.read_some(engine.input_room()));
}

/// Sends the engine's output. If it is cancelled between two sends, the rest stays in the engine.
template <class S>
Task<void> detail::TlsConnection<S>::flush() {
  const auto turn = co_await flushing_.scoped();
  for (;;) {
    const std::span<const std::byte> output = engine.output();
    if (send_failure_) std::rethrow_exception(send_failure_);
    if (output.empty()) co_return;
    check_closed("TLS write", ECANCELED);
    engine.sent(co_await transport.write_some(output));
  }
}

/// The same for a reader. An error of sending is kept for who writes next, because the peer can't make sense
/// of what follows a gap; what it has sent can still be read.
template <class S>
Task<void> detail::TlsConnection<S>::flush_beside() {
  try {
    co_await flush();
  } catch (const std::system_error&) {
    if (!send_failure_) send_failure_ = std::current_exception();
    engine.drop_output();
  }
}

/// fill() for a race: the error is kept in `failure`, also when the other side wins.
template <class S>
Task<void> detail::TlsConnection<S>::fill_beside(std::exception_ptr& failure) {
  try {
    co_await fill();
  } catch (const std::exception&) {
    failure = std::current_exception();
  }
}

/// Receives once and sends the output at the same time: the peer may be waiting for that output before it
/// sends anything; or it may read nothing before this side does, so the output must not be waited for alone.
/// Ends when either is done; what the other has moved by then is kept.
template <class S>
Task<void> detail::TlsConnection<S>::fill_and_flush() {
  std::exception_ptr failure;
  co_await race(fill_beside(failure), flush_beside());
  if (failure) std::rethrow_exception(failure);
}

/// Receives once, for a reader, or for a writer that can't write in the middle of a message of the peer's.
template <class S>
Task<void> detail::TlsConnection<S>::receive() {
  if (engine.has_output() && !flushing_.locked())
    co_await fill_and_flush();
  else
    co_await fill();
}

/// Sends the alert by which the peer learns why this side fails, if that takes no longer than 200 ms.
template <class S>
Task<void> detail::TlsConnection<S>::send_alert() {
  if (!engine.has_output() || flushing_.locked()) co_return;
  try {
    co_await timeout(std::chrono::milliseconds(200), flush());
  } catch (const TimeoutError&) {
  } catch (const std::system_error&) {
  }
  engine.drop_output();
}

template <class S>
Task<void> detail::TlsConnection<S>::handshake(Reference self) {
  detail::TlsEngine& engine = self->engine;
  for (;;) {
    const detail::TlsEngine::Step step = engine.handshake();
    if (step == detail::TlsEngine::Step::FAILED || step == detail::TlsEngine::Step::ENDED) {
      const int fd = self->fileno();
      co_await self->send_alert();
      engine.raise("handshake", fd);
    }
    const bool done = step == detail::TlsEngine::Step::DONE;
    // A client may write before it reads, and wait for room with the first byte: so must tickets with the
    // last.
    if (engine.has_output() && !(done && engine.output_can_wait())) co_await self->flush();
    if (done) co_return;
    co_await self->fill();
  }
}

template <class S>
Task<std::size_t> detail::TlsConnection<S>::read_some(Reference self, std::span<std::byte> buffer) {
  detail::TlsEngine& engine = self->engine;
  self->check_closed("TLS read", EBADF);
  const auto turn = co_await self->reading_.scoped();
  self->check_closed("TLS read", ECANCELED);
  for (;;) {
    std::size_t size = 0;
    switch (engine.read(buffer, size)) {
      case detail::TlsEngine::Step::DONE:
        co_return size;
      case detail::TlsEngine::Step::ENDED:
        co_return std::size_t{0};
      case detail::TlsEngine::Step::FAILED: {
        const int fd = self->fileno();
        co_await self->send_alert();
        engine.raise("read", fd);
      }
      case detail::TlsEngine::Step::NEEDS_INPUT:
        break;
    }
    co_await self->receive();
  }
}

template <class S>
Task<std::size_t> detail::TlsConnection<S>::write_some(Reference self, std::span<const std::byte> buffer) {
  detail::TlsEngine& engine = self->engine;
  self->check_closed("TLS write", EBADF);
  const auto turn = co_await self->writing_.scoped();
  self->check_closed("TLS write", ECANCELED);
  if (engine.writing_ended()) detail::throw_tls_writing_ended();
  if (engine.has_output()) co_await self->flush();  // what a cancelled operation has left
  std::size_t size = 0;
  if (buffer.empty()) co_return size;
  for (;;) {
    const detail::TlsEngine::Step step = engine.write(buffer, size);
    if (step == detail::TlsEngine::Step::DONE) break;
    if (step != detail::TlsEngine::Step::NEEDS_INPUT) engine.raise("write", self->fileno());
    co_await self->receive();
  }
  try {
    co_await self->flush();
  } catch (const Cancelled&) {
    detail::postpone_cancel();  // it counts as written: the next operation sends the rest
  }
  co_return size;
}

/// Encrypts from the front of `buffer` as much as is sent at once, or all of it. The caller has `writing_`.
template <class S>
Task<void> detail::TlsConnection<S>::encrypt(std::span<const std::byte>& buffer) {
  while (!buffer.empty() && engine.output_size() < most_at_once) {
    std::size_t size = 0;
    const detail::TlsEngine::Step step = engine.write(buffer, size);
    if (step == detail::TlsEngine::Step::NEEDS_INPUT)
      co_await receive();
    else if (step != detail::TlsEngine::Step::DONE)
      engine.raise("write", fileno());
    buffer = buffer.subspan(size);
  }
}

/// Writes the whole buffer. The caller has `writing_`.
template <class S>
Task<void> detail::TlsConnection<S>::write(std::span<const std::byte> buffer) {
  while (!buffer.empty()) {
    engine.expect_writing(buffer.size() < most_at_once ? buffer.size() : most_at_once);
    co_await encrypt(buffer);
    co_await flush();
  }
}

template <class S>
Task<void> detail::TlsConnection<S>::write_all(Reference self, std::span<const std::byte> buffer) {
  detail::TlsEngine& engine = self->engine;
  self->check_closed("TLS write", EBADF);
  const auto turn = co_await self->writing_.scoped();
  self->check_closed("TLS write", ECANCELED);
  if (engine.writing_ended()) detail::throw_tls_writing_ended();
  if (engine.has_output()) co_await self->flush();
  co_await self->write(buffer);
}

template <class S>
Task<std::size_t> detail::TlsConnection<S>::read_piece(const BorrowedFile& file, std::span<std::byte> piece,
                                                       std::uint64_t offset) {
  co_return co_await file.read_at(piece, offset, "TLS send_file");
}

template <class S>
Task<std::uint64_t> detail::TlsConnection<S>::send_file(Reference self, int number, std::uint64_t offset,
                                                        std::uint64_t count, std::string_view text) {
  detail::TlsEngine& engine = self->engine;
  self->check_closed("TLS write", EBADF);
  const auto turn = co_await self->writing_.scoped();
  self->check_closed("TLS write", ECANCELED);
  if (engine.writing_ended()) detail::throw_tls_writing_ended();
  if (engine.has_output()) co_await self->flush();

  // The end of the head shares a record with the beginning of the file.
  const std::span<const std::byte> head = std::as_bytes(std::span(text));
  const std::size_t begin_of_end = count == 0 ? head.size() : head.size() - head.size() % TlsEngine::record;
  const std::span<const std::byte> end_of_head = head.subspan(begin_of_end);

  const BorrowedFile file(number);
  ByteBlock piece, next;  // after `file`, whose calls use them
  const auto room = [](ByteBlock& block, std::size_t begin, std::uint64_t left) {
    if (block.size() == 0) block = ByteBlock(most_at_once);
    const std::span<std::byte> behind = block.bytes().subspan(begin);
    return left < behind.size() ? behind.first(left) : behind;
  };
  std::size_t begin = end_of_head.size();  // of the file's bytes in `piece`
  std::size_t size = 0;
  std::span<std::byte> asked;
  if (count > 0) {
    asked = room(piece, begin, count);
    if (begin > 0) std::memcpy(piece.data(), end_of_head.data(), begin);
    size = asked.size();
    if (!file.try_read_at(asked, offset)) size = co_await self->read_piece(file, asked, offset);
  }
  co_await self->write(head.first(begin_of_end));
  for (std::uint64_t sent = 0;;) {
    const std::span<const std::byte> bytes(piece.data(), begin + size);
    sent += size;
    if (sent == count || size < asked.size()) {  // the last one
      co_await self->write(bytes);
      co_return sent;
    }
    asked = room(next, 0, count - sent);
    size = asked.size();
    if (file.try_read_at(asked, offset + sent)) {
      co_await self->write(bytes);
    } else {  // from the disk, meanwhile
      const auto [_, read] =
          co_await gather(self->write(bytes), self->read_piece(file, asked, offset + sent));
      size = read;
    }
    begin = 0;
    std::swap(piece, next);
  }
}

template <class S>
Task<void> detail::TlsConnection<S>::shutdown_write(Reference self) {
  detail::TlsEngine& engine = self->engine;
  self->check_closed("TLS write", EBADF);
  const auto turn = co_await self->writing_.scoped();
  self->check_closed("TLS write", ECANCELED);
  engine.end_writing();
  co_await self->flush();
}

template <class S>
Task<void> detail::TlsConnection<S>::exchange_close_notify(Reference self) {
  co_await shutdown_write(Reference(*self));
  std::byte dropped[4096];
  while (co_await read_some(Reference(*self), dropped) != 0) {
  }
}

template <class S>
Task<void> BasicTlsStream<S>::finish(Timeout limit) {
  class Closing {
   public:
    explicit Closing(detail::TlsConnection<S>& connection) noexcept : connection_(connection) {}
    ~Closing() { connection_->close(); }

   private:
    typename detail::TlsConnection<S>::Reference connection_;
  };
  const Closing closing(connection());
  try {
    co_await timeout(limit, detail::TlsConnection<S>::exchange_close_notify(reference()));
  } catch (const std::exception&) {
    // `closing` closes it in any case.
  }
}

extern template class HEDDLE_EXPORT detail::TlsConnection<TcpStream>;
extern template class HEDDLE_EXPORT BasicTlsStream<TcpStream>;

}  // namespace heddle

HEDDLE_HEADER_END
