// Echo over Asio's callbacks, told that one thread runs it.
// SPDX-License-Identifier: MIT
#include <array>
#include <asio.hpp>
#include <csignal>
#include <memory>

#include "peer.h"

template <class Socket>
struct Session : std::enable_shared_from_this<Session<Socket>> {
  explicit Session(Socket socket) : socket_(std::move(socket)) {}

  void read() {
    socket_.async_read_some(asio::buffer(buffer_),
                            [self = this->shared_from_this()](std::error_code error, std::size_t count) {
                              if (!error) self->write(count);
                            });
  }

  void write(std::size_t count) {
    asio::async_write(socket_, asio::buffer(buffer_.data(), count),
                      [self = this->shared_from_this()](std::error_code error, std::size_t) {
                        if (!error) self->read();
                      });
  }

  Socket socket_;
  std::array<char, 16384> buffer_;
};

template <class Acceptor>
void accept(Acceptor& acceptor) {
  using Socket = typename Acceptor::protocol_type::socket;
  acceptor.async_accept([&acceptor](std::error_code error, Socket socket) {
    if (!error) {
      if constexpr (std::is_same_v<Socket, asio::ip::tcp::socket>)
        socket.set_option(asio::ip::tcp::no_delay(true));
      std::make_shared<Session<Socket>>(std::move(socket))->read();
    }
    accept(acceptor);
  });
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
    accept(local);
  } else {
    tcp.assign(asio::ip::tcp::v4(), peer.listener);
    accept(tcp);
  }
  context.run();
}
