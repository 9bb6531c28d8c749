// TlsContext::State: the SSL_CTX behind a TlsContext, for the .cpp files that use OpenSSL. Not installed.
// SPDX-License-Identifier: MIT
#pragma once

#include <openssl/ssl.h>

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "tls_context.hpp"

namespace heddle {

struct TlsContext::State {
  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State();

  /// The session to resume with the server `name`, which the caller owns then; null if there is none.
  SSL_SESSION* take_session(const std::string& name);
  /// Takes over `session`.
  void keep_session(const std::string& name, SSL_SESSION* session);

  std::atomic<unsigned> references{1};
  SSL_CTX* context = nullptr;
  bool client = true;
  bool verify = true;
  bool resumption = true;
  std::string alpn;  // in the wire format: each protocol prefixed with its length
  std::string key_password;
  std::vector<std::pair<std::string, TlsContext>> names;

 private:
  std::mutex mutex_;
  std::map<std::string, SSL_SESSION*> sessions_;
};

/// The oldest error in this thread's queue of OpenSSL's, which is cleared.
struct TlsReason {
  TlsReason();
  std::string text;
  unsigned long code;
};

namespace detail {

/// The name of the server that `ssl` is connected to, as its engine knows it.
struct TlsEngineAccess {
  static const std::string& name(const SSL* ssl);
};

}  // namespace detail

}  // namespace heddle
