// The coroutine echo server: one coroutine accepts, and one per client sends back what it gets.
// SPDX-License-Identifier: MIT
#include <array>
#include <cstdio>
#include <exception>
#include <heddle/io/address/resolver.hpp>
#include <heddle/io/net/tcp.hpp>
#include <heddle/runtime/task/run.hpp>
#include <new>

#include "options.hpp"

heddle::Task<void> echo(heddle::TcpStream client) try {
  std::array<std::byte, 17 * 1024> buffer;  // 16 KiB don't fill it, and so are known to be all there is
  while (const std::size_t size = co_await client.read_some(buffer))
    co_await client.write_all({buffer.data(), size});
} catch (const std::exception&) {
  // A client that resets its connection is no news. The stream closes as this coroutine ends.
}

heddle::Task<void> serve(Options options) {
  const auto addresses = co_await heddle::resolve(options.host, options.port);
  auto listener = heddle::TcpListener::bind(addresses.front());
  std::printf("listening on %s (selector %s)\n", to_string(listener.local_address()).c_str(),
              heddle::EventLoop::running().selector_name());
  std::fflush(stdout);
  for (;;) {
    auto client = co_await listener.accept();
    try {
      heddle::spawn(echo(std::move(client)));
    } catch (const std::bad_alloc&) {
      // No memory for another client: this one is closed, and the others go on.
    }
  }
}

int main(int argc, char** argv) {
  const Options options = parse_options(argc, argv);
  try {
    heddle::run(serve(options), {.selector = options.selector, .dump_on_sigquit = true});  // until SIGINT
  } catch (const std::exception& error) {
    std::fprintf(stderr, "echo_server: %s\n", error.what());
    return 1;
  }
}
