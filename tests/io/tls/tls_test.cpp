// TlsStream: what TcpStream does, but encrypted; who is believed and who isn't; and what goes wrong.
// SPDX-License-Identifier: MIT
#include <sys/socket.h>

#include <functional>
#include <string>
#include <vector>

#include "../../../io/stream/any_stream.hpp"
#include "../../../io/stream/memory_stream.hpp"
#include "../../../io/stream/stream.hpp"
#include "../../../io/tls/tls_stream.hpp"
#include "../../../runtime/task/task_group.hpp"
#include "../../../runtime/testing/allocation_faults.hpp"
#include "../../../runtime/testing/testing.hpp"
#include "../../support/turns.hpp"
#include "../loopback.hpp"
#include "certificates.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

static_assert(Stream<TlsStream>);

/// What certificates there are, made once.
struct Certificates {
  Identity authority = make_identity({"Test Authority", nullptr, -1, 30, true});
  Identity other_authority = make_identity({"Other Authority", nullptr, -1, 30, true});
  Identity server = make_identity({"localhost", &authority});
  Identity number = make_identity({"127.0.0.1", &authority});
  Identity example = make_identity({"example.org", &authority});
  Identity expired = make_identity({"localhost", &authority, -10, -5});
  Identity future = make_identity({"localhost", &authority, 5, 10});
  Identity self_signed = make_identity({"localhost"});
  Identity client = make_identity({"a client", &authority});
  Identity stranger = make_identity({"a stranger", &other_authority});
};
const Certificates& certificates() {
  static const Certificates all;
  return all;
}

TlsOptions server_options(const Identity& identity = certificates().server) {
  TlsOptions options;
  options.certificate_pem = identity.certificate;
  options.key_pem = identity.key;
  return options;
}
TlsOptions client_options() {
  TlsOptions options;
  options.ca_pem = certificates().authority.certificate;
  return options;
}

TlsContext server_context() { return TlsContext::server(server_options()); }
TlsContext client_context() { return TlsContext::client(client_options()); }

template <class S = TcpStream>
struct TlsPair {
  BasicTlsStream<S> client;
  BasicTlsStream<S> server;
};

Task<TlsPair<>> tls_pair(TlsContext client, TlsContext server, std::string name = "localhost") {
  Streams streams = co_await connect_pair();
  auto ends = co_await timeout(20s, gather(start_tls(std::move(streams.client), client, name),
                                           start_tls(std::move(streams.server), server)));
  TlsPair<> pair{std::move(std::get<0>(ends)), std::move(std::get<1>(ends))};
  co_return pair;
}
Task<TlsPair<>> tls_pair() { co_return co_await tls_pair(client_context(), server_context()); }

template <class S>
Task<std::string> read_once(BasicTlsStream<S>& stream, std::size_t most = 65536) {
  std::string buffer(most, '\0');
  buffer.resize(co_await stream.read_some(std::span(buffer)));
  co_return buffer;
}

template <class S>
Task<std::string> read_rest(BasicTlsStream<S>& stream, std::size_t chunk = 65536) {
  std::string all;
  std::string buffer(chunk, '\0');
  while (const std::size_t size = co_await stream.read_some(std::span(buffer))) all.append(buffer, 0, size);
  co_return all;
}

template <class S>
Task<void> write_and_end(BasicTlsStream<S>& stream, std::string_view bytes, std::size_t chunk) {
  for (std::size_t at = 0; at < bytes.size(); at += chunk) co_await stream.write_all(bytes.substr(at, chunk));
  co_await stream.shutdown_write();
}

