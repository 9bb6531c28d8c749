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
#include <new>
#include <stdexcept>

#include "../../selector/errors.hpp"
#include "tls_state.hpp"

namespace heddle {

using namespace detail;

TlsOptions::TlsOptions() = default;
TlsOptions::TlsOptions(const TlsOptions&) = default;
TlsOptions::TlsOptions(TlsOptions&&) noexcept = default;
TlsOptions& TlsOptions::operator=(const TlsOptions&) = default;
TlsOptions& TlsOptions::operator=(TlsOptions&&) noexcept = default;
TlsOptions::~TlsOptions() = default;

namespace {

using State = TlsContext::State;

struct Free {
  void operator()(BIO* bio) const { ::BIO_free(bio); }
  void operator()(X509* certificate) const { ::X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { ::EVP_PKEY_free(key); }
};

[[noreturn]] void fail(const std::string& what) {
  const TlsReason reason;
  if (reason.out_of_memory || reason.code == 0) throw std::bad_alloc();
  throw TlsError(TlsError::Kind::CONFIGURATION, "TLS context: " + what + ": " + reason.text, reason.code);
}

[[noreturn]] void refuse(const std::string& what) {
  throw TlsError(TlsError::Kind::CONFIGURATION, "TLS context: " + what);
}

std::unique_ptr<BIO, Free> open_pem(const std::string& pem) {
  std::unique_ptr<BIO, Free> bio(::BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (!bio) throw std::bad_alloc();
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

// Each name that was asked for is acknowledged. Which context it has was decided before, in the ClientHello.
int acknowledge_name(SSL* ssl, int*, void*) {
  return ::SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) != nullptr ? SSL_TLSEXT_ERR_OK
                                                                         : SSL_TLSEXT_ERR_NOACK;
}

using SetCiphers = int (*)(SSL_CTX*, const char*);

// OpenSSL takes a list for good if it knows anything in it: each part is tried alone, so that no misspelt one
// is passed over. What is taken out of the list ("!RC4"), or is a command ("@STRENGTH"), may be nothing here.
void use_ciphers(SSL_CTX* context, SetCiphers set, const char* option, const char* separators,
                 const std::string& list) {
  const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> scratch(::SSL_CTX_new(::TLS_method()), &::SSL_CTX_free);
  if (!scratch) fail("OpenSSL");
  for (std::size_t at = list.find_first_not_of(separators); at != std::string::npos;) {
    const std::size_t end = std::min(list.find_first_of(separators, at), list.size());
    const std::string part = list.substr(at, end - at);
    if (std::strchr("!-+@", part.front()) == nullptr && set(scratch.get(), part.c_str()) != 1)
      fail(std::string(option) + ": \"" + part + '"');
    at = list.find_first_not_of(separators, end);
  }
  if (set(context, list.c_str()) != 1) fail(std::string(option) + " \"" + list + '"');
}

void use_ciphers(State& state, const TlsOptions& options) {
  // Forward secrecy, and encryption that authenticates: RFC 9325, section 4.2.
  const std::string& list = options.cipher_list;
  use_ciphers(state.context, &::SSL_CTX_set_cipher_list, "cipher_list", ":;, ",
              list.empty() ? "ECDHE+AESGCM:ECDHE+CHACHA20" : list);
  if (!options.ciphersuites.empty())
    use_ciphers(state.context, &::SSL_CTX_set_ciphersuites, "ciphersuites", ":", options.ciphersuites);
}

int number_of(TlsVersion version) { return version == TlsVersion::TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION; }

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
  if (SSL_CTX_set_app_data(context, state.get()) != 1) throw std::bad_alloc();
  if (options.min_version > options.max_version) refuse("min_version is above max_version");
  ::SSL_CTX_set_min_proto_version(context, number_of(options.min_version));
  ::SSL_CTX_set_max_proto_version(context, number_of(options.max_version));
  ::SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                     (options.ignore_truncation ? SSL_OP_IGNORE_UNEXPECTED_EOF : 0));
  // A write may be repeated with the bytes at another address; OpenSSL's buffers are freed while idle.
  ::SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
  ::SSL_CTX_set_msg_callback(context, &TlsEngineAccess::message);
  use_ciphers(*state, options);
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
    ::SSL_CTX_set_client_hello_cb(context, &TlsEngineAccess::client_hello, nullptr);
    ::SSL_CTX_set_tlsext_servername_callback(context, &acknowledge_name);
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

TlsContext::State& TlsContext::state() const {
  if (state_ == nullptr) throw std::logic_error("this TlsContext was moved from");
  return *state_;
}

bool TlsContext::is_client() const { return state().client; }

void TlsContext::add_name(const std::string& name, TlsContext other) {
  if (is_client() || other.is_client()) refuse("add_name() is for servers");
  if (other.state_ == state_) refuse("add_name(): a context has its own certificates already");
  if (!other.state_->names.empty()) refuse("add_name(): a context with names of its own has none here");
  state_->names.add(name, std::move(other));
}

}  // namespace heddle
