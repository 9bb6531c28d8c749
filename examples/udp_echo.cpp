// A UDP echo server: what has come is received by one call, many datagrams at once, and sent back by one.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <exception>
#include <heddle/io/address/resolver.hpp>
#include <heddle/io/net/udp.hpp>
#include <heddle/runtime/task/run.hpp>

#include "options.hpp"

heddle::Task<void> serve(Options options) {
  const auto addresses = co_await heddle::resolve(options.host, options.port);
  auto socket = heddle::UdpSocket::bind(addresses.front());
  std::printf("listening on %s (selector %s)\n", to_string(socket.local_address()).c_str(),
              heddle::EventLoop::running().selector_name());
  std::fflush(stdout);
  heddle::DatagramBatch batch(32, 65536);  // allocated once
  for (;;) {
    co_await socket.recv_batch(batch);
    // Each knows where it came from. One that can't be sent (its sender has no route) is left out.
    while (!co_await socket.send_batch(batch).as_result()) batch.skip();
  }
}

int main(int argc, char** argv) {
  const Options options = parse_options(argc, argv);
  try {
    heddle::run(serve(options), {.selector = options.selector});  // until SIGINT
  } catch (const std::exception& error) {
    std::fprintf(stderr, "udp_echo: %s\n", error.what());
    return 1;
  }
}
