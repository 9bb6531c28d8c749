// A TCP proxy: each connection is carried on to another server, and back. Try:
//     tcp_proxy --to example.com:80      then: curl -H "Host: example.com" http://127.0.0.1:7000/
// SPDX-License-Identifier: MIT
#include <signal.h>

#include <chrono>
#include <cstdio>
#include <exception>
#include <heddle/io/server/server.hpp>
#include <heddle/io/stream/copy.hpp>
#include <heddle/runtime/loop/signals.hpp>
#include <heddle/runtime/task/run.hpp>
#include <heddle/runtime/task/when_any.hpp>

#include "announce.hpp"
#include "options.hpp"

using namespace std::chrono_literals;

heddle::Task<void> carry(heddle::TcpStream& client, heddle::HostPort to) {
  heddle::ConnectOptions options;
  options.timeout = 5s;
  heddle::TcpStream server;
  try {
    server = co_await heddle::TcpStream::connect(to.host, to.port, options);
  } catch (const std::exception& error) {  // a name that isn't known, a server that doesn't answer
    std::fprintf(stderr, "tcp_proxy: %s\n", error.what());
    client.abort();
    co_return;
  }
  try {
    // What comes in pieces goes on in pieces: the last of a message mustn't wait until the others are
    // acknowledged.
    client.set_nodelay(true);
    server.set_nodelay(true);
    // Each side may end its half before the other does.
    co_await heddle::copy_bidirectional(client, server);
  } catch (const std::system_error&) {
    // One of them has reset its connection: so the other mustn't see an ordinary end.
    client.abort();
    server.abort();
  }
}

heddle::Task<void> serve(Options options, heddle::HostPort to, heddle::ServerOptions limits) {
  heddle::Server server(limits);
  auto handler = [to](heddle::TcpStream& client) -> heddle::Task<void> { co_await carry(client, to); };
  announce(co_await server.listen(options.host, options.port, handler));
  co_await heddle::when_any(server.serve(), heddle::signal(SIGTERM));
}

int main(int argc, char** argv) {
  std::string to, idle = "300", grace = "2";
  const Options options = parse_options(
      argc, argv,
      {{"to", "HOST:PORT", "the server behind the proxy", &to, true},
       {"idle", "SECONDS", "a connection on which nothing moves for so long is closed (300)", &idle},
       {"grace", "SECONDS", "how long connections may go on after SIGINT or SIGTERM (2)", &grace}});
  try {
    heddle::ServerOptions limits;
    limits.max_connections = 10'000;
    limits.idle = seconds("idle", idle);
    limits.grace = seconds("grace", grace);
    heddle::run(serve(options, heddle::HostPort::parse(to), limits), {.selector = options.selector});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tcp_proxy: %s\n", error.what());
    return 1;
  }
}
