// TlsEngine: OpenSSL's SSL, whose BIO reads and writes the engine's own buffers.
// SPDX-License-Identifier: MIT
#include "tls_engine.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "../../selector/errors.hpp"
#include "tls_bio.hpp"
#include "tls_state.hpp"

namespace heddle::detail {

namespace {

constexpr std::size_t input_size = TlsEngine::record + 512;  // a record with its header, MAC and padding
constexpr std::size_t most_kept = input_size;                // of the memory of output that was sent
constexpr std::size_t least_output = 512;                    // more than an alert
constexpr std::size_t record_overhead = 64;  // header, nonce, tag: at most 29 with the ciphers of today
constexpr unsigned most_messages = 32;

}  // namespace

const std::string& TlsEngineAccess::name(const SSL* ssl) {
  return static_cast<const TlsEngine*>(SSL_get_app_data(ssl))->name_;
}

const std::string& TlsEngineAccess::asked_name(const SSL* ssl) {
  return static_cast<const TlsEngine*>(SSL_get_app_data(ssl))->asked_name_;
}

// Called for each ClientHello: once more for one that is read again, and for the second one of a client that
// had to be asked for another key share (HelloRetryRequest); by then its name is decided.
int TlsEngineAccess::client_hello(SSL* ssl, int* alert, void*) {
  TlsEngine& self = *static_cast<TlsEngine*>(SSL_get_app_data(ssl));
  try {
    const unsigned char* data = nullptr;
    std::size_t size = 0;
    std::optional<std::string> name(std::in_place);
    if (::SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &data, &size) == 1)
      name = parse_server_name({data, size});
    if (!name) {
      *alert = SSL_AD_DECODE_ERROR;
      self.refusal_ = "the server's name in the ClientHello is malformed";
      return SSL_CLIENT_HELLO_ERROR;
    }
    if (self.hello_seen_) {
      if (*name == self.asked_name_) return SSL_CLIENT_HELLO_SUCCESS;
      *alert = SSL_AD_ILLEGAL_PARAMETER;
      self.refusal_ = "the second ClientHello has another server's name";
      return SSL_CLIENT_HELLO_ERROR;
    }
    if (self.keeps_hello_ && !name->empty()) self.other_context_ = self.context_.state().names.find(*name);
    self.asked_name_ = std::move(*name);
    self.hello_seen_ = true;
    if (self.other_context_) return SSL_CLIENT_HELLO_RETRY;
    self.hello_ = std::string();
    return SSL_CLIENT_HELLO_SUCCESS;
  } catch (const std::bad_alloc&) {
    *alert = SSL_AD_INTERNAL_ERROR;
    self.out_of_memory_ = true;
    return SSL_CLIENT_HELLO_ERROR;
  }
}

void TlsEngineAccess::message(int written, int, int type, const void*, std::size_t, SSL* ssl, void*) {
  if (written != 0 || type != SSL3_RT_HANDSHAKE) return;
  TlsEngine& self = *static_cast<TlsEngine*>(SSL_get_app_data(ssl));
  if (self.handshake_done_ && ++self.messages_ > most_messages && self.refusal_ == nullptr)
    self.refusal_ = "the peer sends too many messages without data";
}

TlsEngine::TlsEngine(const TlsContext& context, std::string name) : context_(context) {
  const TlsContext::State& state = context_.state();
  if (state.client && state.verify && name.empty())
    throw ValueError("TLS: without the server's name its certificate can't be verified");
  name_ = std::move(name);
  keeps_hello_ = !state.client && !state.names.empty();
  ssl_ = make_ssl();
}

ssl_st* TlsEngine::make_ssl() {
  const TlsContext::State& state = context_.state();
  ::ERR_clear_error();
  std::unique_ptr<SSL, void (*)(SSL*)> owner(::SSL_new(state.context), &::SSL_free);
  SSL* const ssl = owner.get();
  if (ssl == nullptr || SSL_set_app_data(ssl, this) != 1) throw std::bad_alloc();
  BIO* const bio = ::BIO_new(TlsBio::method());
  if (bio == nullptr) throw std::bad_alloc();
  ::SSL_set_bio(ssl, bio, bio);
  ::BIO_set_data(bio, this);
  ::BIO_set_init(bio, 1);
  if (state.client)
    set_up_client(ssl);
  else
    ::SSL_set_accept_state(ssl);
  return owner.release();
}

