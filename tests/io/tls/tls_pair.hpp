// What the tests of TLS are written with: certificates, contexts, a connected pair, and how both ends end.
// SPDX-License-Identifier: MIT
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "../../../io/stream/memory_stream.hpp"
#include "../../../io/tls/tls_stream.hpp"
#include "../../support/turns.hpp"
#include "../loopback.hpp"
#include "certificates.hpp"

namespace heddle::test {

/// What certificates there are, made once.
struct Certificates {
  Identity authority = make_identity({"Test Authority", nullptr, -1, 30, true});
  Identity other_authority = make_identity({"Other Authority", nullptr, -1, 30, true});
  Identity server = make_identity({"localhost", &authority});
  Identity number = make_identity({"127.0.0.1", &authority});
  Identity example = make_identity({"example.org", &authority});
  Identity many = make_identity({"*.example.org", &authority});
  Identity expired = make_identity({"localhost", &authority, -10, -5});
  Identity future = make_identity({"localhost", &authority, 5, 10});
  Identity self_signed = make_identity({"localhost"});
  Identity client = make_identity({"a client", &authority});
  Identity stranger = make_identity({"a stranger", &other_authority});
};
inline const Certificates& certificates() {
  static const Certificates all;
  return all;
}

inline TlsOptions server_options(const Identity& identity = certificates().server) {
  TlsOptions options;
  options.certificate_pem = identity.certificate;
  options.key_pem = identity.key;
  return options;
}
inline TlsOptions client_options() {
  TlsOptions options;
  options.ca_pem = certificates().authority.certificate;
  return options;
}
/// Of a client that has a certificate.
inline TlsOptions known_client_options(const Identity& identity = certificates().client) {
  TlsOptions options = client_options();
  options.certificate_pem = identity.certificate;
  options.key_pem = identity.key;
  return options;
}

inline TlsContext server_context() { return TlsContext::server(server_options()); }
inline TlsContext client_context() { return TlsContext::client(client_options()); }

template <class S = TcpStream>
struct TlsPair {
  BasicTlsStream<S> client;
  BasicTlsStream<S> server;
};

inline Task<TlsPair<>> tls_pair(TlsContext client, TlsContext server, std::string name = "localhost") {
  Streams streams = co_await connect_pair();
  auto ends = co_await timeout(20s, gather(start_tls(std::move(streams.client), client, name),
                                           start_tls(std::move(streams.server), server)));
  TlsPair<> pair{std::move(std::get<0>(ends)), std::move(std::get<1>(ends))};
  co_return pair;
}
inline Task<TlsPair<>> tls_pair() { co_return co_await tls_pair(client_context(), server_context()); }

/// The same in memory.
inline Task<TlsPair<MemoryStream>> tls_memory_pair(TlsContext client, TlsContext server,
                                                   std::string name = "localhost",
                                                   std::size_t capacity = 65536) {
  auto [near_end, far_end] = memory_pair(capacity);
  auto ends = co_await timeout(
      20s, gather(start_tls(std::move(near_end), client, name), start_tls(std::move(far_end), server)));
  TlsPair<MemoryStream> pair{std::move(std::get<0>(ends)), std::move(std::get<1>(ends))};
  co_return pair;
}

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
template <class S>
Task<std::string> end_of_visit(S stream, TlsContext context, std::string name) {
  auto visit = [](S plain, TlsContext tls, std::string host) -> Task<void> {
    auto secure = co_await start_tls(std::move(plain), tls, host);
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
inline Ends shake_hands(TlsContext client, TlsContext server, std::string name = "localhost",
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
inline std::string without_fd(std::string text) {
  if (const std::size_t at = text.find(" on fd "); at != std::string::npos)
    text.erase(at, text.find(':', at) - at);
  return text;
}

}  // namespace heddle::test
