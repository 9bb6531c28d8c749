// The echo server over TLS: needs --cert and --key. Try: openssl s_client -connect 127.0.0.1:7000
// SPDX-License-Identifier: MIT
#include <array>
#include <chrono>
#include <cstdio>
#include <exception>
#include <heddle/io/address/resolver.hpp>
#include <heddle/io/tls/tls_stream.hpp>
#include <heddle/runtime/task/run.hpp>
#include <heddle/runtime/task/timeout.hpp>
#include <new>

#include "options.hpp"

using namespace std::chrono_literals;

heddle::Task<void> echo(heddle::TcpStream client, heddle::TlsContext context) try {
  auto stream = co_await heddle::timeout(10s, heddle::start_tls(std::move(client), context));
  std::array<std::byte, 16384> buffer;
  while (const std::size_t size = co_await stream.read_some(buffer))
    co_await stream.write_all({buffer.data(), size});
  co_await stream.finish(2s);
} catch (const heddle::TlsError& error) {
  std::fprintf(stderr, "%s\n", error.what());  // a client that doesn't trust us, or doesn't speak TLS
} catch (const std::exception&) {
  // A client that resets its connection, or says nothing, is no news.
}

heddle::Task<void> serve(Options options, heddle::TlsContext context) {
  const auto addresses = co_await heddle::resolve(options.host, options.port);
  auto listener = heddle::TcpListener::bind(addresses.front());
  std::printf("listening on %s (selector %s)\n", to_string(listener.local_address()).c_str(),
              heddle::EventLoop::running().selector_name());
  std::fflush(stdout);
  for (;;) {
    auto client = co_await listener.accept();
    try {
      heddle::spawn(echo(std::move(client), context));
    } catch (const std::bad_alloc&) {
      // No memory for another client: this one is closed, and the others go on.
    }
  }
}

int main(int argc, char** argv) {
  heddle::TlsOptions tls;
  const Options options =
      parse_options(argc, argv,
                    {{"cert", "FILE", "the certificate, then those that lead to the root (PEM)",
                      &tls.certificate_file, true},
                     {"key", "FILE", "its key (PEM)", &tls.key_file, true}});
  try {
    heddle::run(serve(options, heddle::TlsContext::server(tls)), {.selector = options.selector});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tls_echo: %s\n", error.what());
    return 1;
  }
}
