// TlsEngine against a peer that is OpenSSL by itself, and does what no decent one does.
// SPDX-License-Identifier: MIT
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>

#include "../../../io/tls/tls_engine.hpp"
#include "../../../io/tls/tls_state.hpp"
#include "tls_pair.hpp"

using namespace heddle;
using namespace heddle::test;
using heddle::detail::TlsEngine;
using Step = TlsEngine::Step;

namespace {

/// An SSL of OpenSSL's own between two buffers.
class RawPeer {
 public:
  RawPeer(bool client, int version) : context_(::SSL_CTX_new(::TLS_method()), &::SSL_CTX_free) {
    SSL_CTX* const context = context_.get();
    ::SSL_CTX_set_min_proto_version(context, version);
    ::SSL_CTX_set_max_proto_version(context, version);
    if (!client) use(context, certificates().server);
    ssl_.reset(::SSL_new(context));
    ::SSL_set_bio(ssl_.get(), ::BIO_new(::BIO_s_mem()), ::BIO_new(::BIO_s_mem()));
    if (client)
      ::SSL_set_connect_state(ssl_.get());
    else
      ::SSL_set_accept_state(ssl_.get());
  }
  SSL* get() const { return ssl_.get(); }
  bool shake() { return ::SSL_do_handshake(ssl_.get()) == 1; }
  void receive(const std::string& bytes) {
    ::BIO_write(::SSL_get_rbio(ssl_.get()), bytes.data(), static_cast<int>(bytes.size()));
  }
  std::string take_output() {
    BIO* const bio = ::SSL_get_wbio(ssl_.get());
    std::string bytes(::BIO_ctrl_pending(bio), '\0');
    if (!bytes.empty()) ::BIO_read(bio, bytes.data(), static_cast<int>(bytes.size()));
    return bytes;
  }

 private:
  static void use(SSL_CTX* context, const Identity& identity) {
    const std::unique_ptr<BIO, int (*)(BIO*)> certificate(
        ::BIO_new_mem_buf(identity.certificate.data(), static_cast<int>(identity.certificate.size())),
        &::BIO_free);
    const std::unique_ptr<BIO, int (*)(BIO*)> key(
        ::BIO_new_mem_buf(identity.key.data(), static_cast<int>(identity.key.size())), &::BIO_free);
    X509* const x509 = ::PEM_read_bio_X509(certificate.get(), nullptr, nullptr, nullptr);
    EVP_PKEY* const pkey = ::PEM_read_bio_PrivateKey(key.get(), nullptr, nullptr, nullptr);
    ::SSL_CTX_use_certificate(context, x509);
    ::SSL_CTX_use_PrivateKey(context, pkey);
    ::X509_free(x509);
    ::EVP_PKEY_free(pkey);
  }

  std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context_;
  std::unique_ptr<SSL, void (*)(SSL*)> ssl_{nullptr, &::SSL_free};
};

void feed(TlsEngine& engine, const std::string& bytes) { engine.receive(std::as_bytes(std::span(bytes))); }

std::string take_output(TlsEngine& engine) {
  std::string bytes;
  while (engine.has_output()) {
    const auto output = engine.output();
    bytes.append(reinterpret_cast<const char*>(output.data()), output.size());
    engine.sent(output.size());
  }
  return bytes;
}

void shake_hands(TlsEngine& engine, RawPeer& peer) {
  bool done = false;
  bool peer_done = false;
  for (int i = 0; i < 20 && !(done && peer_done); ++i) {
    peer_done = peer.shake();
    feed(engine, peer.take_output());
    if (!done) done = engine.handshake() == Step::DONE;
    peer.receive(take_output(engine));
  }
  REQUIRE((done && peer_done));
}

Step read_step(TlsEngine& engine, std::string* got = nullptr) {
  std::string buffer(1000, '\0');
  std::size_t size = 0;
  const Step step = engine.read(std::as_writable_bytes(std::span(buffer)), size);
  if (got != nullptr) *got += buffer.substr(0, size);
  return step;
}

std::string why(const TlsEngine& engine) {
  return thrown<TlsError>([&] { engine.raise("read", -1); });
}

void ask_for_new_keys(RawPeer& peer) {
  REQUIRE(::SSL_key_update(peer.get(), SSL_KEY_UPDATE_REQUESTED) == 1);
  REQUIRE(peer.shake());
}

}  // namespace