/// How both sides of a handshake end: "done", or what they failed with.
struct Ends {
  std::string client;
  std::string server;
};
Task<std::string> end_of_visit(TcpStream stream, TlsContext context, std::string name) {
  auto visit = [](TcpStream tcp, TlsContext tls, std::string host) -> Task<void> {
    auto secure = co_await start_tls(std::move(tcp), tls, host);
    // In TLS 1.3 a client hears of its certificate's refusal when it reads.
    if (tls.is_client()) {
      const std::string greeting = co_await read_once(secure);
      if (greeting != "hi") throw std::runtime_error("got \"" + greeting + '"');
    } else {
      co_await secure.write_all("hi");
    }
    co_await secure.finish(2s);
  };
  co_return co_await end_of(timeout(10s, visit(std::move(stream), std::move(context), std::move(name))));
}
Ends shake_hands(TlsContext client, TlsContext server, std::string name = "localhost",
                 std::string_view selector = "default") {
  return run_on(selector, [&]() -> Task<Ends> {
    Streams streams = co_await connect_pair();
    auto ends = co_await gather(end_of_visit(std::move(streams.client), client, name),
                                end_of_visit(std::move(streams.server), server, ""));
    Ends result{std::get<0>(ends), std::get<1>(ends)};
    co_return result;
  });
}

/// Without the descriptor, which differs.
std::string without_fd(std::string text) {
  if (const std::size_t at = text.find(" on fd "); at != std::string::npos)
    text.erase(at, text.find(':', at) - at);
  return text;
}

/// A stream that gives and takes a few bytes at a time, to show that any stream will do.
class Trickle {
 public:
  explicit Trickle(TcpStream stream) noexcept : stream_(std::move(stream)) {}
  auto read_some(std::span<std::byte> buffer) {
    return stream_.read_some(buffer.first(std::min<std::size_t>(buffer.size(), 7)));
  }
  auto write_some(std::span<const std::byte> buffer) {
    return stream_.write_some(buffer.first(std::min<std::size_t>(buffer.size(), 5)));
  }
  void close() noexcept { stream_.close(); }

 private:
  TcpStream stream_;
};

}  // namespace

