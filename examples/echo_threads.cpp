// The echo server on several loops, each on a thread of its own, over which connections are spread evenly.
// SPDX-License-Identifier: MIT
#include <array>
#include <charconv>
#include <cstdio>
#include <exception>
#include <heddle/io/address/resolver.hpp>
#include <heddle/io/server/server.hpp>
#include <heddle/runtime/task/run.hpp>
#include <heddle/runtime/threads/run_on_threads.hpp>
#include <stdexcept>
#include <utility>

#include "announce.hpp"
#include "options.hpp"

heddle::Task<void> echo(heddle::TcpStream& client) {
  std::array<std::byte, 16384> buffer;
  while (const std::size_t size = co_await client.read_some(buffer))
    co_await client.write_all({buffer.data(), size});
}

heddle::Task<void> serve(heddle::TcpListener& listener, const heddle::ServerSpread* spread) {
  heddle::ServerOptions options;
  options.spread = spread;
  heddle::Server server(options);
  server.add(listener, echo);
  co_await server.serve();
}

std::size_t number(const std::string& text) {
  std::size_t value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || rest != text.data() + text.size() || value < 1 || value > 1024)
    throw std::invalid_argument("--threads \"" + text + "\" is not a number from 1 to 1024");
  return value;
}

int main(int argc, char** argv) {
  std::string threads = "2", pin, by_kernel;
  const Options options =
      parse_options(argc, argv,
                    {{"threads", "N", "how many loops (2)", &threads},
                     {"pin", nullptr, "each thread on one core", &pin},
                     {"by-kernel", nullptr, "the kernel alone spreads connections, by a hash", &by_kernel}});
  try {
    const heddle::ThreadsOptions on{.threads = number(threads), .pin = !pin.empty()};
    const auto addresses = heddle::run(heddle::resolve(options.host, options.port));
    auto listeners = heddle::TcpListener::bind_shared(addresses.front(), on.threads);
    const heddle::ServerSpread spread;
    auto main = [&](std::size_t index) -> heddle::Task<void> {
      if (index == 0) announce({listeners.front().local_address()});
      co_await serve(listeners[index], by_kernel.empty() ? &spread : nullptr);
    };
    heddle::run_on_threads(on, main, {.selector = options.selector});  // until SIGINT
  } catch (const std::exception& error) {
    std::fprintf(stderr, "echo_threads: %s\n", error.what());
    return 1;
  }
}
