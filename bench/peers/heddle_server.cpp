// heddle among its peers: the handler of examples/echo_server, and those of the questions that need another.
// SPDX-License-Identifier: MIT
#include <array>
#include <cstdio>
#include <exception>
#include <heddle/io/tcp.hpp>
#include <heddle/runtime/queue.hpp>
#include <heddle/runtime/run.hpp>
#include <heddle/runtime/sleep.hpp>
#include <string_view>

#include "peer.h"

using heddle::Task;
using heddle::TcpStream;

namespace {

Task<void> echo(TcpStream client) try {
  std::array<std::byte, 16384> buffer;
  while (const std::size_t size = co_await client.read_some(buffer))
    co_await client.write_all({buffer.data(), size});
} catch (const std::exception&) {
}

Task<bool> exchange(TcpStream& client) {
  std::array<std::byte, 16384> buffer;
  const std::size_t size = co_await client.read_some(buffer);
  if (size > 0) co_await client.write_all({buffer.data(), size});
  co_return size > 0;
}

// Takes a buffer when there is something to read, and not before.
Task<void> frugal(TcpStream client) try {
  do co_await client.readable();
  while (co_await exchange(client));
} catch (const std::exception&) {
}

// Sleeps between reading a message and answering it.
Task<void> with_timer(TcpStream client) try {
  std::array<std::byte, 64> message;
  while (const std::size_t size = co_await client.read_some(message)) {
    co_await heddle::sleep(std::chrono::milliseconds(1));
    co_await client.write_all({message.data(), size});
  }
} catch (const std::exception&) {
}

Task<void> work(heddle::Queue<std::size_t>& jobs, heddle::Queue<std::size_t>& results) {
  for (;;) co_await results.put(co_await jobs.get());
}

// Hands each message to another task through one queue and awaits its answer from another.
Task<void> with_queue(TcpStream client) try {
  heddle::Queue<std::size_t> jobs(1), results(1);
  const auto worker = heddle::spawn(work(jobs, results));
  std::array<std::byte, 64> message;
  while (const std::size_t size = co_await client.read_some(message)) {
    co_await jobs.put(size);
    const std::size_t answered = co_await results.get();
    co_await client.write_all({message.data(), answered});
  }
  jobs.shutdown();
  try {
    co_await worker;
  } catch (const heddle::QueueShutDown&) {
  }
} catch (const std::exception&) {
}

Task<void> serve(peer peer) {
  const std::string_view mode = peer.mode;
  const auto handler = mode == "readable" ? &frugal
                       : mode == "timer"  ? &with_timer
                       : mode == "queue"  ? &with_queue
                                          : &echo;
  heddle::TcpListener listener(heddle::Fd(peer.listener));  // of either kind: it only accepts
  for (;;) {
    TcpStream client = co_await listener.accept();
    if (!peer.is_unix) client.set_nodelay(true);
    heddle::spawn(handler(std::move(client)));
  }
}

}  // namespace

int main(int argc, char** argv) { heddle::run(serve(peer_start(argc, argv)), {.selector = "epoll"}); }