TEST_CASE("a peer that asks for new keys again and again and sends no data is given up") {
  TlsEngine server(server_context(), "");
  RawPeer peer(true, TLS1_3_VERSION);
  shake_hands(server, peer);
  for (int round = 0; round < 3; ++round) {  // a few are fine, also with data between them
    for (int i = 0; i < 30; ++i) ask_for_new_keys(peer);
    ::SSL_write(peer.get(), "x", 1);
    feed(server, peer.take_output());
    std::string got;
    CHECK(read_step(server, &got) == Step::DONE);
    CHECK(got == "x");
    peer.receive(take_output(server));
  }
  for (int i = 0; i < 33; ++i) ask_for_new_keys(peer);
  feed(server, peer.take_output());
  CHECK(read_step(server) == Step::FAILED);
  CHECK(why(server) == "TLS read: the peer sends too many messages without data");
  CHECK(read_step(server) == Step::FAILED);
}

TEST_CASE("a peer that asks for new keys and never reads can't fill the memory") {
  TlsEngine server(server_context(), "");
  RawPeer peer(true, TLS1_3_VERSION);
  shake_hands(server, peer);
  take_output(server);
  std::size_t most = 0;
  Step step = Step::DONE;
  for (int i = 0; i < 20'000 && step == Step::DONE; ++i) {
    ask_for_new_keys(peer);
    ::SSL_write(peer.get(), "x", 1);
    feed(server, peer.take_output());
    step = read_step(server);
    most = std::max(most, server.output_size());
  }
  CHECK(step == Step::FAILED);
  CHECK(why(server) == "TLS read: the peer doesn't read what it has asked for");
  CHECK(most <= 262'144);
}

TEST_CASE("a peer that wants to renegotiate is refused, and given up when it insists") {
  TlsEngine client(client_context(), "localhost");
  RawPeer peer(false, TLS1_2_VERSION);
  shake_hands(client, peer);
  int asked = 0;
  Step step = Step::NEEDS_INPUT;
  std::string answers;
  for (; asked < 100 && step == Step::NEEDS_INPUT; ++asked) {
    REQUIRE(::SSL_renegotiate(peer.get()) == 1);
    ::SSL_do_handshake(peer.get());
    feed(client, peer.take_output());
    step = read_step(client);
    answers += take_output(client);
  }
  CHECK(asked == 33);
  CHECK(step == Step::FAILED);
  CHECK(why(client) == "TLS read with \"localhost\": the peer sends too many messages without data");
  CHECK(answers.size() < 33 * 64);  // an alert each, no handshake
}

TEST_CASE("nobody is written to in the middle of a peer's message, and everybody after it") {
  // A ticket that has the client's certificate in it takes two records of 512 bytes.
  TlsOptions options = server_options();
  options.client_certificate = ClientCertificate::REQUIRED;
  options.ca_pem = certificates().authority.certificate;
  const TlsContext context = TlsContext::server(options);
  ::SSL_CTX_set_max_send_fragment(context.state().context, 512);
  TlsEngine server(context, "");
  TlsEngine client(TlsContext::client(known_client_options()), "localhost");
  Step ends[2] = {Step::NEEDS_INPUT, Step::NEEDS_INPUT};
  std::string tickets;
  for (int i = 0; i < 20 && tickets.empty(); ++i) {
    if (ends[0] != Step::DONE) ends[0] = client.handshake();
    feed(server, take_output(client));
    ends[1] = server.handshake();
    if (ends[1] == Step::DONE)
      tickets = take_output(server);
    else
      feed(client, take_output(server));
  }
  REQUIRE(ends[0] == Step::DONE);
  REQUIRE(tickets.size() > 2 * 540);
  CHECK(server.output_can_wait());
  CHECK_FALSE(client.output_can_wait());
  feed(client, tickets.substr(0, 540));
  CHECK(read_step(client) == Step::NEEDS_INPUT);
  std::size_t size = 1;
  const std::string text = "text";
  CHECK(client.write(std::as_bytes(std::span(text)), size) == Step::NEEDS_INPUT);
  CHECK(size == 0);
  feed(client, tickets.substr(540));
  CHECK(client.write(std::as_bytes(std::span(text)), size) == Step::DONE);
  CHECK(size == 4);
  feed(server, take_output(client));
  std::string got;
  CHECK(read_step(server, &got) == Step::DONE);
  CHECK(got == "text");
}

TEST_CASE("a writer goes on in the middle of a peer's message, whether or not somebody reads") {
  for (const bool somebody_reads : {false, true})
    run_in_virtual_time([&]() -> Task<void> {
      TlsOptions options = server_options();
      options.client_certificate = ClientCertificate::REQUIRED;
      options.ca_pem = certificates().authority.certificate;
      const TlsContext context = TlsContext::server(options);
      ::SSL_CTX_set_max_send_fragment(context.state().context, 512);
      TlsEngine server(context, "");
      auto [near_end, far_end] = memory_pair();
      const TlsContext client_side = TlsContext::client(known_client_options());
      auto starting = spawn(start_tls(std::move(near_end), client_side, "localhost"));
      std::string buffer(20'000, '\0');
      while (server.handshake() != Step::DONE) {
        const std::string output = take_output(server);
        co_await far_end.write_all(output);
        const std::size_t size = co_await far_end.read_some(std::span(buffer));
        feed(server, buffer.substr(0, size));
      }
      auto client = co_await std::move(starting);
      const std::string tickets = take_output(server);
      co_await far_end.write_all(std::string_view(tickets).substr(0, 540));
      auto first = spawn(read_once(client));  // meets the half of a message
      co_await turns(5);
      if (!somebody_reads) {
        first.cancel();
        co_await end_of(std::move(first));
      }
      auto writing = spawn(client.write_all("one"));
      co_await turns(5);
      CHECK_FALSE(writing.done());
      co_await far_end.write_all(std::string_view(tickets).substr(540));
      co_await timeout(20s, writing);
      const std::size_t size = co_await far_end.read_some(std::span(buffer));
      feed(server, buffer.substr(0, size));
      std::string got;
      CHECK(read_step(server, &got) == Step::DONE);
      CHECK(got == "one");
      if (!somebody_reads) co_return;
      std::size_t written = 0;
      const std::string answer = "two";
      server.write(std::as_bytes(std::span(answer)), written);
      const std::string output = take_output(server);
      co_await far_end.write_all(output);
      got = co_await timeout(20s, std::move(first));
      CHECK(got == "two");
    });
}

TEST_CASE("a ClientHello that never ends is not kept for ever") {
  TlsContext context = server_context();
  context.add_name("example.org", server_context());
  TlsEngine server(context, "");
  std::string record("\x16\x03\x01\x00\x06\x01\x01\xff\x00\x03\x03", 11);
  Step step = Step::NEEDS_INPUT;
  for (int i = 0; i < 100'000 && step == Step::NEEDS_INPUT; ++i) {
    feed(server, record);
    record = std::string("\x16\x03\x01\x00\x01x", 6);
    step = server.handshake();
  }
  CHECK(step == Step::FAILED);
  CHECK(thrown<TlsError>([&] { server.raise("handshake", -1); }) ==
        "TLS handshake: the ClientHello is too long");
}
