// Echo over Asio's C++20 coroutines, told that one thread runs it; and the handlers of `busy`.
// SPDX-License-Identifier: MIT
#include <array>
#include <asio.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/experimental/channel.hpp>
#include <csignal>
#include <string_view>
#include <system_error>

#include "peer.h"

using asio::awaitable;
using asio::use_awaitable;
using Channel = asio::experimental::channel<void(std::error_code, std::size_t)>;

template <class Socket>
awaitable<void> echo(Socket socket) {
  try {
    std::array<char, 16384> buffer;
    for (;;) {
      const std::size_t count = co_await socket.async_read_some(asio::buffer(buffer), use_awaitable);
      co_await asio::async_write(socket, asio::buffer(buffer.data(), count), use_awaitable);
    }
  } catch (const std::system_error&) {  // the peer is gone
  }
}

// Sleeps between reading a message and answering it.
template <class Socket>
awaitable<void> with_timer(Socket socket) {
  try {
    asio::steady_timer timer(socket.get_executor());
    std::array<char, 64> message;
    for (;;) {
      const std::size_t count = co_await socket.async_read_some(asio::buffer(message), use_awaitable);
      timer.expires_after(std::chrono::milliseconds(1));
      co_await timer.async_wait(use_awaitable);
      co_await asio::async_write(socket, asio::buffer(message.data(), count), use_awaitable);
    }
  } catch (const std::system_error&) {
  }
}

awaitable<void> work(Channel& jobs, Channel& results) {
  try {
    for (;;) {
      const std::size_t job = co_await jobs.async_receive(use_awaitable);
      co_await results.async_send(std::error_code(), job, use_awaitable);
    }
  } catch (const std::system_error&) {
  }
}

// Hands each message to another coroutine through one queue and awaits its answer from another.
template <class Socket>
awaitable<void> with_queue(Socket socket) {
  using namespace asio::experimental::awaitable_operators;
  Channel jobs(socket.get_executor(), 1), results(socket.get_executor(), 1);
  auto serve = [&]() -> awaitable<void> {
    try {
      std::array<char, 64> message;
      for (;;) {
        std::size_t count = co_await socket.async_read_some(asio::buffer(message), use_awaitable);
        co_await jobs.async_send(std::error_code(), count, use_awaitable);
        count = co_await results.async_receive(use_awaitable);
        co_await asio::async_write(socket, asio::buffer(message.data(), count), use_awaitable);
      }
    } catch (const std::system_error&) {
    }
    jobs.close();
  };
  co_await (serve() && work(jobs, results));
}

template <class Acceptor>
awaitable<void> serve(Acceptor& acceptor, std::string_view mode) {
  using Socket = typename Acceptor::protocol_type::socket;
  for (;;) {
    Socket socket = co_await acceptor.async_accept(use_awaitable);
    if constexpr (std::is_same_v<Socket, asio::ip::tcp::socket>)
      socket.set_option(asio::ip::tcp::no_delay(true));
    const auto handler = mode == "timer"   ? &with_timer<Socket>
                         : mode == "queue" ? &with_queue<Socket>
                                           : &echo<Socket>;
    asio::co_spawn(acceptor.get_executor(), handler(std::move(socket)), asio::detached);
  }
}

int main(int argc, char** argv) {
  const peer peer = peer_start(argc, argv);
  asio::io_context context(1);
  asio::signal_set signals(context, SIGINT);
  signals.async_wait([&](std::error_code, int) { context.stop(); });
  asio::ip::tcp::acceptor tcp(context);
  asio::local::stream_protocol::acceptor local(context);
  if (peer.is_unix) {
    local.assign(asio::local::stream_protocol(), peer.listener);
    asio::co_spawn(context, serve(local, peer.mode), asio::detached);
  } else {
    tcp.assign(asio::ip::tcp::v4(), peer.listener);
    asio::co_spawn(context, serve(tcp, peer.mode), asio::detached);
  }
  context.run();
}
