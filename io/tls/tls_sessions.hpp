// TlsSessions: which sessions a client offers to resume, and which ones a server resumes. Not installed.
// SPDX-License-Identifier: MIT
#pragma once

#include <openssl/ssl.h>

#include <map>
#include <mutex>
#include <string>

#include "tls_context.hpp"

namespace heddle::detail {

/// A client's sessions, one for each server name. Used by the loops of several threads.
class HEDDLE_EXPORT TlsSessions {
 public:
  TlsSessions() = default;
  TlsSessions(const TlsSessions&) = delete;
  TlsSessions& operator=(const TlsSessions&) = delete;
  ~TlsSessions();

  /// The session to resume with the server `name`, which the caller owns then; null if there is none.
  SSL_SESSION* take(const std::string& name);
  /// Takes over `session`.
  void keep(const std::string& name, SSL_SESSION* session);

 private:
  std::mutex mutex_;
  std::map<std::string, SSL_SESSION*> sessions_;  // by plain_name()
};

/// Sets up a context's SSL_CTX: what a client keeps, and that a server resumes a session only for the name
/// that it was made for (RFC 6066, section 3), in the context that it was made in.
void use_resumption(TlsContext::State& state);

}  // namespace heddle::detail
