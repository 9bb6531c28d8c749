// TlsEngine: OpenSSL's SSL, whose BIO reads and writes the engine's own buffers.
// SPDX-License-Identifier: MIT
#include "tls_engine.hpp"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>

#include "../../selector/errors.hpp"
#include "tls_state.hpp"

namespace heddle::detail {

namespace {

constexpr std::size_t record = 16384;
constexpr std::size_t input_size = record + 512;  // a record with its header, MAC and padding

}  // namespace

// The BIO, by which OpenSSL reads and writes.
struct TlsBio {
  static BIO_METHOD* method() {
    static BIO_METHOD* const made = [] {
      BIO_METHOD* const bio = ::BIO_meth_new(::BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "heddle");
      if (bio == nullptr) throw std::bad_alloc();
      ::BIO_meth_set_read_ex(bio, &read);
      ::BIO_meth_set_write_ex(bio, &write);
      ::BIO_meth_set_ctrl(bio, &control);
      return bio;
    }();
    return made;
  }

  static TlsEngine& engine(BIO* bio) { return *static_cast<TlsEngine*>(::BIO_get_data(bio)); }

  static int read(BIO* bio, char* data, std::size_t size, std::size_t* moved) {
    TlsEngine& self = engine(bio);
    BIO_clear_retry_flags(bio);
    *moved = std::min(size, self.input_end_ - self.input_begin_);
    std::memcpy(data, self.input_.data() + self.input_begin_, *moved);
    self.input_begin_ += *moved;
    if (*moved == 0 && !self.input_ended_) BIO_set_retry_read(bio);
    return *moved > 0;
  }

  static int write(BIO* bio, const char* data, std::size_t size, std::size_t* moved) {
    BIO_clear_retry_flags(bio);
    *moved = 0;
    try {
      engine(bio).output_.append(data, size);
    } catch (const std::bad_alloc&) {
      return 0;
    }
    *moved = size;
    return 1;
  }

