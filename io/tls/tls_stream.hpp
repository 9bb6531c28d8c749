// TlsStream: an encrypted connection over TCP, or over any other stream.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "../../runtime/core/task.hpp"
#include "../../runtime/sync/lock.hpp"
#include "../../selector/timeout.hpp"
#include "../net/tcp.hpp"
#include "../stream/stream_reader.hpp"
#include "tls_context.hpp"
#include "tls_engine.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

class BorrowedFile;

[[noreturn]] HEDDLE_EXPORT void throw_no_tls();
[[noreturn]] HEDDLE_EXPORT void throw_tls_writing_ended();
[[noreturn]] HEDDLE_EXPORT void throw_tls_closed(const char* operation, int error);
/// In place of throwing a Cancelled again that was caught: the task's next co_await throws it.
HEDDLE_EXPORT void postpone_cancel() noexcept;

/// What a TlsStream shares with the coroutines that work on it; references are counted on the loop's thread.
/// For the contract see BasicTlsStream.
template <class S>
class TlsConnection {
 public:
  TlsConnection(S stream, const TlsContext& context, std::string name)
      : engine(context, std::move(name)), transport(std::move(stream)) {}
  TlsConnection(const TlsConnection&) = delete;
  TlsConnection& operator=(const TlsConnection&) = delete;

  /// Keeps the connection alive for a coroutine, also for one that hasn't started yet.
  class Reference {
   public:
    explicit Reference(TlsConnection& connection) noexcept : connection_(&connection) {
      ++connection_->references_;
    }
    Reference(Reference&& other) noexcept : connection_(std::exchange(other.connection_, nullptr)) {}
    Reference& operator=(Reference&&) = delete;
    ~Reference() {
      if (connection_ != nullptr) connection_->release();
    }
    TlsConnection* operator->() const noexcept { return connection_; }
    TlsConnection& operator*() const noexcept { return *connection_; }

   private:
    TlsConnection* connection_;
  };
  void release() noexcept {
    if (--references_ == 0) delete this;
  }

  static Task<void> handshake(Reference self);
  static Task<std::size_t> read_some(Reference self, std::span<std::byte> buffer);
  static Task<std::size_t> write_some(Reference self, std::span<const std::byte> buffer);
  static Task<void> write_all(Reference self, std::span<const std::byte> buffer);
  static Task<std::uint64_t> send_file(Reference self, int number, std::uint64_t offset, std::uint64_t count,
                                       std::string_view text);
  static Task<void> shutdown_write(Reference self);
  static Task<void> exchange_close_notify(Reference self);
  void close() noexcept {
    closed_ = true;
    transport.close();
  }
  bool closed() const noexcept { return closed_; }

  int fileno() const noexcept {
    if constexpr (requires(const S& stream) { stream.fileno(); })
      return transport.fileno();
    else
      return -1;
  }

  TlsEngine engine;
  S transport;

 private:
  ~TlsConnection() = default;

  /// Seven records, and what their encryption adds is in a block of 128 KiB.
  static constexpr std::size_t most_at_once = 7 * TlsEngine::record;

  Task<void> encrypt(std::span<const std::byte>& buffer);
  Task<void> write(std::span<const std::byte> buffer);
  Task<std::size_t> read_piece(const BorrowedFile& file, std::span<std::byte> piece, std::uint64_t offset);
  Task<void> fill();
  Task<void> receive();
  Task<void> fill_beside(std::exception_ptr& failure);
  Task<void> flush();
  Task<void> flush_beside();
  Task<void> fill_and_flush();
  Task<void> send_alert();

  void check_closed(const char* operation, int error) const {
    if (closed_) throw_tls_closed(operation, error);
  }

  Lock reading_;
  Lock writing_;
  Lock flushing_;
  Lock receiving_;
  std::exception_ptr send_failure_;  // output was dropped for it
  unsigned references_ = 1;
  bool closed_ = false;
};

}  // namespace detail