void TlsEngine::set_up_client(SSL* ssl) {
  TlsContext::State& state = context_.state();
  ::SSL_set_connect_state(ssl);
  const ServerName server(name_);
  name_ = server.name;
  bool set = true;
  if (!name_.empty() && server.number.empty()) set = SSL_set_tlsext_host_name(ssl, name_.c_str()) == 1;
  if (state.verify) {
    X509_VERIFY_PARAM* const verify = ::SSL_get0_param(ssl);
    ::X509_VERIFY_PARAM_set_hostflags(
        verify, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    set =
        set && (server.number.empty() ? ::X509_VERIFY_PARAM_set1_host(verify, name_.data(), name_.size())
                                      : ::X509_VERIFY_PARAM_set1_ip_asc(verify, server.number.c_str())) == 1;
  }
  if (!set) {
    const TlsReason reason;
    if (reason.out_of_memory) throw std::bad_alloc();
    throw ValueError("TLS: \"" + name_ + "\" is no name of a server");
  }
  if (state.resumption)
    if (SSL_SESSION* const session = state.sessions.take(name_)) {
      ::SSL_set_session(ssl, session);
      ::SSL_SESSION_free(session);
    }
}

// The connection begins anew, as one of the other context: so nothing of the first one's is left in it.
void TlsEngine::change_context() {
  std::swap(context_, *other_context_);
  try {
    ::SSL_free(std::exchange(ssl_, make_ssl()));
  } catch (const std::bad_alloc&) {
    std::swap(context_, *other_context_);
    throw;
  }
  other_context_.reset();
}

TlsEngine::~TlsEngine() { ::SSL_free(ssl_); }

TlsEngine::Step TlsEngine::fail(TlsError::Kind kind, const char* reason) noexcept {
  failed_ = true;
  failure_kind_ = kind;
  try {
    failure_ = reason;
  } catch (const std::bad_alloc&) {
    out_of_memory_ = true;
  }
  return Step::FAILED;
}

TlsEngine::Step TlsEngine::outcome(int result) noexcept {
  constexpr const char* no_goodbye = "the peer closed the connection without a goodbye";
  const int error = ::SSL_get_error(ssl_, result);
  if (refusal_ != nullptr) return fail(TlsError::Kind::PROTOCOL, refusal_);
  if (error == SSL_ERROR_WANT_READ && !out_of_memory_) return Step::NEEDS_INPUT;
  if (error == SSL_ERROR_ZERO_RETURN) {
    if (handshake_done_) return Step::ENDED;
    if (input_ended_) return fail(TlsError::Kind::TRUNCATED, no_goodbye);
    return fail(TlsError::Kind::PROTOCOL, "the peer has ended the connection");
  }
  failed_ = true;
  try {
    const TlsReason reason;
    failure_ = reason.text;
    failure_code_ = reason.code;
    const long verified = ::SSL_get_verify_result(ssl_);
    const int why = ERR_GET_LIB(reason.code) == ERR_LIB_SSL ? ERR_GET_REASON(reason.code) : 0;
    // Where OpenSSL has no reason, it had no memory for one.
    if (reason.out_of_memory || reason.code == 0) out_of_memory_ = true;
    if (why == SSL_R_CERTIFICATE_VERIFY_FAILED) {
      if (verified == X509_V_ERR_OUT_OF_MEM) out_of_memory_ = true;
      failure_kind_ = TlsError::Kind::CERTIFICATE;
      failure_ += std::string(" (") + ::X509_verify_cert_error_string(verified) + ')';
    } else if (why == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
      failure_kind_ = TlsError::Kind::CERTIFICATE;
    } else if (why == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
      return fail(TlsError::Kind::TRUNCATED, no_goodbye);
    }
  } catch (const std::bad_alloc&) {
    out_of_memory_ = true;
  }
  return Step::FAILED;
}

TlsEngine::Step TlsEngine::handshake() {
  for (;;) {
    if (failed_) return Step::FAILED;
    if (other_context_) change_context();
    ::ERR_clear_error();
    const int result = ::SSL_do_handshake(ssl_);
    if (result != 1 && other_context_) continue;
    if (result != 1) return outcome(result);
    hello_ = std::string();
    handshake_done_ = true;
    return Step::DONE;
  }
}

bool TlsEngine::output_can_wait() const noexcept {
  return ::SSL_is_server(ssl_) == 1 && ::SSL_version(ssl_) >= TLS1_3_VERSION;
}

TlsEngine::Step TlsEngine::read(std::span<std::byte> buffer, std::size_t& size) {
  size = 0;
  if (failed_) return Step::FAILED;
  ::ERR_clear_error();
  // As many records as are there. Bytes that came before a failure are delivered first.
  while (size < buffer.size()) {
    std::size_t n = 0;
    if (const int result = ::SSL_read_ex(ssl_, buffer.data() + size, buffer.size() - size, &n); result != 1) {
      const Step step = outcome(result);
      return size > 0 ? Step::DONE : step;
    }
    messages_ = 0;
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
  if (writing_ended_) return;
  output_.reserve(output_.size + least_output);  // OpenSSL wouldn't say that there was no memory for it
  writing_ended_ = true;
  if (failed_) return;
  ::ERR_clear_error();
  ::SSL_shutdown(ssl_);
  ::ERR_clear_error();
}

std::span<std::byte> TlsEngine::input_room() {
  if (input_begin_ == input_end_) input_begin_ = input_end_ = 0;
  if (input_.size() < input_end_ + record / 2) {
    ByteBlock larger(input_end_ + input_size);
    if (input_end_ != 0) std::memcpy(larger.data(), input_.data(), input_end_);
    input_ = std::move(larger);
  }
  return input_.bytes().subspan(input_end_);
}

void TlsEngine::received(std::size_t size) noexcept {
  ++receipts_;
  input_end_ += size;
  if (size == 0) input_ended_ = true;
}

void TlsEngine::receive(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const std::span<std::byte> room = input_room();
    const std::size_t size = std::min(room.size(), bytes.size());
    std::memcpy(room.data(), bytes.data(), size);
    received(size);
    bytes = bytes.subspan(size);
  }
}

void TlsEngine::Output::reserve(std::size_t room) {
  if (room <= block.size()) return;
  ByteBlock larger(std::max({room, 2 * block.size(), least_output}));
  if (size != 0) std::memcpy(larger.data(), block.data(), size);
  block = std::move(larger);
}

void TlsEngine::Output::append(const char* data, std::size_t count) {
  reserve(size + count);
  std::memcpy(block.data() + size, data, count);
  size += count;
}

void TlsEngine::expect_writing(std::size_t size) {
  output_.reserve(output_.size + size + (size / record + 1) * record_overhead);
}

std::span<const std::byte> TlsEngine::output() noexcept {
  if (sent_ == sending_.size) {
    std::swap(sending_, output_);
    output_.size = sent_ = 0;
  }
  return sending_.block.bytes().first(sending_.size).subspan(sent_);
}

// Bounded, because drop_output() may have been called during the send.
void TlsEngine::sent(std::size_t size) noexcept {
  sent_ = std::min(sent_ + size, sending_.size);
  if (sent_ != sending_.size) return;
  sending_.size = sent_ = 0;
  // Who is idle has one block, which isn't large.
  ByteBlock block = std::move(sending_.block);
  if (output_.block.size() == 0 && block.size() <= most_kept) output_.block = std::move(block);
}

void TlsEngine::drop_output() noexcept {
  sent_ = sending_.size;
  output_.size = 0;
}

void TlsEngine::raise(const char* operation, int fd) const {
  if (out_of_memory_) throw std::bad_alloc();
  std::string text = std::string("TLS ") + operation;
  if (context_.is_client() && !name_.empty()) text += " with \"" + name_ + '"';
  if (fd >= 0) text += " on fd " + std::to_string(fd);
  // Without a failure the peer's end is one: there is nothing left to write to.
  throw TlsError(failure_kind_, text + ": " + (failed_ ? failure_ : "the peer has ended the connection"),
                 failure_code_);
}

}  // namespace heddle::detail