  static long control(BIO* bio, int command, long, void*) {
    if (command == BIO_CTRL_FLUSH) return 1;
    const TlsEngine& self = engine(bio);
    return command == BIO_CTRL_EOF && self.input_ended_ && self.input_begin_ == self.input_end_;
  }
};

const std::string& TlsEngineAccess::name(const SSL* ssl) {
  return static_cast<const TlsEngine*>(SSL_get_app_data(ssl))->name_;
}

TlsEngine::TlsEngine(const TlsContext& context, std::string name)
    : context_(context), name_(std::move(name)) {
  TlsContext::State& state = context_.state();
  if (state.client && state.verify && name_.empty())
    throw ValueError("TLS: without the server's name its certificate can't be verified");
  if (name_.find('\0') != std::string::npos) throw ValueError("TLS: a zero byte in the server's name");
  ::ERR_clear_error();
  std::unique_ptr<SSL, void (*)(SSL*)> owner(::SSL_new(state.context), &::SSL_free);
  SSL* const ssl = owner.get();
  if (ssl == nullptr) throw TlsError(TlsError::Kind::CONFIGURATION, "TLS: " + TlsReason().text);
  SSL_set_app_data(ssl, this);
  BIO* const bio = ::BIO_new(TlsBio::method());
  if (bio == nullptr) throw std::bad_alloc();
  ::SSL_set_bio(ssl, bio, bio);
  ::BIO_set_data(bio, this);
  ::BIO_set_init(bio, 1);
  if (state.client) {
    ::SSL_set_connect_state(ssl);
    unsigned char number[16];
    const bool is_number =
        ::inet_pton(AF_INET, name_.c_str(), number) == 1 || ::inet_pton(AF_INET6, name_.c_str(), number) == 1;
    bool set = true;
    if (!name_.empty() && !is_number) set = SSL_set_tlsext_host_name(ssl, name_.c_str()) == 1;
    if (state.verify) {
      X509_VERIFY_PARAM* const verify = ::SSL_get0_param(ssl);
      ::X509_VERIFY_PARAM_set_hostflags(verify, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
      set = set && (is_number ? ::X509_VERIFY_PARAM_set1_ip_asc(verify, name_.c_str())
                              : ::X509_VERIFY_PARAM_set1_host(verify, name_.data(), name_.size())) == 1;
    }
    if (!set) throw ValueError("TLS: \"" + name_ + "\" is no name of a server");
    if (state.resumption)
      if (SSL_SESSION* const session = state.take_session(name_)) {
        ::SSL_set_session(ssl, session);
        ::SSL_SESSION_free(session);
      }
  } else {
    ::SSL_set_accept_state(ssl);
  }
  ssl_ = owner.release();
}

TlsEngine::~TlsEngine() { ::SSL_free(ssl_); }

TlsEngine::Step TlsEngine::outcome(int result) noexcept {
  const int error = ::SSL_get_error(ssl_, result);
  if (error == SSL_ERROR_WANT_READ) return Step::NEEDS_INPUT;
  if (error == SSL_ERROR_ZERO_RETURN) return Step::ENDED;
  failed_ = true;
  try {
    const TlsReason reason;
    failure_ = reason.text;
    failure_code_ = reason.code;
    const long verified = ::SSL_get_verify_result(ssl_);
    const int why = ERR_GET_LIB(reason.code) == ERR_LIB_SSL ? ERR_GET_REASON(reason.code) : 0;
    if (why == SSL_R_CERTIFICATE_VERIFY_FAILED) {
      failure_kind_ = TlsError::Kind::CERTIFICATE;
      failure_ += std::string(" (") + ::X509_verify_cert_error_string(verified) + ')';
    } else if (why == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
      failure_kind_ = TlsError::Kind::CERTIFICATE;
    } else if (why == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
      failure_kind_ = TlsError::Kind::TRUNCATED;
      failure_ = "the peer closed the connection without a goodbye";
    }
  } catch (const std::bad_alloc&) {
  }
  return Step::FAILED;
}

TlsEngine::Step TlsEngine::handshake() {
  if (failed_) return Step::FAILED;
  ::ERR_clear_error();
  const int result = ::SSL_do_handshake(ssl_);
  return result == 1 ? Step::DONE : outcome(result);
}

TlsEngine::Step TlsEngine::read(std::span<std::byte> buffer, std::size_t& size) {
  size = 0;
  if (failed_) return Step::FAILED;
  ::ERR_clear_error();
  // As many records as are there. Bytes that came before a failure are delivered first.
  while (size < buffer.size()) {
    std::size_t n = 0;
    if (const int result = ::SSL_read_ex(ssl_, buffer.data() + size, buffer.size() - size, &n); result != 1) {
      if (size > 0 && ::SSL_get_error(ssl_, result) == SSL_ERROR_WANT_READ) break;
      const Step step = outcome(result);
      return size > 0 ? Step::DONE : step;
    }
    size += n;
  }
  return Step::DONE;
}

TlsEngine::Step TlsEngine::write(std::span<const std::byte> buffer, std::size_t& size) {
  size = 0;
  if (failed_) return Step::FAILED;
  ::ERR_clear_error();
  const int result = ::SSL_write_ex(ssl_, buffer.data(), std::min(buffer.size(), record), &size);
  return result == 1 ? Step::DONE : outcome(result);
}

void TlsEngine::end_writing() {
  if (std::exchange(writing_ended_, true) || failed_) return;
  ::ERR_clear_error();
  ::SSL_shutdown(ssl_);
  ::ERR_clear_error();
}

std::span<std::byte> TlsEngine::input_room() {
  if (input_begin_ == input_end_) input_begin_ = input_end_ = 0;
  if (input_.size() < input_end_ + record / 2) input_.resize(input_end_ + input_size);
  return std::as_writable_bytes(std::span(input_)).subspan(input_end_);
}

void TlsEngine::received(std::size_t size) noexcept {
  input_end_ += size;
  if (size == 0) input_ended_ = true;
}

std::span<const std::byte> TlsEngine::output() {
  if (sent_ == sending_.size()) {
    sending_.clear();
    sending_.swap(output_);
    sent_ = 0;
  }
  return std::as_bytes(std::span(sending_)).subspan(sent_);
}

// Bounded, because drop_output() may have been called during the send.
void TlsEngine::sent(std::size_t size) noexcept { sent_ = std::min(sent_ + size, sending_.size()); }

void TlsEngine::drop_output() noexcept {
  sent_ = sending_.size();
  output_.clear();
}

void TlsEngine::raise(const char* operation, int fd) const {
  std::string text = std::string("TLS ") + operation;
  if (context_.is_client() && !name_.empty()) text += " with \"" + name_ + '"';
  if (fd >= 0) text += " on fd " + std::to_string(fd);
  throw TlsError(failure_kind_, text + ": " + failure_, failure_code_);
}

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
  print(bio.get(), const_cast<X509*>(certificate));
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<std::size_t>(size));
}

}  // namespace

std::string TlsEngine::peer_subject() const {
  return printed(ssl_, [](BIO* bio, X509* certificate) {
    ::X509_NAME_print_ex(bio, ::X509_get_subject_name(certificate), 0, XN_FLAG_ONELINE);
  });
}

std::string TlsEngine::peer_certificate() const {
  return printed(ssl_, [](BIO* bio, X509* certificate) { ::PEM_write_bio_X509(bio, certificate); });
}

bool TlsEngine::resumed() const noexcept { return ::SSL_session_reused(ssl_) == 1; }

}  // namespace heddle::detail
