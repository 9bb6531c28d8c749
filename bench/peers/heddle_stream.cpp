// heddle's streams: --mode sink receives and forgets, --mode source sends.
// SPDX-License-Identifier: MIT
#include <array>
#include <exception>
#include <heddle/io/net/tcp.hpp>
#include <heddle/io/net/unix.hpp>
#include <heddle/runtime/task/run.hpp>
#include <string_view>

#include "peer.h"

using heddle::Task;

namespace {

std::array<std::byte, 65536> block;

template <class Stream>
Task<void> sink(Stream client) try {
  while (co_await client.read_some(block) > 0) continue;
} catch (const std::exception&) {
}

template <class Stream>
Task<void> source(Stream client) try {
  for (;;) co_await client.write_all(block);
} catch (const std::exception&) {
}

template <class Listener, class Stream>
Task<void> serve(peer peer) {
  const auto handler = std::string_view(peer.mode) == "source" ? &source<Stream> : &sink<Stream>;
  Listener listener{heddle::Fd(peer.listener)};
  for (;;) {
    Stream client = co_await listener.accept();
    heddle::spawn(handler(std::move(client)));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const peer peer = peer_start(argc, argv);
  heddle::run(peer.is_unix ? serve<heddle::UnixListener, heddle::UnixStream>(peer)
                           : serve<heddle::TcpListener, heddle::TcpStream>(peer),
              {.selector = "epoll"});
}
