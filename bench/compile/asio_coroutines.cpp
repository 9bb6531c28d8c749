// What examples/echo_server does, over Asio's coroutines: for its compile time and size.
// SPDX-License-Identifier: MIT
#include <array>
#include <asio.hpp>
#include <csignal>
#include <cstdio>
#include <system_error>

using asio::awaitable;
using asio::use_awaitable;
using asio::ip::tcp;

static awaitable<void> echo(tcp::socket socket) {
  try {
    std::array<char, 16384> buffer;
    for (;;) {
      const std::size_t count = co_await socket.async_read_some(asio::buffer(buffer), use_awaitable);
      co_await asio::async_write(socket, asio::buffer(buffer.data(), count), use_awaitable);
    }
  } catch (const std::system_error&) {  // the peer is gone
  }
}

static awaitable<void> serve(tcp::acceptor& acceptor) {
  for (;;) {
    tcp::socket socket = co_await acceptor.async_accept(use_awaitable);
    socket.set_option(tcp::no_delay(true));
    asio::co_spawn(acceptor.get_executor(), echo(std::move(socket)), asio::detached);
  }
}

int main() {
  asio::io_context context(1);
  tcp::acceptor acceptor(context, tcp::endpoint(asio::ip::address_v4::loopback(), 7000));
  asio::signal_set signals(context, SIGINT);
  signals.async_wait([&](std::error_code, int) { context.stop(); });
  asio::co_spawn(context, serve(acceptor), asio::detached);
  std::printf("listening on port %u\n", acceptor.local_endpoint().port());
  context.run();
}