/// A TLS connection over a stream S, which it owns. Any number of tasks may read and write at the same time:
/// operations of a direction complete in the order in which they were started. They throw TlsError, what the
/// stream underneath throws (std::system_error), and Cancelled. A cancelled one leaves the connection usable:
/// what is encrypted and not yet sent by then is sent by the next operation, whichever that is. Closing or
/// destroying the stream ends operations that wait with ECANCELED. Move-only; it may be moved while it is in
/// use.
///
/// TLS 1.2 and 1.3; renegotiation is refused, new tickets and key updates are processed as they come. The
/// kernel's own TLS (kTLS) is not used: all bytes pass through OpenSSL.
template <class S>
class BasicTlsStream {
 public:
  BasicTlsStream() noexcept = default;
  explicit BasicTlsStream(detail::TlsConnection<S>* connection) noexcept : connection_(connection) {}
  BasicTlsStream(BasicTlsStream&& other) noexcept : connection_(std::exchange(other.connection_, nullptr)) {}
  BasicTlsStream& operator=(BasicTlsStream&& other) noexcept {
    if (this != &other) {
      drop();
      connection_ = std::exchange(other.connection_, nullptr);
    }
    return *this;
  }
  ~BasicTlsStream() { drop(); }

  /// Connects by TCP, and then by TLS with `host` as the server's name. Throws ResolveError as well.
  static Task<BasicTlsStream> connect(std::string host, std::uint16_t port, TlsContext context)
    requires std::same_as<S, TcpStream>;

  /// Reads what is there, at least one byte: yields how many. 0: the peer has ended its side (close_notify).
  /// Cancel-safe.
  HEDDLE_CORO_WRAPPER Task<std::size_t> read_some(std::span<std::byte> buffer) {
    return detail::TlsConnection<S>::read_some(reference(), buffer);
  }
  template <class Buffer>
    requires std::convertible_to<Buffer&, std::span<std::byte>>
  HEDDLE_CORO_WRAPPER Task<std::size_t> read_some(Buffer& buffer) {
    return detail::TlsConnection<S>::read_some(reference(), buffer);
  }
  HEDDLE_CORO_WRAPPER Task<std::size_t> read_some(std::span<char> buffer) {
    return read_some(std::as_writable_bytes(buffer));
  }
  /// Writes at most 16 KiB and yields how many bytes. Cancel-safe: cancelled, nothing was written; once the
  /// bytes are encrypted their number is yielded, and the request to stop comes out of the next co_await.
  HEDDLE_CORO_WRAPPER Task<std::size_t> write_some(std::span<const std::byte> buffer) {
    return detail::TlsConnection<S>::write_some(reference(), buffer);
  }
  HEDDLE_CORO_WRAPPER Task<std::size_t> write_some(std::string_view text) {
    return write_some(std::as_bytes(std::span(text)));
  }
  /// Writes the whole buffer. Not cancel-safe: a part of it may be written then.
  HEDDLE_CORO_WRAPPER Task<void> write_all(std::span<const std::byte> buffer) {
    return detail::TlsConnection<S>::write_all(reference(), buffer);
  }
  HEDDLE_CORO_WRAPPER Task<void> write_all(std::string_view text) {
    return write_all(std::as_bytes(std::span(text)));
  }
  /// Writes `head`, and then `count` bytes of an open file, from `offset` on, or all there are: yields how
  /// many of the file. What isn't in memory is read by a thread of the pool, while the piece before it is
  /// sent; `head` leaves together with the first. The file's own position stays as it is. It must stay open,
  /// and `head` valid, until the co_await returns. Not cancel-safe: a part may be written then. Throws what
  /// File::read_at() does as well.
  HEDDLE_CORO_WRAPPER Task<std::uint64_t> send_file(int file, std::uint64_t offset, std::uint64_t count,
                                                    std::string_view head = {}) {
    return detail::TlsConnection<S>::send_file(reference(), file, offset, count, head);
  }
  HEDDLE_CORO_WRAPPER Task<std::uint64_t> send_file(const Fd& file, std::uint64_t offset, std::uint64_t count,
                                                    std::string_view head = {}) {
    return send_file(file.fileno(), offset, count, head);
  }
  /// Sends close_notify: the peer reads to the end and sees 0. This side may read on. Writing later is EPIPE.
  HEDDLE_CORO_WRAPPER Task<void> shutdown_write() {
    return detail::TlsConnection<S>::shutdown_write(reference());
  }
  /// Sends close_notify, waits for the peer's, dropping what it still sends, and closes the connection; also
  /// when that takes longer than `limit`, fails or is cancelled. Throws nothing but Cancelled.
  Task<void> finish(Timeout limit);
  /// Closes the connection at once, without close_notify: the peer can't know that it has got everything.
  /// Idempotent.
  void close() noexcept {
    if (connection_ != nullptr) connection_->close();
  }
  bool is_open() const noexcept { return connection_ != nullptr && !connection_->closed(); }
  /// Of the stream underneath; -1 where there is none.
  int fileno() const noexcept { return connection_ != nullptr ? connection_->fileno() : -1; }
  /// The stream underneath. Nothing must be read from it or written to it.
  S& transport() { return connection().transport; }