ON_SELECTORS("megabytes come back through TLS as they were, whatever the chunks") {
  run_on(selector, []() -> Task<void> {
    const std::string sent = pattern(1'000'017);
    for (const auto& [write_chunk, read_chunk] :
         {std::array<std::size_t, 2>{1'000'017, 4'097}, std::array<std::size_t, 2>{4'099, 200'000},
          std::array<std::size_t, 2>{70'001, 65'536}}) {
      auto pair = co_await tls_pair();
      auto results = co_await timeout(
          30s, gather(write_and_end(pair.client, sent, write_chunk), read_rest(pair.server, read_chunk),
                      write_and_end(pair.server, sent, write_chunk), read_rest(pair.client, read_chunk)));
      const bool same = std::get<1>(results) == sent && std::get<3>(results) == sent;
      CHECK(same);
    }
  });
}

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

TEST_CASE("a server has other certificates for other names") {
  TlsContext server = server_context();
  server.add_name("example.org", TlsContext::server(server_options(certificates().example)));
  const Identity many = make_identity({"*.example.org", &certificates().authority});
  server.add_name("*.example.org", TlsContext::server(server_options(many)));
  for (const char* name : {"localhost", "example.org", "a.example.org", "Example.ORG"})
    CHECK(shake_hands(client_context(), server, name).client == "done");
  CHECK_THAT(shake_hands(client_context(), server, "a.b.example.org").client,
             Catch::Matchers::Contains("hostname mismatch"));
  CHECK_THROWS_AS(client_context().add_name("x", server), TlsError);
}

ON_SELECTORS("a second visit resumes the session, in TLS 1.3 and 1.2, unless that is turned off") {
  run_on(selector, []() -> Task<void> {
    const auto second_resumes = [](TlsContext client, TlsContext server) -> Task<bool> {
      bool resumed = false;
      for (int i = 0; i < 2; ++i) {
        auto pair = co_await tls_pair(client, server);
        resumed = pair.client.resumed();
        CHECK(pair.server.resumed() == resumed);
        co_await pair.server.write_all("x");  // tickets come with what is read first
        const std::string got = co_await read_once(pair.client);
        CHECK(got == "x");
        auto ends = co_await gather(end_of(pair.client.finish(5s)), end_of(pair.server.finish(5s)));
        CHECK(std::get<0>(ends) == "done");
      }
      co_return resumed;
    };
    TlsOptions server = server_options();
    bool resumed = co_await second_resumes(client_context(), TlsContext::server(server));
    CHECK(resumed);
    server.resumption = false;
    resumed = co_await second_resumes(client_context(), TlsContext::server(server));
    CHECK_FALSE(resumed);
    TlsOptions client = client_options();
    client.resumption = false;
    resumed = co_await second_resumes(TlsContext::client(client), server_context());
    CHECK_FALSE(resumed);
  });
}

ON_SELECTORS("a plain conversation is turned into TLS when both agree to") {
  run_on(selector, []() -> Task<void> {
    Streams streams = co_await connect_pair();
    co_await streams.client.write_all("STARTTLS\n");
    std::string got = co_await read_some(streams.server);
    CHECK(got == "STARTTLS\n");
    co_await streams.server.write_all("OK\n");
    got = co_await read_some(streams.client);
    auto ends = co_await gather(start_tls(std::move(streams.client), client_context(), "localhost"),
                                start_tls(std::move(streams.server), server_context()));
    auto& [client, server] = ends;
    co_await client.write_all("secret");
    got = co_await read_once(server);
    CHECK(got == "secret");
  });
}

ON_SELECTORS("TLS goes over any stream, also one that gives a few bytes at a time, and over another TLS") {
  run_on(selector, []() -> Task<void> {
    const std::string sent = pattern(30'000);
    Streams streams = co_await connect_pair();
    Trickle first(std::move(streams.client));
    Trickle second(std::move(streams.server));
    auto ends = co_await timeout(20s, gather(start_tls(std::move(first), client_context(), "localhost"),
                                             start_tls(std::move(second), server_context())));
    auto results = co_await timeout(
        20s, gather(write_and_end(std::get<0>(ends), sent, 10'000), read_rest(std::get<1>(ends))));
    bool same = std::get<1>(results) == sent;
    CHECK(same);
    auto outer = co_await tls_pair();
    auto inner =
        co_await timeout(20s, gather(start_tls(std::move(outer.client), client_context(), "localhost"),
                                     start_tls(std::move(outer.server), server_context())));
    auto twice = co_await timeout(
        20s, gather(write_and_end(std::get<1>(inner), sent, 10'000), read_rest(std::get<0>(inner))));
    same = std::get<1>(twice) == sent;
    CHECK(same);
  });
}

TEST_CASE("TLS in virtual time, without a kernel, as a stream of any type") {
  LoopOptions options;
  options.virtual_time = true;
  run(
      []() -> Task<void> {
        auto [near_end, far_end] = memory_pair(1'000);
        auto ends =
            co_await timeout(20s, gather(start_tls(std::move(near_end), client_context(), "localhost"),
                                         start_tls(std::move(far_end), server_context())));
        AnyStream client(std::move(std::get<0>(ends)));
        auto& server = std::get<1>(ends);
        const std::string sent = pattern(50'000);
        const auto send = [&]() -> Task<void> {
          co_await client.write_all(sent);
          co_await client.shutdown_write();
        };
        auto results = co_await timeout(20s, gather(send(), read_rest(server)));
        const bool same = std::get<1>(results) == sent;
        CHECK(same);
        // The peer says no goodbye: an hour is over at once.
        co_await server.finish(3600s);
      }(),
      options);
}

ON_SELECTORS("a goodbye is read as the end, again and again, and the other direction goes on") {
  run_on(selector, []() -> Task<void> {
    auto pair = co_await tls_pair();
    co_await pair.client.write_all("question");
    co_await pair.client.shutdown_write();
    const std::string question = co_await read_rest(pair.server);
    CHECK(question == "question");
    for (int i = 0; i < 3; ++i) {
      const std::string rest = co_await timeout(5s, read_once(pair.server));
      CHECK(rest.empty());
    }
    co_await pair.server.write_all("answer");
    std::string answer = co_await timeout(5s, read_once(pair.client));
    CHECK(answer == "answer");
    std::string message;
    const std::error_code late = co_await error_of(pair.client.write_all("more"), &message);
    CHECK(late == std::errc::broken_pipe);
    CHECK(message == "TLS write after shutdown_write(): Broken pipe");
    co_await pair.client.shutdown_write();
  });
}

ON_SELECTORS("a connection that is cut without a goodbye is an error, unless that was allowed") {
  run_on(selector, []() -> Task<void> {
    auto pair = co_await tls_pair();
    co_await pair.server.write_all("most of it");
    pair.server.close();
    const std::string got = co_await timeout(5s, read_once(pair.client));
    CHECK(got == "most of it");
    for (int i = 0; i < 2; ++i) {
      const std::string end = co_await timeout(5s, end_of(read_once(pair.client)));
      CHECK(without_fd(end) ==
            "TLS read with \"localhost\": the peer closed the connection without a goodbye");
    }
    TlsError::Kind kind = TlsError::Kind::PROTOCOL;
    try {
      co_await read_once(pair.client);
    } catch (const TlsError& error) {
      kind = error.kind;
    }
    CHECK(kind == TlsError::Kind::TRUNCATED);

    TlsOptions lenient = client_options();
    lenient.ignore_truncation = true;
    auto other = co_await tls_pair(TlsContext::client(lenient), server_context());
    co_await other.server.write_all("all of it");
    other.server.close();
    const std::string all = co_await timeout(5s, read_rest(other.client));
    CHECK(all == "all of it");
  });
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

ON_SELECTORS("what was tampered with on its way is an error for the reader, and an alert for the writer") {
  run_on(selector, []() -> Task<void> {
    auto pair = co_await tls_pair();
    co_await pair.client.transport().write_all(std::string_view("\x17\x03\x03\x00\x20", 5));
    co_await pair.client.transport().write_all(pattern(32));
    std::string end = co_await timeout(5s, end_of(read_once(pair.server)));
    CHECK(without_fd(end) == "TLS read: decryption failed or bad record mac");
    end = co_await timeout(5s, end_of(read_once(pair.client)));
    CHECK(without_fd(end) == "TLS read with \"localhost\": sslv3 alert bad record mac");
    end = co_await end_of(pair.server.write_all("x"));
    CHECK(without_fd(end) == "TLS write: decryption failed or bad record mac");
  });
}

ON_SELECTORS("one reads while the other writes, and several of each go in order") {
  run_on(selector, []() -> Task<void> {
    auto pair = co_await tls_pair();
    std::vector<std::string> parts;
    std::string expected;
    for (char letter = 'a'; letter <= 'f'; ++letter) {
      parts.emplace_back(100'000, letter);
      expected += parts.back();
    }
    const auto write = [](TlsStream& stream, std::string_view bytes) -> Task<void> {
      co_await stream.write_all(bytes);
    };
    std::vector<JoinHandle<void>> writers;
    for (const std::string& part : parts) writers.push_back(spawn(write(pair.client, part)));
    std::vector<JoinHandle<std::string>> readers;
    for (int i = 0; i < 3; ++i) readers.push_back(spawn(read_once(pair.client, 2)));
    std::string got;
    while (got.size() < expected.size()) got += co_await timeout(5s, read_once(pair.server, 9'001));
    const bool same = got == expected;
    CHECK(same);
    for (auto& writer : writers) co_await writer;
    co_await pair.server.write_all("112233");
    std::string pieces;
    for (auto& reader : readers) pieces += co_await timeout(5s, reader) + "|";
    CHECK(pieces == "11|22|33|");
  });
}

ON_SELECTORS("a write that is cancelled leaves a connection that goes on where it was") {
  run_on(selector, []() -> Task<void> {
    auto pair = co_await tls_pair();
    pair.client.transport().set_send_buffer(8'192);
    pair.server.transport().set_receive_buffer(8'192);
    const std::string bytes = pattern(16'384);
    // Until the buffers are full and one of them has to wait in the middle of a record.
    std::string sent;
    bool cancelled = false;
    for (int i = 0; !cancelled && i < 10'000; ++i) {
      auto write = [&]() -> Task<std::string> {
        const std::size_t n = co_await pair.client.write_some(bytes);
        sent.append(bytes, 0, n);
        co_return co_await end_of(sleep(0s));
      };
      auto writer = spawn(write());
      co_await turns(20);
      if (writer.done()) continue;
      co_await sleep(20ms);
      if (writer.done()) continue;
      writer.cancel();
      const std::string end = co_await writer;
      cancelled = end == "cancelled";  // after its result; unless there was room at the last moment
    }
    CHECK(cancelled);
    auto whole = spawn(end_of(timeout(20ms, pair.client.write_all(bytes))));
    const std::string end = co_await whole;
    CHECK(end == "timed out");
    // The next operation sends what is left, and what follows is as it should be.
    std::string got;
    auto reader = [&]() -> Task<void> { got = co_await read_rest(pair.server); };
    auto reading = spawn(reader());
    co_await timeout(10s, write_and_end(pair.client, "the end", 100));
    co_await timeout(10s, reading);
    CHECK(got.starts_with(sent));
    CHECK(got.ends_with("the end"));
    CHECK(got.size() <= sent.size() + bytes.size() + 7);
  });
}

ON_SELECTORS("what a cancelled write has left is sent by a read, even to a peer that reads nothing before") {
  run_on(selector, []() -> Task<void> {
    auto pair = co_await tls_pair();
    pair.client.transport().set_send_buffer(8'192);
    pair.server.transport().set_receive_buffer(8'192);
    const std::string much = pattern(8'000'000);
    const std::string end = co_await end_of(timeout(50ms, pair.client.write_all(much)));
    CHECK(end == "timed out");
    auto client_reads = spawn(read_once(pair.client));
    co_await turns(5);
    // The client hears what the server says, though what it has to send is stuck ...
    co_await pair.server.write_all("I can still be heard");
    std::string heard = co_await timeout(5s, client_reads);
    CHECK(heard == "I can still be heard");
    // ... and while it reads, the rest of its record gets through.
    auto again = spawn(read_once(pair.client));
    std::string got;
    bool quiet = false;
    while (!quiet) {
      try {
        got += co_await timeout(200ms, read_once(pair.server));
      } catch (const TimeoutError&) {
        quiet = true;
      }
    }
    const bool begins = much.starts_with(got);
    CHECK(begins);
    CHECK(got.size() % 16'384 == 0);
    co_await pair.server.write_all("done");
    heard = co_await timeout(5s, again);
    CHECK(heard == "done");
  });
}

ON_SELECTORS("cancelled reads lose no byte") {
  run_on(selector, []() -> Task<void> {
    auto pair = co_await tls_pair();
    const std::string sent = pattern(300'000);
    auto writer = spawn(write_and_end(pair.server, sent, 7'001));
    std::string got;
    for (int i = 0;; ++i) {
      auto reader = spawn(read_once(pair.client, 5'000));
      co_await turns(i % 7);
      reader.cancel();
      bool stopped = false;
      std::string piece;
      try {
        piece = co_await reader;
      } catch (const Cancelled&) {
        stopped = true;
      }
      if (!stopped && piece.empty()) break;
      got += piece;
      if (stopped && i % 20 == 0) co_await sleep(100us);
    }
    co_await writer;
    const bool same = got == sent;
    CHECK(same);
  });
}

ON_SELECTORS("finish takes no longer than it may, and closes in any case") {
  run_on(selector, []() -> Task<void> {
    auto pair = co_await tls_pair();
    auto server = spawn(end_of(read_rest(pair.server)));
    const auto start = EventLoop::running().time();
    std::string end = co_await end_of(pair.client.finish(20ms));  // the server doesn't say goodbye
    CHECK(end == "done");
    CHECK(EventLoop::running().time() - start < 5s);
    CHECK_FALSE(pair.client.is_open());
    end = co_await timeout(5s, server);
    CHECK(end == "done");

    auto polite = co_await tls_pair();
    auto ends =
        co_await timeout(5s, gather(end_of(polite.client.finish(60s)), end_of(polite.server.finish(60s))));
    CHECK(std::get<0>(ends) == "done");
    CHECK(std::get<1>(ends) == "done");

    auto stopped = co_await tls_pair();
    auto finishing = spawn(stopped.client.finish(60s));
    co_await turns(3);
    finishing.cancel();
    end = co_await end_of(std::move(finishing));
    CHECK(end == "cancelled");
    CHECK_FALSE(stopped.client.is_open());
  });
}

ON_SELECTORS("closing or destroying a TLS stream ends those who wait at it") {
  run_on(selector, []() -> Task<void> {
    std::vector<JoinHandle<std::error_code>> waiting;
    auto pair = co_await tls_pair();
    const std::string much(8'000'000, 'x');
    {
      TlsStream client = std::move(pair.client);
      for (int i = 0; i < 2; ++i) waiting.push_back(spawn(error_of(read_once(client))));
      for (int i = 0; i < 2; ++i) waiting.push_back(spawn(error_of(client.write_all(much))));
      co_await turns(5);
      TlsStream moved = std::move(client);  // while it is in use
      co_await turns(5);
      if (pair.server.is_open()) pair.server.close();
      moved.close();
      const std::error_code late = co_await error_of(read_once(moved));
      CHECK(late == std::errc::bad_file_descriptor);
    }
    for (auto& each : waiting) {
      const std::error_code code = co_await timeout(5s, each);
      CHECK(code == std::errc::operation_canceled);
    }
    auto other = co_await tls_pair();
    auto reader = spawn(error_of(read_once(other.client)));
    co_await turns(3);
    other.client = TlsStream();
    const std::error_code code = co_await timeout(5s, reader);
    CHECK(code == std::errc::operation_canceled);
    CHECK_THROWS_AS(other.client.read_some(std::span<std::byte>()), std::logic_error);
  });
}

ON_SELECTORS("cancelled at every suspension, a TLS client or server leaves nothing behind") {
  const std::string bytes = pattern(200'000);
  const TlsContext client = client_context();
  const TlsContext server = server_context();
  auto serve = [&](TcpListener& listener) -> Task<void> {
    auto stream = co_await start_tls(co_await listener.accept(), server);
    const std::string got = co_await read_rest(stream);
    co_await stream.write_all(got);
    co_await stream.finish(1s);
  };
  auto visit = [&](std::uint16_t port) -> Task<void> {
    TlsStream stream = co_await TlsStream::connect("localhost", port, client);
    stream.transport().set_send_buffer(8'192);
    co_await write_and_end(stream, bytes, 120'000);
    const std::string got = co_await read_rest(stream);
    const bool same = got == bytes;
    CHECK(same);
    co_await stream.finish(1s);
  };
  for (const bool server_is_cancelled : {false, true}) {
    auto session = [&]() -> Task<void> {
      auto listener = TcpListener::bind(any_port());
      const std::uint16_t port = listener.local_address().port();
      auto body = [&](TaskGroup& group) -> Task<void> {
        if (server_is_cancelled) {
          group.spawn(visit(port));
          co_await serve(listener);
        } else {
          group.spawn(serve(listener));
          co_await visit(port);
        }
      };
      co_await task_group(body);
    };
    DisturbOptions options;
    options.loop.selector = selector;
    options.main_only = true;
    CHECK(cancel_everywhere(session, &check_usual_end, options).failed >= 8);
  }
}

TEST_CASE("without memory a TLS session fails as a whole, and leaves nothing behind") {
  if (!allocations_are_observed()) return;
  const TlsContext client = client_context();
  const TlsContext server = server_context();
  const auto session = [&]() -> Task<void> {
    auto pair = co_await tls_pair(client, server);
    auto results =
        co_await timeout(5s, gather(write_and_end(pair.client, "hello", 5), read_rest(pair.server),
                                    read_rest(pair.client), write_and_end(pair.server, "you too", 7)));
    CHECK(std::get<1>(results) == "hello");
  };
  // OpenSSL tells of it in its own way.
  const auto check = [](const DisturbedRun& run) {
    if (!run.failed_with<TlsError>()) check_usual_end(run);
  };
  CHECK(fail_allocations(session, check).failed >= 10);
}

TEST_CASE("whatever fails underneath comes out of TLS, and the next connection works") {
  class Faulty : public KernelSystem {
   public:
    int error = 0;
    int at = -1;
    bool sending = false;
    int calls[2] = {};
    std::ptrdiff_t recv(int fd, void* data, std::size_t size, int flags) noexcept override {
      return calls[0]++ == at && !sending ? -error : KernelSystem::recv(fd, data, size, flags);
    }
    std::ptrdiff_t send(int fd, const void* data, std::size_t size, int flags) noexcept override {
      return calls[1]++ == at && sending ? -error : KernelSystem::send(fd, data, size, flags);
    }
  };
  const TlsContext client = client_context();
  const TlsContext server = server_context();
  auto session = [&]() -> Task<void> {
    Streams streams = co_await connect_pair();
    const auto there = [&](TcpStream tcp) -> Task<void> {
      auto stream = co_await start_tls(std::move(tcp), client, "localhost");
      co_await write_and_end(stream, "hello", 5);
      const std::string answer = co_await read_rest(stream);
      if (answer != "hello") throw std::runtime_error("incomplete");
    };
    const auto back = [&](TcpStream tcp) -> Task<void> {
      auto stream = co_await start_tls(std::move(tcp), server);
      const std::string text = co_await read_rest(stream);
      co_await write_and_end(stream, text, 5);
    };
    co_await gather(there(std::move(streams.client)), back(std::move(streams.server)));
  };
  for (const bool sending : {false, true})
    for (const int error : {EINTR, ECONNRESET, EPIPE, ENOMEM, ETIMEDOUT})
      for (int n = 0;; ++n) {
        Faulty system;
        system.error = error;
        system.at = n;
        system.sending = sending;
        const int before = open_descriptors(256);
        std::string end;
        bool reached = false;
        run_on(
            "default",
            [&]() -> Task<void> {
              end = co_await timeout(10s, end_of(session()));
              reached = system.calls[sending ? 1 : 0] > n;
              system.at = -1;
              co_await timeout(10s, session());
            },
            &system);
        INFO((sending ? "send " : "recv ") << n << " failed with " << error << ": " << end);
        CHECK(open_descriptors(256) == before);
        if (error == EINTR || !reached) CHECK(end == "done");
        if (error != EINTR && reached)
          CHECK_THAT(end, Catch::Matchers::Contains(std::generic_category().message(error)));
        if (!reached) {
          CHECK(n >= 4);
          break;
        }
      }
}

TEST_CASE("contexts that can't work say why") {
  const auto server_error = [](const TlsOptions& options) {
    return thrown<TlsError>([&] { TlsContext::server(options); });
  };
  CHECK(server_error({}) ==
        "TLS context: a server needs a certificate (certificate_file or certificate_pem)");
  TlsOptions options = server_options();
  options.key_pem.clear();
  CHECK(server_error(options) == "TLS context: a certificate without its key (key_file or key_pem)");
  options.key_pem = certificates().client.key;
  CHECK_THAT(server_error(options), Catch::Matchers::Contains("key"));
  options.key_pem = "garbage";
  CHECK_THAT(server_error(options), Catch::Matchers::StartsWith("TLS context: key_pem: "));
  options = {};
  options.certificate_file = "/no/such/file";
  options.key_file = "/no/such/file";
  CHECK_THAT(server_error(options),
             Catch::Matchers::StartsWith("TLS context: certificate_file \"/no/such/file\": No such file"));
  options = server_options();
  options.client_certificate = ClientCertificate::REQUIRED;
  CHECK_THAT(server_error(options), Catch::Matchers::Contains("need ca_file or ca_pem"));
  options = client_options();
  options.ca_pem = "no certificate";
  CHECK_THAT(thrown<TlsError>([&] { TlsContext::client(options); }),
             Catch::Matchers::StartsWith("TLS context: ca_pem: "));
  options = client_options();
  options.alpn = {""};
  CHECK_THROWS_AS(TlsContext::client(options), TlsError);
}
