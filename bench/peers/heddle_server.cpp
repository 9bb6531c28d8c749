// heddle among its peers: one buffer for all connections, the handler of examples/echo_server, and those of
// the questions that need another.
// SPDX-License-Identifier: MIT
#include <array>
#include <cstdio>
#include <exception>
#include <heddle/io/net/tcp.hpp>
#include <heddle/io/net/unix.hpp>
#include <heddle/runtime/sync/queue.hpp>
#include <heddle/runtime/task/run.hpp>
#include <heddle/runtime/task/sleep.hpp>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "peer.h"

using heddle::Task;

namespace {

// What the kernel didn't take. The copy lives as long as this coroutine.
template <class Stream>
Task<void> write_rest(Stream& client, std::vector<std::byte> rest) {
  co_await client.write_all(rest);
}

// As the peers in C do it: no bytes are in the buffer while a task waits, so all connections share it.
template <class Stream>
Task<void> echo(Stream client) try {
  static std::array<std::byte, 65536> buffer;
  for (;;) {
    co_await client.readable();
    const std::optional<std::size_t> size = client.try_read_some(buffer);
    if (!size) continue;
    if (*size == 0) break;
    const std::span<const std::byte> message(buffer.data(), *size);
    const std::size_t written = client.try_write_some(message);
    if (written < *size) {
      const auto rest = message.subspan(written);
      co_await write_rest(client, {rest.begin(), rest.end()});
    }
  }
} catch (const std::exception&) {
}

// A buffer each. A message of 16 KiB doesn't fill it: else a second read would have to find nothing.
template <class Stream>
Task<void> echo_with_own(Stream client) try {
  std::array<std::byte, 17 * 1024> buffer;
  while (const std::size_t size = co_await client.read_some(buffer))
    co_await client.write_all({buffer.data(), size});
} catch (const std::exception&) {
}

template <class Stream>
Task<bool> exchange(Stream& client) {
  std::array<std::byte, 17 * 1024> buffer;
  const std::size_t size = co_await client.read_some(buffer);
  if (size > 0) co_await client.write_all({buffer.data(), size});
  co_return size > 0;
}

// Takes a buffer when there is something to read, and not before.
template <class Stream>
Task<void> frugal(Stream client) try {
  do co_await client.readable();
  while (co_await exchange(client));
} catch (const std::exception&) {
}

// Sleeps between reading a message and answering it.
template <class Stream>
Task<void> with_timer(Stream client) try {
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
template <class Stream>
Task<void> with_queue(Stream client) try {
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

// What the question `ring` counts by: a tracer would change how many completions come at a time.
struct SaysEnters {
  ~SaysEnters() {
    const auto enters = heddle::EventLoop::running().counters().ring_enters;
    std::fprintf(stderr, "ring enters: %llu\n", static_cast<unsigned long long>(enters));
  }
};

template <class Listener, class Stream>
Task<void> serve(peer peer) {
  const SaysEnters says_enters;
  const std::string_view mode = peer.mode;
  const auto handler = mode == "own"        ? &echo_with_own<Stream>
                       : mode == "readable" ? &frugal<Stream>
                       : mode == "timer"    ? &with_timer<Stream>
                       : mode == "queue"    ? &with_queue<Stream>
                                            : &echo<Stream>;
  Listener listener{heddle::Fd(peer.listener)};
  for (;;) {
    Stream client = co_await listener.accept();
    if constexpr (std::is_same_v<Stream, heddle::TcpStream>) client.set_nodelay(true);
    heddle::spawn(handler(std::move(client)));
  }
}

std::string_view selector_of(int argc, char** argv) {
  std::string_view selector = "epoll";
  for (int i = 1; i + 1 < argc; i += 2)
    if (std::string_view(argv[i]) == "--selector") selector = argv[i + 1];
  return selector;
}

}  // namespace

int main(int argc, char** argv) {
  const peer peer = peer_start(argc, argv);
  heddle::run(peer.is_unix ? serve<heddle::UnixListener, heddle::UnixStream>(peer)
                           : serve<heddle::TcpListener, heddle::TcpStream>(peer),
              {.selector = selector_of(argc, argv)});
}
