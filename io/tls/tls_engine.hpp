// TlsEngine: TLS without a connection: bytes in, bytes out. OpenSSL behind it is seen by its .cpp alone.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "tls_context.hpp"

struct ssl_st;

namespace heddle {

/// One end of a TLS connection that knows no descriptor: what comes from the peer is put into input_room(),
/// and what output() has is to be sent to it. No call waits. Between output() and sent() that span stays as
/// it is, whatever is called; so does input_room() until received().
class HEDDLE_EXPORT TlsEngine {
 public:
  /// `name` is the server's as the client calls it. Throws TlsError, ValueError (a client that verifies needs
  /// a name).
  TlsEngine(const TlsContext& context, std::string name);
  TlsEngine(const TlsEngine&) = delete;
  TlsEngine& operator=(const TlsEngine&) = delete;
  ~TlsEngine();

  enum class Step : unsigned char {
    DONE,
    NEEDS_INPUT,  ///< something has to be received first; after what there is of output() was sent
    ENDED,        ///< the peer has said goodbye
    FAILED,       ///< see raise(); output() may have an alert for the peer
  };
  Step handshake();
  Step read(std::span<std::byte> buffer, std::size_t& size);
  /// At most one record (16 KiB) of `buffer`.
  Step write(std::span<const std::byte> buffer, std::size_t& size);
  /// Says goodbye: nothing can be written any more.
  void end_writing();
  bool writing_ended() const noexcept { return writing_ended_; }

  std::span<std::byte> input_room();
  /// 0: the connection has ended.
  void received(std::size_t size) noexcept;
  bool has_output() const noexcept { return sent_ != sending_.size() || !output_.empty(); }
  std::size_t output_size() const noexcept { return sending_.size() - sent_ + output_.size(); }
  std::span<const std::byte> output();
  void sent(std::size_t size) noexcept;
  void drop_output() noexcept;

  /// Throws what FAILED meant, again and again. `operation` is a noun.
  [[noreturn]] void raise(const char* operation, int fd) const;

  // About a connection whose handshake is done; empty where there is none.

  std::string alpn() const;
  std::string version() const;  ///< "TLSv1.3"
  std::string cipher() const;
  std::string server_name() const;       ///< that the client has asked for
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
  std::string input_;  // what was received and not yet taken lies between the two
  std::size_t input_begin_ = 0;
  std::size_t input_end_ = 0;
  std::string output_;   // grows
  std::string sending_;  // and this is what lies still
  std::size_t sent_ = 0;
  std::string failure_;
  unsigned long failure_code_ = 0;
  TlsError::Kind failure_kind_ = TlsError::Kind::PROTOCOL;
  bool input_ended_ = false;
  bool writing_ended_ = false;
  bool failed_ = false;
};

}  // namespace heddle
