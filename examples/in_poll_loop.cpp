// heddle inside a poll() loop that was there before: it answers lines from stdin, heddle echoes over TCP.
// SPDX-License-Identifier: MIT
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <exception>
#include <heddle/io/net/tcp.hpp>
#include <heddle/runtime/loop/event_loop.hpp>
#include <heddle/runtime/task/join_handle.hpp>
#include <new>

heddle::Task<void> echo(heddle::TcpStream client) try {
  std::array<std::byte, 16384> buffer;
  while (const std::size_t size = co_await client.read_some(buffer))
    co_await client.write_all({buffer.data(), size});
} catch (const std::exception&) {  // the client is gone
}

heddle::Task<void> serve() {
  auto listener = heddle::TcpListener::bind(heddle::Address::parse("127.0.0.1:0"));
  std::printf("listening on %s (selector %s)\n", to_string(listener.local_address()).c_str(),
              heddle::EventLoop::running().selector_name());
  std::fflush(stdout);
  for (;;) {
    auto client = co_await listener.accept();
    try {
      heddle::spawn(echo(std::move(client)));
    } catch (const std::bad_alloc&) {
      // No memory for another client: this one is closed, and the others go on.
    }
  }
}

// How long poll() may wait before heddle has something to do by itself.
int milliseconds_left(const heddle::EventLoop& loop) {
  const auto deadline = loop.next_deadline();
  if (!deadline) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - loop.time()).count();
  return static_cast<int>(std::clamp<long long>(left, 0, 60'000));
}

int main() {
  heddle::EventLoop loop;
  loop.call_soon([] { heddle::spawn(serve()); });

  std::array<pollfd, 2> watched{{{STDIN_FILENO, POLLIN, 0}, {loop.fileno(), POLLIN, 0}}};
  for (;;) {
    ::poll(watched.data(), watched.size(), milliseconds_left(loop));
    loop.run_once(heddle::Duration(0));
    if (watched[0].revents == 0) continue;
    std::array<char, 4096> line;
    const auto size = ::read(STDIN_FILENO, line.data(), line.size());
    if (size <= 0) break;
    std::printf("you said: %.*s", static_cast<int>(size), line.data());
    std::fflush(stdout);
  }
  loop.close();  // ends what is still running
}
