// Handshakes of TLS: who is believed and who isn't, what is agreed upon, and what is no handshake at all.
// SPDX-License-Identifier: MIT
#include <sys/socket.h>

#include <string>
#include <vector>

#include "tls_pair.hpp"

using namespace heddle;
using namespace heddle::test;

ON_SELECTORS("both sides know what was agreed upon") {
  run_on(selector, []() -> Task<void> {
    TlsOptions server = server_options();
    server.alpn = {"h2", "http/1.1"};
    TlsOptions client = client_options();
    client.alpn = {"spdy", "http/1.1", "h2"};
    auto pair = co_await tls_pair(TlsContext::client(client), TlsContext::server(server));
    CHECK(pair.client.alpn() == "h2");
    CHECK(pair.server.alpn() == "h2");
    CHECK(pair.client.version() == "TLSv1.3");
    CHECK(pair.server.version() == "TLSv1.3");
    CHECK_FALSE(pair.client.cipher().empty());
    CHECK(pair.server.server_name() == "localhost");
    CHECK(pair.client.peer_subject() == "CN = localhost");
    CHECK(pair.client.peer_certificate() == certificates().server.certificate);
    CHECK(pair.server.peer_subject().empty());
    CHECK(pair.client.fileno() == pair.client.transport().fileno());
  });
}

TEST_CASE("a certificate that shouldn't be believed is refused, with the reason on both sides") {
  const auto reason = [](const Identity& identity, const std::string& name = "localhost") {
    const Ends ends = shake_hands(client_context(), TlsContext::server(server_options(identity)), name);
    return without_fd(ends.client) + " | " + without_fd(ends.server);
  };
  const std::string refused = "TLS handshake with \"localhost\": certificate verify failed ";
  CHECK(reason(certificates().expired) ==
        refused + "(certificate has expired) | TLS handshake: sslv3 alert certificate expired");
  CHECK(reason(certificates().future) ==
        refused + "(certificate is not yet valid) | TLS handshake: sslv3 alert bad certificate");
  CHECK(reason(certificates().self_signed) ==
        refused + "(self-signed certificate) | TLS handshake: tlsv1 alert unknown ca");
  CHECK(reason(certificates().stranger) ==
        refused + "(unable to get local issuer certificate) | TLS handshake: tlsv1 alert unknown ca");
  CHECK(reason(certificates().example) ==
        refused + "(hostname mismatch) | TLS handshake: sslv3 alert bad certificate");
  CHECK(reason(certificates().server, "127.0.0.1") ==
        "TLS handshake with \"127.0.0.1\": certificate verify failed (IP address mismatch) | TLS handshake: "
        "sslv3 alert bad certificate");
  CHECK(reason(certificates().number, "127.0.0.1") == "done | done");
  CHECK(reason(certificates().server, "LOCALHOST") == "done | done");
}

TEST_CASE("who verifies nothing is connected to anybody, and has to say so") {
  TlsOptions careless;
  careless.verify = false;
  const TlsContext server = TlsContext::server(server_options(certificates().self_signed));
  CHECK(shake_hands(TlsContext::client(careless), server, "whoever").client == "done");
  CHECK(shake_hands(TlsContext::client(careless), server, "").client == "done");
  CHECK_THAT(shake_hands(TlsContext::client(), server).client,
             Catch::Matchers::Contains("certificate verify failed"));
  CHECK_THAT(shake_hands(client_context(), server, "").client,
             Catch::Matchers::Contains("without the server's name its certificate can't be verified"));
}

TEST_CASE("a server may ask for certificates, and tells who the client is") {
  TlsOptions server = server_options();
  server.ca_pem = certificates().authority.certificate;
  TlsOptions known = client_options();
  known.certificate_pem = certificates().client.certificate;
  known.key_pem = certificates().client.key;
  TlsOptions stranger = client_options();
  stranger.certificate_pem = certificates().stranger.certificate;
  stranger.key_pem = certificates().stranger.key;
  for (const TlsVersion version : {TlsVersion::TLS_1_2, TlsVersion::TLS_1_3}) {
    server.min_version = version;
    server.client_certificate = ClientCertificate::REQUIRED;
    const TlsContext strict = TlsContext::server(server);
    CHECK(shake_hands(TlsContext::client(known), strict).server == "done");
    const Ends none = shake_hands(client_context(), strict);
    CHECK(without_fd(none.server) == "TLS handshake: peer did not return a certificate");
    CHECK_THAT(none.client, Catch::Matchers::Contains("alert certificate required"));
    const Ends wrong = shake_hands(TlsContext::client(stranger), strict);
    CHECK(without_fd(wrong.server) ==
          "TLS handshake: certificate verify failed (unable to get local issuer certificate)");
    CHECK_THAT(wrong.client, Catch::Matchers::Contains("alert unknown ca"));
    server.client_certificate = ClientCertificate::OPTIONAL;
    const TlsContext lenient = TlsContext::server(server);
    CHECK(shake_hands(client_context(), lenient).client == "done");
    run_here([&]() -> Task<void> {
      auto pair = co_await tls_pair(TlsContext::client(known), lenient);
      CHECK(pair.server.peer_subject() == "CN = a client");
    });
  }
}

TEST_CASE("protocols that nobody has in common end the handshake") {
  TlsOptions server = server_options();
  server.alpn = {"h2"};
  TlsOptions client = client_options();
  client.alpn = {"http/1.1"};
  const Ends ends = shake_hands(TlsContext::client(client), TlsContext::server(server));
  CHECK(without_fd(ends.client) == "TLS handshake with \"localhost\": tlsv1 alert no application protocol");
  CHECK(without_fd(ends.server) == "TLS handshake: no application protocol");
  CHECK(shake_hands(client_context(), TlsContext::server(server)).client == "done");
}

