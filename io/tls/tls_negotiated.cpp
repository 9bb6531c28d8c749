// TlsEngine: what was negotiated, and who the peer is.
// SPDX-License-Identifier: MIT
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <memory>
#include <new>

#include "tls_engine.hpp"

namespace heddle::detail {

std::string TlsEngine::alpn() const {
  const unsigned char* data = nullptr;
  unsigned size = 0;
  ::SSL_get0_alpn_selected(ssl_, &data, &size);
  return std::string(reinterpret_cast<const char*>(data), size);
}

std::string TlsEngine::version() const { return ::SSL_get_version(ssl_); }
std::string TlsEngine::cipher() const {
  const char* const name = ::SSL_get_cipher_name(ssl_);
  return name != nullptr ? name : "";
}

std::string TlsEngine::server_name() const {
  if (!context_.is_client()) return asked_name_;
  const char* const name = ::SSL_get_servername(ssl_, TLSEXT_NAMETYPE_host_name);
  return name != nullptr ? name : "";
}

namespace {

template <class Print>
std::string printed(const SSL* ssl, Print print) {
  const X509* const certificate = ::SSL_get0_peer_certificate(ssl);
  if (certificate == nullptr) return {};
  const std::unique_ptr<BIO, int (*)(BIO*)> bio(::BIO_new(::BIO_s_mem()), &::BIO_free);
  if (!bio) throw std::bad_alloc();
  if (!print(bio.get(), const_cast<X509*>(certificate))) throw std::bad_alloc();
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<std::size_t>(size));
}

}  // namespace

std::string TlsEngine::peer_subject() const {
  return printed(ssl_, [](BIO* bio, X509* certificate) {
    return ::X509_NAME_print_ex(bio, ::X509_get_subject_name(certificate), 0, XN_FLAG_ONELINE) >= 0;
  });
}

std::string TlsEngine::peer_certificate() const {
  return printed(ssl_,
                 [](BIO* bio, X509* certificate) { return ::PEM_write_bio_X509(bio, certificate) == 1; });
}

bool TlsEngine::resumed() const noexcept { return ::SSL_session_reused(ssl_) == 1; }

}  // namespace heddle::detail
