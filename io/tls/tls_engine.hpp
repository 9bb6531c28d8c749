// TlsEngine: TLS as a state machine between buffers, without I/O. Only its .cpp includes OpenSSL.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "tls_context.hpp"

struct ssl_st;

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// One end of a TLS connection, without a descriptor: what the peer sends is to be put into input_room(), and
/// output() is to be sent to the peer. No call waits. The span of output() stays valid until sent(), and that
/// of input_room() until received(), whatever else is called in between.
class HEDDLE_EXPORT TlsEngine {
 public:
  /// `name`: of the server, for a client. Throws TlsError, ValueError (a client that verifies needs a name).
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
  Step handshake();
  Step read(std::span<std::byte> buffer, std::size_t& size);
  /// At most one record (16 KiB) of `buffer`.
  Step write(std::span<const std::byte> buffer, std::size_t& size);
  /// Puts close_notify into the output: nothing can be written any more.
  void end_writing();
  bool writing_ended() const noexcept { return writing_ended_; }

  std::span<std::byte> input_room();
  /// `size` bytes were put into input_room(); 0: the connection has ended.
  void received(std::size_t size) noexcept;
  bool has_output() const noexcept { return sent_ != sending_.size() || !output_.empty(); }
  std::size_t output_size() const noexcept { return sending_.size() - sent_ + output_.size(); }
  std::span<const std::byte> output();
  void sent(std::size_t size) noexcept;
  void drop_output() noexcept;

  /// Throws the TlsError behind FAILED. `operation` is a noun.
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

  Step outcome(int result) noexcept;

  TlsContext context_;
  std::string name_;
  ssl_st* ssl_ = nullptr;
  std::string input_;  // [input_begin_, input_end_) was received and not yet read by OpenSSL
  std::size_t input_begin_ = 0;
  std::size_t input_end_ = 0;
  std::string output_;    // what OpenSSL has written since sending_ was filled
  std::string sending_;   // what output() yields: doesn't change until all of it is sent
  std::size_t sent_ = 0;  // of sending_
  std::string failure_;
  unsigned long failure_code_ = 0;
  TlsError::Kind failure_kind_ = TlsError::Kind::PROTOCOL;
  bool input_ended_ = false;
  bool writing_ended_ = false;
  bool failed_ = false;
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
