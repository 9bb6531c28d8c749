// TlsContext: OpenSSL's SSL_CTX, set up so that the defaults are the safe choice.
// SPDX-License-Identifier: MIT
#include "tls_context.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string_view>

#include "../../selector/errors.hpp"
#include "tls_state.hpp"

namespace heddle {

using namespace detail;

TlsError::TlsError(Kind its_kind, const std::string& message, unsigned long its_code)
    : std::runtime_error(message), kind(its_kind), code(its_code) {}
TlsError::TlsError(const TlsError&) noexcept = default;
TlsError::~TlsError() = default;

TlsOptions::TlsOptions() = default;
TlsOptions::TlsOptions(const TlsOptions&) = default;
TlsOptions::TlsOptions(TlsOptions&&) noexcept = default;
TlsOptions& TlsOptions::operator=(const TlsOptions&) = default;
TlsOptions& TlsOptions::operator=(TlsOptions&&) noexcept = default;
TlsOptions::~TlsOptions() = default;

TlsReason::TlsReason() {
  code = ::ERR_get_error();
  const char* const reason = code != 0 ? ::ERR_reason_error_string(code) : nullptr;
  if (reason != nullptr)
    text = reason;
  else if (ERR_SYSTEM_ERROR(code))
    text = std::strerror(ERR_GET_REASON(code));
  else
    text = code != 0 ? "error " + std::to_string(code) : "unknown error";
  ::ERR_clear_error();
}

TlsContext::State::~State() {
  for (const auto& [name, session] : sessions_) ::SSL_SESSION_free(session);
  ::SSL_CTX_free(context);
}

SSL_SESSION* TlsContext::State::take_session(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const auto found = sessions_.find(name);
  if (found == sessions_.end()) return nullptr;
  SSL_SESSION* const session = found->second;
  if (::SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION)
    sessions_.erase(found);  // a ticket used twice lets an observer link the connections (RFC 8446, C.4)
  else
    ::SSL_SESSION_up_ref(session);
  return session;
}

void TlsContext::State::keep_session(const std::string& name, SSL_SESSION* session) {
  constexpr std::size_t most = 256;
  const std::lock_guard lock(mutex_);
  SSL_SESSION*& place = sessions_[name];
  ::SSL_SESSION_free(place);
  place = session;
  if (sessions_.size() <= most) return;
  auto victim = sessions_.begin();
  if (victim->first == name) ++victim;
  ::SSL_SESSION_free(victim->second);
  sessions_.erase(victim);
}

namespace {

using State = TlsContext::State;

struct Free {
  void operator()(BIO* bio) const { ::BIO_free(bio); }
  void operator()(X509* certificate) const { ::X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { ::EVP_PKEY_free(key); }
};

[[noreturn]] void fail(const std::string& what) {
  const TlsReason reason;
  throw TlsError(TlsError::Kind::CONFIGURATION, "TLS context: " + what + ": " + reason.text, reason.code);
}

[[noreturn]] void refuse(const std::string& what) {
  throw TlsError(TlsError::Kind::CONFIGURATION, "TLS context: " + what);
}

std::unique_ptr<BIO, Free> open_pem(const std::string& pem) {
  std::unique_ptr<BIO, Free> bio(::BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (!bio) fail("memory");
  return bio;
}

// Without this callback OpenSSL would ask at the terminal.
int give_password(char* buffer, int size, int, void* argument) {
  const std::string& password = static_cast<const State*>(argument)->key_password;
  if (password.size() > static_cast<std::size_t>(size)) return -1;
  std::copy(password.begin(), password.end(), buffer);
  return static_cast<int>(password.size());
}

void use_certificate(State& state, const TlsOptions& options) {
  SSL_CTX* const context = state.context;
  if (options.certificate_file.empty() && options.certificate_pem.empty()) {
    if (!state.client) refuse("a server needs a certificate (certificate_file or certificate_pem)");
    if (!options.key_file.empty() || !options.key_pem.empty()) refuse("a key without a certificate");
    return;
  }
  if (options.key_file.empty() && options.key_pem.empty())
    refuse("a certificate without its key (key_file or key_pem)");
  if (!options.certificate_file.empty()) {
    if (::SSL_CTX_use_certificate_chain_file(context, options.certificate_file.c_str()) != 1)
      fail("certificate_file \"" + options.certificate_file + '"');
  } else {
    const auto bio = open_pem(options.certificate_pem);
    const std::unique_ptr<X509, Free> own(::PEM_read_bio_X509_AUX(bio.get(), nullptr, nullptr, nullptr));
    if (!own || ::SSL_CTX_use_certificate(context, own.get()) != 1) fail("certificate_pem");
    while (const std::unique_ptr<X509, Free> next{::PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)})
      if (::SSL_CTX_add1_chain_cert(context, next.get()) != 1) fail("certificate_pem");
    ::ERR_clear_error();  // the error that ends the list: no further certificate
  }
  ::SSL_CTX_set_default_passwd_cb(context, &give_password);
  ::SSL_CTX_set_default_passwd_cb_userdata(context, &state);
  if (!options.key_file.empty()) {
    if (::SSL_CTX_use_PrivateKey_file(context, options.key_file.c_str(), SSL_FILETYPE_PEM) != 1)
      fail("key_file \"" + options.key_file + '"');
  } else {
    const auto bio = open_pem(options.key_pem);
    const std::unique_ptr<EVP_PKEY, Free> key(
        ::PEM_read_bio_PrivateKey(bio.get(), nullptr, &give_password, &state));
    if (!key || ::SSL_CTX_use_PrivateKey(context, key.get()) != 1) fail("key_pem");
  }
  if (::SSL_CTX_check_private_key(context) != 1) fail("the key is not the certificate's");
}

void use_authorities(State& state, const TlsOptions& options) {
  if (!options.ca_file.empty() && ::SSL_CTX_load_verify_file(state.context, options.ca_file.c_str()) != 1)
    fail("ca_file \"" + options.ca_file + '"');
  if (!options.ca_pem.empty()) {
    const auto bio = open_pem(options.ca_pem);
    X509_STORE* const store = ::SSL_CTX_get_cert_store(state.context);
    int count = 0;
    while (
        const std::unique_ptr<X509, Free> next{::PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)}) {
      if (::X509_STORE_add_cert(store, next.get()) != 1) fail("ca_pem");
      ++count;
    }
    if (count == 0) fail("ca_pem");
    ::ERR_clear_error();
  }
  if (state.client && options.verify && options.ca_file.empty() && options.ca_pem.empty() &&
      ::SSL_CTX_set_default_verify_paths(state.context) != 1)
    fail("the system's certificates");
}

int select_alpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
                unsigned in_size, void* argument) {
  const std::string& own = static_cast<const State*>(argument)->alpn;
  unsigned char* chosen = nullptr;
  if (::SSL_select_next_proto(&chosen, out_size, reinterpret_cast<const unsigned char*>(own.data()),
                              static_cast<unsigned>(own.size()), in, in_size) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

void use_alpn(State& state, const TlsOptions& options) {
  for (const std::string& protocol : options.alpn) {
    if (protocol.empty() || protocol.size() > 255) refuse("an ALPN protocol has 1 to 255 bytes");
    state.alpn += static_cast<char>(protocol.size());
    state.alpn += protocol;
  }
  if (state.alpn.empty()) return;
  if (!state.client)
    ::SSL_CTX_set_alpn_select_cb(state.context, &select_alpn, &state);
  else if (::SSL_CTX_set_alpn_protos(state.context, reinterpret_cast<const unsigned char*>(state.alpn.data()),
                                     static_cast<unsigned>(state.alpn.size())) != 0)  // 0 is success here
    fail("alpn");
}

bool matches(std::string_view pattern, std::string_view name) noexcept {
  const auto same = [](std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
      const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
      return lower(x) == lower(y);
    });
  };
  if (!pattern.starts_with("*.")) return same(pattern, name);
  const std::size_t dot = name.find('.');
  return dot != std::string_view::npos && dot > 0 && same(pattern.substr(1), name.substr(dot));
}

int select_name(SSL* ssl, int*, void* argument) {
  const char* const name = ::SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (name == nullptr) return SSL_TLSEXT_ERR_NOACK;
  for (const auto& [pattern, context] : static_cast<const State*>(argument)->names)
    if (matches(pattern, name)) {
      ::SSL_set_SSL_CTX(ssl, context.state().context);
      return SSL_TLSEXT_ERR_OK;
    }
  return SSL_TLSEXT_ERR_OK;
}

int keep_session(SSL* ssl, SSL_SESSION* session) {
  auto* const state = static_cast<State*>(SSL_CTX_get_app_data(::SSL_get_SSL_CTX(ssl)));
  if (::SSL_SESSION_is_resumable(session) != 1) return 0;
  try {
    state->keep_session(TlsEngineAccess::name(ssl), session);
  } catch (const std::bad_alloc&) {
    return 0;
  }
  return 1;  // the session is owned here now
}

void use_resumption(State& state) {
  SSL_CTX* const context = state.context;
  if (!state.resumption) {
    ::SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    ::SSL_CTX_set_num_tickets(context, 0);
    ::SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  } else if (state.client) {
    ::SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    ::SSL_CTX_sess_set_new_cb(context, &keep_session);
  } else {
    // A server keeps no sessions: they are in the tickets.
    ::SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    static constexpr unsigned char id[] = "heddle";
    ::SSL_CTX_set_session_id_context(context, id, sizeof id - 1);
  }
}

State* make_state(const TlsOptions& options, bool client) {
  ::ERR_clear_error();
  auto state = std::make_unique<State>();
  state->client = client;
  state->verify = options.verify;
  state->resumption = options.resumption;
  state->key_password = options.key_password;
  SSL_CTX* const context = ::SSL_CTX_new(client ? ::TLS_client_method() : ::TLS_server_method());
  if (context == nullptr) fail("OpenSSL");
  state->context = context;
  SSL_CTX_set_app_data(context, state.get());
  ::SSL_CTX_set_min_proto_version(
      context, options.min_version == TlsVersion::TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
  ::SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                     (options.ignore_truncation ? SSL_OP_IGNORE_UNEXPECTED_EOF : 0));
  // A write may be repeated with the bytes at another address; OpenSSL's buffers are freed while idle.
  ::SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
  use_certificate(*state, options);
  use_authorities(*state, options);
  use_alpn(*state, options);
  use_resumption(*state);
  if (client) {
    ::SSL_CTX_set_verify(context, options.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  } else {
    if (options.client_certificate != ClientCertificate::NONE) {
      if (options.ca_file.empty() && options.ca_pem.empty())
        refuse("client certificates need ca_file or ca_pem to be verified against");
      ::SSL_CTX_set_verify(context,
                           options.client_certificate == ClientCertificate::REQUIRED
                               ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                               : SSL_VERIFY_PEER,
                           nullptr);
    }
    ::SSL_CTX_set_tlsext_servername_callback(context, &select_name);
    ::SSL_CTX_set_tlsext_servername_arg(context, state.get());
  }
  return state.release();
}

}  // namespace

TlsContext TlsContext::client(const TlsOptions& options) { return TlsContext(make_state(options, true)); }
TlsContext TlsContext::server(const TlsOptions& options) { return TlsContext(make_state(options, false)); }

TlsContext::TlsContext(const TlsContext& other) noexcept : state_(other.state_) {
  if (state_ != nullptr) state_->references.fetch_add(1, std::memory_order_relaxed);
}

TlsContext::~TlsContext() {
  if (state_ != nullptr && state_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete state_;
}

bool TlsContext::is_client() const noexcept { return state_->client; }

void TlsContext::add_name(const std::string& name, TlsContext other) {
  if (state_->client || other.is_client()) refuse("add_name() is for servers");
  state_->names.emplace_back(name, std::move(other));
}

}  // namespace heddle
