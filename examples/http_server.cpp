// A web server for the files of a folder: HTTP/1.1, also over TLS. Try: http_server --root . and, in a
// browser, http://127.0.0.1:7000/README.md
// SPDX-License-Identifier: MIT
#include <signal.h>

#include <chrono>
#include <cstdio>
#include <exception>
#include <heddle/io/server/server.hpp>
#ifdef HEDDLE_HAVE_TLS
#include <heddle/io/tls/tls_stream.hpp>
#endif
#include <heddle/runtime/loop/signals.hpp>
#include <heddle/runtime/task/gather.hpp>
#include <heddle/runtime/task/run.hpp>
#include <heddle/runtime/task/timeout.hpp>
#include <heddle/runtime/task/when_any.hpp>
#include <utility>
#include <variant>

#include "announce.hpp"
#include "http_conversation.hpp"
#include "options.hpp"

using namespace std::chrono_literals;

template <class Stream>
heddle::Task<void> converse(Stream& stream, heddle::TcpStream& socket, Site& site) {
  socket.set_nodelay(true);
  Visit visit(site, socket);
  Conversation<Stream> conversation(stream, visit);
  co_await conversation.run();
}

heddle::Task<void> end_on_signal(heddle::Server& server, Site& site) {
  co_await heddle::signal(SIGINT, SIGTERM);
  site.close();
  server.stop(5s);  // so long may what was asked for before take
}

#ifdef HEDDLE_HAVE_TLS
heddle::Task<void> serve_tls(heddle::TcpStream client, Site& site, heddle::TlsContext context,
                             heddle::Server& server) {
  try {
    // Who is still in its handshake when the server ends hasn't asked for anything: nobody waits for it.
    auto first = co_await heddle::timeout(
        site.patience, heddle::when_any(heddle::start_tls(std::move(client), context), server.stopping()));
    if (first.index() != 0) co_return;
    auto stream = std::get<0>(std::move(first));
    co_await converse(stream, stream.transport(), site);
  } catch (const heddle::TlsError& error) {
    std::fprintf(stderr, "http_server: %s\n", error.what());  // no TLS, or a client that doesn't trust us
  } catch (const heddle::TimeoutError&) {                     // it hasn't even said hello
  }
}

heddle::TlsContext make_context(const std::string& certificate, const std::string& key) {
  heddle::TlsOptions tls;
  tls.certificate_file = certificate;
  tls.key_file = key;
  tls.alpn = {"http/1.1", "http/1.0"};
  tls.ignore_truncation = true;  // HTTP tells by itself where a message ends
  return heddle::TlsContext::server(tls);
}
#endif

heddle::Task<void> serve(Options options, Site& site, [[maybe_unused]] std::string certificate,
                         [[maybe_unused]] std::string key) {
  heddle::ServerOptions limits;
  limits.max_connections = 10'000;
  limits.idle = site.patience + 1s;  // who has begun to ask is told first
  heddle::Server server(limits);
#ifdef HEDDLE_HAVE_TLS
  if (!certificate.empty() || !key.empty()) {
    const auto context = make_context(certificate, key);
    auto handler = [&site, &server, context](heddle::TcpStream client) -> heddle::Task<void> {
      co_await serve_tls(std::move(client), site, context, server);
    };
    announce(co_await server.listen(options.host, options.port, handler));
    co_await heddle::gather(server.serve(), end_on_signal(server, site));
    co_return;
  }
#endif
  auto handler = [&site](heddle::TcpStream& client) -> heddle::Task<void> {
    co_await converse(client, client, site);
  };
  announce(co_await server.listen(options.host, options.port, handler));
  co_await heddle::gather(server.serve(), end_on_signal(server, site));
}

int main(int argc, char** argv) {
  std::string root, certificate, key, patience = "30";
  const Options options =
      parse_options(argc, argv,
                    {{"root", "DIR", "the folder whose files are given out", &root},
#ifdef HEDDLE_HAVE_TLS
                     {"tls-cert", "FILE", "a certificate, for HTTPS (PEM)", &certificate},
                     {"tls-key", "FILE", "its key (PEM)", &key},
#endif
                     {"patience", "SECONDS",
                      "how long a client may be silent, or take to ask for something (30)", &patience}});
  try {
    Site site(root, seconds("patience", patience));
    heddle::run(serve(options, site, certificate, key),
                {.selector = options.selector, .dump_on_sigquit = true});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "http_server: %s\n", error.what());
    return 1;
  }
}
