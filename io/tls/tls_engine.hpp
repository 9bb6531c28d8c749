// TlsEngine: TLS as a state machine between buffers, without I/O. Only its .cpp includes OpenSSL.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "../operation/byte_block.hpp"
#include "tls_context.hpp"

struct ssl_st;

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// One end of a TLS connection, without a descriptor: what the peer sends is to be put into input_room(), and
/// output() is to be sent to the peer. No call waits. The span of output() stays valid until sent(), and that
/// of input_room() until received(), whatever else is called in between.
///
/// What a peer can make of it is bounded: a ClientHello of 64 KiB, 256 KiB of output that isn't sent, and 32
/// messages in a row without data (key updates, tickets, attempts to renegotiate). More is a failure.
class HEDDLE_EXPORT TlsEngine {
 public:
  /// `name`: of the server, for a client; a host's (a dot at its end makes no difference) or an IP address.
  /// Throws TlsError, ValueError (no such name; a client that verifies needs one), std::bad_alloc.
  TlsEngine(const TlsContext& context, std::string name);
  TlsEngine(const TlsEngine&) = delete;
  TlsEngine& operator=(const TlsEngine&) = delete;
  ~TlsEngine();

  enum class Step : unsigned char {
    DONE,
    NEEDS_INPUT,  ///< send output(), if there is any, then receive
    ENDED,        ///< the peer has sent close_notify
    FAILED,       ///< see raise(); output() may have an alert for the peer
  };
  /// Throws std::bad_alloc.
  Step handshake();
  /// Once the handshake is done: nobody waits for what is in output() (the tickets of TLS 1.3), so it can be
  /// sent with what comes next.
  bool output_can_wait() const noexcept;
  Step read(std::span<std::byte> buffer, std::size_t& size);
  /// What a record carries at most (RFC 8446, 5.1).
  static constexpr std::size_t record = 16384;
  /// At most one record of `buffer`. NEEDS_INPUT in the middle of a message of the peer's that isn't data:
  /// nothing was written.
  Step write(std::span<const std::byte> buffer, std::size_t& size);
  /// Puts close_notify into the output: nothing can be written any more. Throws std::bad_alloc.
  void end_writing();
  bool writing_ended() const noexcept { return writing_ended_; }

  std::span<std::byte> input_room();
  /// `size` bytes were put into input_room(); 0: the connection has ended.
  void received(std::size_t size) noexcept;
  /// The same for bytes that are somewhere else. Throws std::bad_alloc.
  void receive(std::span<const std::byte> bytes);
  /// How often received() was called.
  std::size_t receipts() const noexcept { return receipts_; }
  /// Some `size` bytes are going to be written before the next output(): makes room for their records, so
  /// that none of them is moved. Throws std::bad_alloc.
  void expect_writing(std::size_t size);
  bool has_output() const noexcept { return output_size() != 0; }
  std::size_t output_size() const noexcept { return sending_.size - sent_ + output_.size; }
  /// How much memory the input and the output have, in bytes. What is large is given back once it is sent.
  std::size_t memory() const noexcept { return input_.size() + output_.block.size() + sending_.block.size(); }
  std::span<const std::byte> output() noexcept;
  void sent(std::size_t size) noexcept;
  void drop_output() noexcept;

  /// Throws the TlsError behind FAILED, or std::bad_alloc. `operation` is a noun.
  [[noreturn]] void raise(const char* operation, int fd) const;

  // Once the handshake is done; empty where there is none.

  std::string alpn() const;
  std::string version() const;  ///< "TLSv1.3"
  std::string cipher() const;
  std::string server_name() const;       ///< what the client has asked for (SNI)
  std::string peer_subject() const;      ///< of its certificate: "CN = example.org"
  std::string peer_certificate() const;  ///< in PEM
  bool resumed() const noexcept;

 private:
  friend struct TlsBio;
  friend struct TlsEngineAccess;

  struct Output {
    ByteBlock block;
    std::size_t size = 0;  // of what is in it

    void reserve(std::size_t room);
    void append(const char* data, std::size_t count);
  };

  ssl_st* make_ssl();
  void set_up_client(ssl_st* ssl);
  void change_context();
  Step outcome(int result) noexcept;
  Step fail(TlsError::Kind kind, const char* reason) noexcept;

  TlsContext context_;
  std::string name_;  // of the server, without the dot that may end it; for a client
  ssl_st* ssl_ = nullptr;
  ByteBlock input_;  // [input_begin_, input_end_) was received and not yet read by OpenSSL
  std::size_t input_begin_ = 0;
  std::size_t input_end_ = 0;
  std::size_t receipts_ = 0;
  Output output_;         // what OpenSSL has written since sending_ was filled
  Output sending_;        // what output() yields: doesn't change until all of it is sent
  std::size_t sent_ = 0;  // of sending_

  // A server's: what was read until the name in the ClientHello was known. Where another context has that
  // name, a new SSL of its own reads all of it again.
  std::string hello_;
  std::size_t replayed_ = 0;  // of hello_
  std::string asked_name_;
  std::optional<TlsContext> other_context_;
  bool keeps_hello_ = false;
  bool hello_seen_ = false;

  unsigned messages_ = 0;  // in a row, after the handshake, that weren't data
  std::string failure_;
  unsigned long failure_code_ = 0;
  TlsError::Kind failure_kind_ = TlsError::Kind::PROTOCOL;
  const char* refusal_ = nullptr;  // why this side goes on no further, where that isn't OpenSSL's reason
  bool out_of_memory_ = false;
  bool input_ended_ = false;
  bool writing_ended_ = false;
  bool handshake_done_ = false;
  bool failed_ = false;
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
