// TlsContext, TlsOptions: certificates and the other settings that TLS connections share; TlsError.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

struct ssl_ctx_st;

HEDDLE_HEADER_BEGIN

namespace heddle {

/// What went wrong in TLS; what() names the operation, the descriptor and OpenSSL's reason: "TLS handshake
/// with \"example.org\" on fd 7: certificate verify failed (certificate has expired)". Failures of the
/// connection underneath are std::system_error, as without TLS; without memory it is std::bad_alloc.
class HEDDLE_EXPORT TlsError : public std::runtime_error {
 public:
  enum class Kind : unsigned char {
    CONFIGURATION,  ///< a certificate or key that can't be read, an option that makes no sense
    CERTIFICATE,    ///< the peer's certificate was not accepted
    TRUNCATED,      ///< the connection was closed without close_notify: bytes may be missing
    PROTOCOL,       ///< anything else: bytes that aren't TLS, an alert of the peer's, ...
  };

  TlsError(Kind its_kind, const std::string& message, unsigned long its_code = 0);
  TlsError(const TlsError&) noexcept;
  ~TlsError() override;

  Kind kind;
  unsigned long code;  ///< OpenSSL's, 0 where there is none
};

enum class TlsVersion : unsigned char { TLS_1_2, TLS_1_3 };

/// Whether a server asks its clients for certificates, which it verifies against ca_file or ca_pem.
enum class ClientCertificate : unsigned char { NONE, OPTIONAL, REQUIRED };

/// Everything may be left at its default, but a server needs a certificate and its key. Each of these is a
/// property of the context: connections that TlsContext::add_name() gives to another context have all of that
/// one, and none of the first.
struct HEDDLE_EXPORT TlsOptions {
  TlsOptions();
  TlsOptions(const TlsOptions&);
  TlsOptions(TlsOptions&&) noexcept;
  TlsOptions& operator=(const TlsOptions&);
  TlsOptions& operator=(TlsOptions&&) noexcept;
  ~TlsOptions();

  /// One's own certificate, followed by its chain towards the root, and its key: the names of PEM files, or
  /// PEM.
  std::string certificate_file;
  std::string key_file;
  std::string certificate_pem;
  std::string key_pem;
  std::string key_password;

  /// Certificate authorities to trust, in PEM. If both are empty, a client trusts the system's.
  std::string ca_file;
  std::string ca_pem;
  /// Of a client: false accepts any certificate, so the server may be anybody.
  bool verify = true;
  /// Of a server.
  ClientCertificate client_certificate = ClientCertificate::NONE;

  /// Protocols (ALPN, RFC 7301), the preferred first: "h2", "http/1.1". A server takes the first of its own
  /// that the client has; if there is none the handshake fails.
  std::vector<std::string> alpn;
  TlsVersion min_version = TlsVersion::TLS_1_2;
  TlsVersion max_version = TlsVersion::TLS_1_3;
  /// What TLS 1.2 may encrypt with, in OpenSSL's form (`man openssl-ciphers`): "ECDHE+AESGCM:ECDHE+CHACHA20",
  /// which is the default. Others have no forward secrecy (RSA key exchange), or known weaknesses (CBC).
  std::string cipher_list;
  /// The same for TLS 1.3: "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256". By default all of
  /// OpenSSL's.
  std::string ciphersuites;
  /// Sessions are resumed by tickets. A client keeps one for each server name, up to 256. A server resumes
  /// one only in the context that it was made in, for the name that it was made for (RFC 6066, section 3).
  bool resumption = true;
  /// The end of a connection without close_notify is read as an end instead of a TlsError. Only for protocols
  /// whose messages show by themselves whether they are complete.
  bool ignore_truncation = false;
};

/// The settings of TLS connections. Copies share them; they may be used by the loops of several threads.
/// Making one takes milliseconds (it reads the system's certificate authorities), so make one and keep it.
class HEDDLE_EXPORT TlsContext {
 public:
  /// Throws TlsError (CONFIGURATION), std::bad_alloc.
  static TlsContext client(const TlsOptions& options = {});
  static TlsContext server(const TlsOptions& options);

  TlsContext(const TlsContext& other) noexcept;
  TlsContext(TlsContext&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  TlsContext& operator=(TlsContext other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~TlsContext();

  bool is_client() const;
  /// Of a server: who asks for `name` (SNI) is served by `other`, as if its connection had been started with
  /// that: with its certificates, and also with its client certificates, versions, ciphers, ALPN and all the
  /// rest of its options. "*." and a name stands for all names with one label more, unless one of them was
  /// added by itself. Case doesn't matter, nor does a dot at the end. In effect for connections that start
  /// later; may be called on any thread. Throws TlsError (CONFIGURATION): for a client's context, for what is
  /// no name, for one that was added before, and if `other` is this context or has names of its own.
  void add_name(const std::string& name, TlsContext other);

  // For TlsEngine.

  struct State;
  State& state() const;

 private:
  explicit TlsContext(State* state) noexcept : state_(state) {}

  State* state_;
};

}  // namespace heddle

HEDDLE_HEADER_END
