// UnixDatagram: whole datagrams, in order, and none lost when the receiver is slow.
// SPDX-License-Identifier: MIT
#include <sys/socket.h>

#include <string>
#include <vector>

#include "../../../io/net/unix.hpp"
#include "../../support/cancel_everywhere.hpp"
#include "../../support/faulty_system.hpp"
#include "../loopback.hpp"
#include "../temporary.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

Task<std::string> receive(UnixDatagram& socket, std::size_t most = 100) {
  std::string buffer(most, '\0');
  const Received got = co_await socket.recv(std::span(buffer));
  buffer.resize(got.size);
  co_return buffer + (got.truncated ? "..." : "");
}

// Numbers from 0 on, one a datagram; each fills a good part of the queue.
std::string numbered(int i) { return std::to_string(i) + ' ' + std::string(20'000, 'x'); }

Task<void> send_numbers(UnixDatagram& socket, const UnixAddress* to, int count) {
  for (int i = 0; i < count; ++i) {
    const std::string text = numbered(i);
    if (to != nullptr)
      co_await socket.send_to(text, *to);
    else
      co_await socket.send(text);
  }
}

Task<int> receive_numbers(UnixDatagram& socket, int count) {
  int in_order = 0;
  for (int i = 0; i < count; ++i) in_order += co_await receive(socket, 30'000) == numbered(i);
  co_return in_order;
}

}  // namespace

ON_SELECTORS("Unix datagrams arrive whole and in order, and can be answered") {
  const TemporaryDirectory directory;
  run_on(selector, [&]() -> Task<void> {
    const UnixAddress there(directory.path("there"));
    const UnixAddress back(directory.path("back"));
    auto server = UnixDatagram::bind(there);
    auto client = UnixDatagram::bind(back);
    co_await client.send_to("one", there);
    co_await client.send_to("", there);
    co_await client.send_to("three", there);
    std::string buffer(100, '\0');
    for (const std::string_view expected : {"one", "", "three"}) {
      const auto got = co_await timeout(5s, server.recv_from(std::span(buffer)));
      CHECK(std::string_view(buffer).substr(0, got.size) == expected);
      CHECK_FALSE(got.truncated);
      CHECK(got.from == back);
      co_await server.send_to("echo", got.from);
    }
    for (int i = 0; i < 3; ++i) {
      const std::string answer = co_await timeout(5s, receive(client));
      CHECK(answer == "echo");
    }
    auto nobody = UnixDatagram::open();
    nobody.connect_to(there);
    co_await nobody.send("from nowhere");
    const auto got = co_await timeout(5s, server.recv_from(std::span(buffer)));
    CHECK(got.from.is_unnamed());
  });
}

ON_SELECTORS("a Unix datagram that is longer than the buffer is cut off, and that is told") {
  run_on(selector, []() -> Task<void> {
    auto [a, b] = datagram_pair();
    co_await a.send("abcdef");
    co_await a.send("abc");
    std::string got = co_await timeout(5s, receive(b, 3));
    CHECK(got == "abc...");
    got = co_await timeout(5s, receive(b, 3));
    CHECK(got == "abc");
  });
}

ON_SELECTORS("sending waits while the receiver's queue is full, connected or not, and loses nothing") {
  const TemporaryDirectory directory;
  for (const bool connected : {false, true}) {
    FaultySystem system;
    run_on(
        selector,
        [&]() -> Task<void> {
          const UnixAddress there(directory.path("s"));
          auto server = UnixDatagram::bind(there);
          auto client = UnixDatagram::open();
          if (connected) client.connect_to(there);
          auto sender = spawn(send_numbers(client, connected ? nullptr : &there, 100));
          co_await sleep(20ms);
          CHECK_FALSE(sender.done());
          const int calls = system.made(Call::SENDMSG);
          co_await sleep(20ms);
          CHECK(system.made(Call::SENDMSG) - calls <= 25);  // it doesn't spin
          const int in_order = co_await timeout(10s, receive_numbers(server, 100));
          CHECK(in_order == 100);
          co_await timeout(5s, sender);
        },
        &system);
  }
}

ON_SELECTORS("a send that waits for a full queue can be cancelled and closed, and others come after it") {
  const TemporaryDirectory directory;
  run_on(selector, [&]() -> Task<void> {
    const UnixAddress there(directory.path("s"));
    auto server = UnixDatagram::bind(there);
    auto client = UnixDatagram::open();
    auto waiting = spawn(send_numbers(client, &there, 100));
    auto second = spawn(error_of(client.send_to("behind", there)));
    co_await sleep(5ms);
    CHECK_FALSE(second.done());
    waiting.cancel();
    for (int i = 0; i < 3; ++i) co_await yield();
    CHECK(waiting.cancelled());
    for (std::string got; got != "behind";) got = co_await timeout(5s, receive(server, 30'000));
    const std::error_code sent = co_await timeout(5s, second);
    CHECK_FALSE(sent);
    auto third = spawn(error_of(send_numbers(client, &there, 100)));
    co_await sleep(5ms);
    client.close();
    const std::error_code code = co_await timeout(5s, third);
    CHECK(code == std::errc::operation_canceled);
  });
}

ON_SELECTORS("what is wrong with a Unix datagram is told by name") {
  const TemporaryDirectory directory;
  run_on(selector, [&]() -> Task<void> {
    const UnixAddress none(directory.path("none"));
    auto client = UnixDatagram::open();
    std::error_code code = co_await error_of(client.send_to("x", none));
    CHECK(code == std::errc::no_such_file_or_directory);
    code = co_await error_of(client.send("x"));
    CHECK(code == std::errc::not_connected);
    CHECK_THAT(thrown<std::system_error>([&] { client.connect_to(none); }),
               Catch::Matchers::StartsWith("connect to " + directory.path("none") + ": "));
    auto [a, b] = datagram_pair();
    const std::string huge(10'000'000, 'x');
    code = co_await error_of(a.send(huge));
    CHECK(code == std::errc::message_size);
    b.close();
    code = co_await error_of(a.send("x"));
    CHECK(code == std::errc::connection_refused);
    a.close();
    code = co_await error_of(receive(a));
    CHECK(code == std::errc::bad_file_descriptor);
  });
}

ON_SELECTORS("cancelled at every suspension, an exchange of Unix datagrams leaves nothing behind") {
  const TemporaryDirectory directory;
  FaultySystem system;
  const CancelCount count = cancel_at_every_suspension(
      loop_options(selector, &system), Canceller::CALLBACK,
      [&]() -> Task<void> {
        const UnixAddress there(directory.path("s"));
        auto server = UnixDatagram::bind(there);
        auto client = UnixDatagram::open();
        auto results = co_await gather(receive_numbers(server, 20), send_numbers(client, &there, 20));
        CHECK(std::get<0>(results) == 20);
      },
      [&] { return calls_of(system); }, [&](bool) { CHECK_FALSE(directory.has("s")); });
  CHECK(count.cancelled >= 1);
}