  /// What was negotiated: the ALPN protocol (empty: none), the version ("TLSv1.3"), the cipher, whether an
  /// earlier session was resumed; the name that the client has asked for; and the peer's certificate (empty:
  /// none).
  std::string alpn() const { return connection().engine.alpn(); }
  std::string version() const { return connection().engine.version(); }
  std::string cipher() const { return connection().engine.cipher(); }
  bool resumed() const { return connection().engine.resumed(); }
  std::string server_name() const { return connection().engine.server_name(); }
  std::string peer_subject() const { return connection().engine.peer_subject(); }
  std::string peer_certificate() const { return connection().engine.peer_certificate(); }

 private:
  detail::TlsConnection<S>& connection() const {
    if (connection_ == nullptr) detail::throw_no_tls();
    return *connection_;
  }
  typename detail::TlsConnection<S>::Reference reference() const {
    return typename detail::TlsConnection<S>::Reference(connection());
  }
  void drop() noexcept {
    if (connection_ == nullptr) return;
    connection_->close();
    std::exchange(connection_, nullptr)->release();
  }

  detail::TlsConnection<S>* connection_ = nullptr;
};

using TlsStream = BasicTlsStream<TcpStream>;

namespace detail {

template <class S>
Task<BasicTlsStream<S>> start_tls_after(std::string received, S stream, TlsContext context,
                                        std::string server_name) {
  auto* const connection = new TlsConnection<S>(std::move(stream), context, std::move(server_name));
  BasicTlsStream<S> tls(connection);
  connection->engine.receive(std::as_bytes(std::span(received)));
  co_await TlsConnection<S>::handshake(typename TlsConnection<S>::Reference(*connection));
  co_return tls;
}

}  // namespace detail

/// Makes a TLS connection over a stream, as a client or a server as `context` says. A client that verifies
/// needs `server_name`, for which the certificate must be valid. Throws TlsError when the handshake fails,
/// ValueError, std::bad_alloc, and what the stream throws; then, and when it is cancelled, the stream is
/// closed. The tickets of a TLS 1.3 server are sent with what it reads or writes first.
///
/// Nothing may have been read from the stream that belongs to TLS. A StreamReader may have done so, without
/// having been asked to: then start TLS from the reader, below.
template <class S>
HEDDLE_CORO_WRAPPER Task<BasicTlsStream<S>> start_tls(S stream, TlsContext context,
                                                      std::string server_name = {}) {
  return detail::start_tls_after({}, std::move(stream), std::move(context), std::move(server_name));
}

/// The same for a stream of which lines were read before (STARTTLS, a PROXY line, PostgreSQL's SSLRequest).
/// Takes the stream from under `reader` at once, and what the reader has received of it and not yet given
/// out: these bytes are the handshake's first ones, and are never read as if they had come encrypted. Plain
/// text that was sent along with STARTTLS, to be taken for encrypted later, fails the handshake. The reader
/// is empty then, and its stream is closed. Throws std::logic_error while a task reads from it.
template <class S>
HEDDLE_CORO_WRAPPER Task<BasicTlsStream<S>> start_tls(StreamReader<S>& reader, TlsContext context,
                                                      std::string server_name = {}) {
  std::string received = reader.take_buffered();
  return detail::start_tls_after(std::move(received), std::move(reader.stream()), std::move(context),
                                 std::move(server_name));
}

}  // namespace heddle

HEDDLE_HEADER_END

#include "tls_connection.hpp"
