// What a TlsConnection does: how an engine that never waits is joined to a stream that does.
// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <chrono>
#include <exception>
#include <system_error>

#include "../../runtime/core/cancelled.hpp"
#include "../../runtime/task/race.hpp"
#include "../../runtime/task/timeout.hpp"
#include "tls_stream.hpp"

namespace heddle {

/// Receives once. What came is the engine's, whoever asked for it.
template <class S>
Task<void> TlsConnection<S>::fill() {
  engine.received(co_await transport.read_some(engine.input_room()));
}

/// Sends what the engine has. Cancelled between two sends, the rest stays with the engine.
template <class S>
Task<void> TlsConnection<S>::flush() {
  const auto turn = co_await flushing_.scoped();
  for (;;) {
    const std::span<const std::byte> output = engine.output();
    if (output.empty()) co_return;
    engine.sent(co_await transport.write_some(output));
  }
}

/// The same for a reader: that the peer takes no more is no reason not to read what it has sent.
template <class S>
Task<void> TlsConnection<S>::flush_beside() {
  try {
    co_await flush();
  } catch (const std::system_error&) {
    engine.drop_output();
  }
}

/// The same for one of two: what it fails with is kept, even when the other has won.
template <class S>
Task<void> TlsConnection<S>::fill_beside(std::exception_ptr& failure) {
  try {
    co_await fill();
  } catch (const std::exception&) {
    failure = std::current_exception();
  }
}

/// Receives once, but doesn't keep to itself what there is to send: the peer may wait for it before it sends
/// anything, and may read nothing before this side does. Either may win; what the other one has done by then
/// is done.
template <class S>
Task<void> TlsConnection<S>::fill_and_flush() {
  std::exception_ptr failure;
  co_await race(fill_beside(failure), flush_beside());
  if (failure) std::rethrow_exception(failure);
}

/// Tells the peer why this side gives up, if that can be done now.
template <class S>
Task<void> TlsConnection<S>::send_alert() {
  if (!engine.has_output() || flushing_.locked()) co_return;
  try {
    co_await timeout(std::chrono::milliseconds(200), flush());
  } catch (const TimeoutError&) {
  } catch (const std::system_error&) {
  }
  engine.drop_output();
}

template <class S>
Task<void> TlsConnection<S>::handshake(Reference self) {
  TlsEngine& engine = self->engine;
  for (;;) {
    const TlsEngine::Step step = engine.handshake();
    if (step == TlsEngine::Step::FAILED || step == TlsEngine::Step::ENDED) {
      const int fd = self->fileno();
      co_await self->send_alert();
      engine.raise("handshake", fd);
    }
    if (engine.has_output()) co_await self->flush();
    if (step == TlsEngine::Step::DONE) co_return;
    co_await self->fill();
  }
}

template <class S>
Task<std::size_t> TlsConnection<S>::read_some(Reference self, std::span<std::byte> buffer) {
  TlsEngine& engine = self->engine;
  self->check_closed("TLS read", EBADF);
  const auto turn = co_await self->reading_.scoped();
  self->check_closed("TLS read", ECANCELED);
  for (;;) {
    std::size_t size = 0;
    switch (engine.read(buffer, size)) {
      case TlsEngine::Step::DONE:
        co_return size;
      case TlsEngine::Step::ENDED:
        co_return std::size_t{0};
      case TlsEngine::Step::FAILED: {
        const int fd = self->fileno();
        co_await self->send_alert();
        engine.raise("read", fd);
      }
      case TlsEngine::Step::NEEDS_INPUT:
        break;
    }
    if (engine.has_output() && !self->flushing_.locked())
      co_await self->fill_and_flush();
    else
      co_await self->fill();
  }
}

template <class S>
Task<std::size_t> TlsConnection<S>::write_some(Reference self, std::span<const std::byte> buffer) {
  TlsEngine& engine = self->engine;
  self->check_closed("TLS write", EBADF);
  const auto turn = co_await self->writing_.scoped();
  self->check_closed("TLS write", ECANCELED);
  if (engine.writing_ended()) throw_tls_writing_ended();
  if (engine.has_output()) co_await self->flush();  // what a cancelled one has left
  std::size_t size = 0;
  if (buffer.empty()) co_return size;
  if (engine.write(buffer, size) != TlsEngine::Step::DONE) engine.raise("write", self->fileno());
  try {
    co_await self->flush();
  } catch (const Cancelled&) {
    postpone_cancel();  // it is as good as written: the next operation sends the rest
  }
  co_return size;
}

template <class S>
Task<void> TlsConnection<S>::write_all(Reference self, std::span<const std::byte> buffer) {
  constexpr std::size_t enough = 65536;  // for one send
  TlsEngine& engine = self->engine;
  self->check_closed("TLS write", EBADF);
  const auto turn = co_await self->writing_.scoped();
  self->check_closed("TLS write", ECANCELED);
  if (engine.writing_ended()) throw_tls_writing_ended();
  if (engine.has_output()) co_await self->flush();
  while (!buffer.empty()) {
    while (!buffer.empty() && engine.output_size() < enough) {
      std::size_t size = 0;
      if (engine.write(buffer, size) != TlsEngine::Step::DONE) engine.raise("write", self->fileno());
      buffer = buffer.subspan(size);
    }
    co_await self->flush();
  }
}

template <class S>
Task<void> TlsConnection<S>::shutdown_write(Reference self) {
  TlsEngine& engine = self->engine;
  self->check_closed("TLS write", EBADF);
  const auto turn = co_await self->writing_.scoped();
  self->check_closed("TLS write", ECANCELED);
  engine.end_writing();
  if (engine.has_output()) co_await self->flush();
}

template <class S>
Task<void> TlsConnection<S>::say_goodbye(Reference self) {
  co_await shutdown_write(Reference(*self));
  std::byte dropped[4096];
  while (co_await read_some(Reference(*self), dropped) != 0) {
  }
}

template <class S>
Task<void> BasicTlsStream<S>::finish(Timeout limit) {
  class Closing {
   public:
    explicit Closing(TlsConnection<S>& connection) noexcept : connection_(connection) {}
    ~Closing() { connection_->close(); }

   private:
    typename TlsConnection<S>::Reference connection_;
  };
  const Closing closing(connection());
  try {
    co_await timeout(limit, TlsConnection<S>::say_goodbye(reference()));
  } catch (const std::exception&) {
    // It is closed in any case.
  }
}

extern template class HEDDLE_EXPORT TlsConnection<TcpStream>;
extern template class HEDDLE_EXPORT BasicTlsStream<TcpStream>;

}  // namespace heddle
