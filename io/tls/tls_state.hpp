// TlsContext::State: the SSL_CTX behind a TlsContext, for the .cpp files that use OpenSSL. Not installed.
// SPDX-License-Identifier: MIT
#pragma once

#include <openssl/ssl.h>

#include <atomic>
#include <string>

#include "tls_context.hpp"
#include "tls_names.hpp"
#include "tls_sessions.hpp"

namespace heddle {

struct TlsContext::State {
  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { ::SSL_CTX_free(context); }

  std::atomic<unsigned> references{1};
  SSL_CTX* context = nullptr;
  bool client = true;
  bool verify = true;
  bool resumption = true;
  std::string alpn;  // in the wire format: each protocol prefixed with its length
  std::string key_password;
  detail::TlsNames names;        // a server's
  detail::TlsSessions sessions;  // a client's
};

namespace detail {

/// The oldest error in this thread's queue of OpenSSL's, which is cleared.
struct TlsReason {
  TlsReason();
  std::string text;
  unsigned long code;
  bool out_of_memory;  // an error in the queue says so
};

/// What OpenSSL's callbacks need of the engine behind an SSL.
struct TlsEngineAccess {
  /// Of the server that a client is connected to.
  static const std::string& name(const SSL* ssl);
  /// That a client has asked a server for; empty: for none.
  static const std::string& asked_name(const SSL* ssl);
  /// SSL_CTX_set_client_hello_cb's.
  static int client_hello(SSL* ssl, int* alert, void*);
  /// SSL_CTX_set_msg_callback's.
  static void message(int written, int version, int type, const void* data, std::size_t size, SSL* ssl,
                      void*);
};

}  // namespace detail

}  // namespace heddle
