// Echo over Asio's C++20 coroutines, told that one thread runs it.
// SPDX-License-Identifier: MIT
#include <array>
#include <asio.hpp>
#include <csignal>
#include <system_error>

#include "peer.h"

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

int main(int argc, char** argv) {
  const sockaddr_in address = peer_address(argc, argv);
  asio::io_context context(1);
  tcp::acceptor acceptor(
      context, tcp::endpoint(asio::ip::address_v4(ntohl(address.sin_addr.s_addr)), ntohs(address.sin_port)));
  asio::signal_set signals(context, SIGINT);
  signals.async_wait([&](std::error_code, int) { context.stop(); });
  asio::co_spawn(context, serve(acceptor), asio::detached);
  peer_announce(acceptor.native_handle());
  context.run();
}
