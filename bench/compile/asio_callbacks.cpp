// What examples/echo_server does, over Asio's callbacks: for its compile time and size.
// SPDX-License-Identifier: MIT
#include <array>
#include <asio.hpp>
#include <csignal>
#include <cstdio>
#include <memory>

using asio::ip::tcp;

struct Session : std::enable_shared_from_this<Session> {
  explicit Session(tcp::socket socket) : socket_(std::move(socket)) {}

  void read() {
    socket_.async_read_some(asio::buffer(buffer_),
                            [self = shared_from_this()](std::error_code error, std::size_t count) {
                              if (!error) self->write(count);
                            });
  }

  void write(std::size_t count) {
    asio::async_write(socket_, asio::buffer(buffer_.data(), count),
                      [self = shared_from_this()](std::error_code error, std::size_t) {
                        if (!error) self->read();
                      });
  }

  tcp::socket socket_;
  std::array<char, 16384> buffer_;
};

static void accept(tcp::acceptor& acceptor) {
  acceptor.async_accept([&acceptor](std::error_code error, tcp::socket socket) {
    if (!error) {
      socket.set_option(tcp::no_delay(true));
      std::make_shared<Session>(std::move(socket))->read();
    }
    accept(acceptor);
  });
}

int main() {
  asio::io_context context(1);
  tcp::acceptor acceptor(context, tcp::endpoint(asio::ip::address_v4::loopback(), 7000));
  asio::signal_set signals(context, SIGINT);
  signals.async_wait([&](std::error_code, int) { context.stop(); });
  accept(acceptor);
  std::printf("listening on port %u\n", acceptor.local_endpoint().port());
  context.run();
}