ON_SELECTORS("garbage and silence end a handshake with an error that says so") {
  run_on(selector, []() -> Task<void> {
    const auto against = [](std::string_view bytes, bool client, bool end) -> Task<std::string> {
      HalfPair half = stream_and_peer();
      half.peer.write(bytes);
      if (end) must(::shutdown(half.peer.fileno(), SHUT_WR));
      auto tls = client ? start_tls(std::move(half.stream), client_context(), "localhost")
                        : start_tls(std::move(half.stream), server_context());
      co_return without_fd(co_await end_of(timeout(500ms, std::move(tls))));
    };
    std::string end = co_await against("GET / HTTP/1.1\r\nHost: x\r\n\r\n", false, false);
    CHECK(end == "TLS handshake: http request");
    end = co_await against("SSH-2.0-OpenSSH_9.2\r\n", false, false);
    CHECK(end == "TLS handshake: wrong version number");
    end = co_await against("HTTP/1.1 400 Bad Request\r\n\r\n", true, false);
    CHECK(end == "TLS handshake with \"localhost\": wrong version number");
    end = co_await against("", false, true);
    CHECK(end == "TLS handshake: the peer closed the connection without a goodbye");
    end = co_await against("\x16\x03\x01", false, true);
    CHECK(end == "TLS handshake: the peer closed the connection without a goodbye");
    end = co_await against("", false, false);
    CHECK(end == "timed out");
  });
}

TEST_CASE("a handshake comes to its end over any buffer, whoever writes first") {
  std::vector<std::size_t> capacities;
  for (std::size_t capacity = 1; capacity <= 600; capacity += capacity < 8 ? 1 : 37)
    capacities.push_back(capacity);
  const TlsContext server = server_context();
  for (const TlsVersion version : {TlsVersion::TLS_1_2, TlsVersion::TLS_1_3})
    for (const bool client_first : {true, false})
      for (const std::size_t capacity : capacities) {
        INFO(static_cast<int>(version) << ", " << client_first << ", " << capacity);
        TlsOptions options = client_options();
        options.max_version = version;
        const TlsContext client = TlsContext::client(options);
        const std::string message = pattern(1'500);
        const auto speak = [&](auto& stream) -> Task<void> { co_await stream.write_all(message); };
        const auto hear = [&](auto& stream) -> Task<void> {
          std::string got;
          while (got.size() < message.size()) {
            const std::string piece = co_await read_once(stream);
            if (piece.empty()) break;
            got += piece;
          }
          const bool same = got == message;
          CHECK(same);
        };
        const auto come = [&](MemoryStream plain) -> Task<void> {
          auto stream = co_await start_tls(std::move(plain), client, "localhost");
          if (client_first) co_await speak(stream);
          co_await hear(stream);
          if (!client_first) co_await speak(stream);
        };
        const auto serve = [&](MemoryStream plain) -> Task<void> {
          auto stream = co_await start_tls(std::move(plain), server);
          if (!client_first) co_await speak(stream);
          co_await hear(stream);
          if (client_first) co_await speak(stream);
        };
        run_in_virtual_time([&]() -> Task<void> {
          auto [near_end, far_end] = memory_pair(capacity);
          auto ends = co_await gather(end_of(timeout(60s, come(std::move(near_end)))),
                                      end_of(timeout(60s, serve(std::move(far_end)))));
          CHECK(std::get<0>(ends) == "done");
          CHECK(std::get<1>(ends) == "done");
        });
      }
}

TEST_CASE("a server that has nothing to say holds its tickets back, and sends them with what comes next") {
  const TlsContext client = client_context();
  const TlsContext server = server_context();
  run_in_virtual_time([&]() -> Task<void> {
    for (const bool reads : {true, false}) {
      auto pair = co_await tls_memory_pair(client, server, "localhost", 100);
      auto reading = spawn(end_of(read_once(pair.client)));
      auto other = spawn(end_of(read_once(pair.server)));
      co_await turns(30);
      if (!reads) co_await pair.server.write_all("x");
      other.cancel();
      co_await other;
      co_await pair.server.shutdown_write();
      const std::string end = co_await timeout(20s, reading);
      CHECK(end == "done");
    }
  });
}

TEST_CASE(
    "a peer that ends the connection in the handshake is an error that says so, even if truncation is "
    "ignored") {
  struct Case {
    std::string_view bytes;
    std::string reason;
    TlsError::Kind kind;
  };
  const std::string cut = "the peer closed the connection without a goodbye";
  for (const bool ignore : {false, true})
    for (const bool client : {false, true})
      for (const auto& [bytes, reason, kind] :
           {Case{"", cut, TlsError::Kind::TRUNCATED},
            Case{std::string_view("\x16\x03\x01\x00\x05x", 6), cut, TlsError::Kind::TRUNCATED},
            Case{std::string_view("\x15\x03\x01\x00\x02\x01\x00", 7), "the peer has ended the connection",
                 TlsError::Kind::PROTOCOL}})
        run_in_virtual_time([&]() -> Task<void> {
          TlsOptions options = client ? client_options() : server_options();
          options.ignore_truncation = ignore;
          auto [near_end, far_end] = memory_pair();
          co_await far_end.write_all(bytes);
          far_end.shutdown_write();
          const TlsContext context = client ? TlsContext::client(options) : TlsContext::server(options);
          std::string end = "done";
          try {
            co_await start_tls(std::move(near_end), context, "localhost");
          } catch (const TlsError& error) {
            end = error.what();
            CHECK(error.kind == kind);
          }
          if (!client && reason != cut) co_return;  // no ClientHello: "unexpected message"
          CHECK(end == std::string("TLS handshake") + (client ? " with \"localhost\": " : ": ") + reason);
        });
}
