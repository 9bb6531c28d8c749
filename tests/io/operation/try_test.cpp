// Reading and writing without waiting, and one buffer that many connections share.
// SPDX-License-Identifier: MIT
#include <optional>
#include <stdexcept>
#include <vector>

#include "../../../io/net/unix.hpp"
#include "../../../runtime/task/task_group.hpp"
#include "../../support/faulty_system.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

template <class Stream>
std::optional<std::string> try_read(Stream& stream, std::size_t most = 65536) {
  std::string buffer(most, '\0');
  const std::optional<std::size_t> size = stream.try_read_some(std::span(buffer));
  if (!size) return std::nullopt;
  return buffer.substr(0, *size);
}

template <class Stream>
Task<void> write_rest(Stream& stream, std::string rest) {
  co_await stream.write_all(rest);
}

template <class Stream>
Task<void> echo_by(std::span<char> shared, Stream stream) {
  for (;;) {
    const std::optional<std::size_t> size = stream.try_read_some(shared);
    if (!size) {
      co_await stream.readable();
      continue;
    }
    if (*size == 0) break;
    const std::string_view message(shared.data(), *size);
    const std::size_t written = stream.try_write_some(message);
    if (written < *size) co_await write_rest(stream, std::string(message.substr(written)));
  }
  stream.shutdown_write();
}

// Until the kernel takes no more.
template <class Stream>
std::size_t fill(Stream& stream) {
  const std::string much(100'000, 'x');
  std::size_t all = 0;
  while (const std::size_t size = stream.try_write_some(much)) all += size;
  return all;
}

template <class Stream>
Task<std::string> visit(Stream& stream, std::string bytes) {
  auto send = [](Stream& to, std::string_view text) -> Task<void> {
    co_await to.write_all(text);
    to.shutdown_write();
  };
  auto results = co_await gather(send(stream, bytes), read_all(stream));
  co_return std::move(std::get<1>(results));
}

}  // namespace

ON_SELECTORS("try_read_some tells bytes, nothing and the end apart") {
  run_on(selector, []() -> Task<void> {
    HalfPair half = stream_and_peer();
    CHECK(try_read(half.stream) == std::nullopt);
    half.peer.write("abc");
    co_await timeout(5s, half.stream.readable());
    CHECK(try_read(half.stream, 2) == "ab");
    CHECK(try_read(half.stream, 2) == "c");
    CHECK(try_read(half.stream) == std::nullopt);
    half.peer.close();
    co_await timeout(5s, half.stream.readable());
    CHECK(try_read(half.stream) == "");
    CHECK(try_read(half.stream) == "");
  });
}

ON_SELECTORS("what came while nobody waited is there for try_read_some") {
  run_on(selector, []() -> Task<void> {
    HalfPair half = stream_and_peer();
    for (const char* text : {"one", "two", "three"}) {
      auto waiting = spawn(read_some(half.stream));
      co_await yield();
      half.peer.write("-");
      const std::string before = co_await timeout(5s, waiting);
      CHECK(before == "-");
      half.peer.write(text);
      co_await sleep(2ms);
      CHECK(try_read(half.stream) == text);
    }
  });
}

ON_SELECTORS("try_write_some takes what there is room for, and more once the peer has read") {
  run_on(selector, []() -> Task<void> {
    auto [a, b] = socket_pair();
    CHECK(a.try_write_some("") == 0);
    CHECK(a.try_write_some("hello") == 5);
    const std::size_t all = 5 + fill(a);
    CHECK(all > 5);
    CHECK(a.try_write_some("x") == 0);
    std::size_t read = 0;
    while (const auto text = try_read(b)) read += text->size();
    CHECK(read == all);
    co_await timeout(5s, a.writable());
    const std::array<ConstBuffer, 3> pieces{"a", "", "bc"};
    CHECK(a.try_write_some(pieces) == 3);
    co_await timeout(5s, b.readable());
    CHECK(try_read(b) == "abc");
  });
}

ON_SELECTORS("who waits comes before who tries") {
  run_on(selector, []() -> Task<void> {
    auto [a, b] = socket_pair();
    auto reader = spawn(read_some(a));
    fill(a);
    auto writer = spawn(write_rest(a, "last"));
    co_await yield();
    co_await b.write_all("for the reader");
    CHECK(try_read(a) == std::nullopt);
    std::string got;
    while (const auto text = try_read(b)) got += *text;
    CHECK(a.try_write_some("me first") == 0);
    const std::string read = co_await timeout(5s, reader);
    CHECK(read == "for the reader");
    co_await timeout(5s, writer);
    co_await timeout(5s, b.readable());
    CHECK(try_read(b) == "last");
  });
}

ON_SELECTORS("connections that share a buffer don't mix their bytes, also where writing has to wait") {
  run_on(selector, []() -> Task<void> {
    static constexpr unsigned count = 12;
    std::string shared(50'000, '\0');
    std::vector<std::pair<UnixStream, UnixStream>> pairs;
    for (unsigned i = 0; i < count; ++i) pairs.push_back(socket_pair());
    co_await timeout(30s, [&]() -> Task<void> {
      std::vector<JoinHandle<std::string>> clients;
      for (auto& [client, server] : pairs) {
        spawn(echo_by(std::span(shared), std::move(server)));
        clients.push_back(spawn(visit(client, pattern(700'000, static_cast<unsigned>(clients.size())))));
      }
      for (unsigned i = 0; i < count; ++i) {
        const std::string back = co_await clients[i];
        const bool same = back == pattern(700'000, i);
        CHECK(same);
      }
    }());
  });
}

ON_SELECTORS("bytes that the kernel gives apart are all tried for, though nothing more comes") {
  run_on(selector, []() -> Task<void> {
    auto [a, b] = socket_pair();
    auto server = spawn([](UnixStream& stream) -> Task<std::string> {
      std::string all;
      while (all.size() < 9) {
        co_await stream.readable();
        if (const auto text = try_read(stream)) all += *text;
      }
      co_return all;
    }(b));
    co_await sleep(1ms);
    co_await send_apart(a);
    const std::string got = co_await timeout(5s, server);
    CHECK(got == "abcdefghi");
  });
}

ON_SELECTORS("tasks that wait by readable() and try share what comes") {
  run_on(selector, []() -> Task<void> {
    auto [a, b] = socket_pair();
    int turns = 0;
    auto reader = [&turns](UnixStream& stream) -> Task<std::string> {
      for (;; ++turns) {
        if (const auto text = try_read(stream, 3)) co_return *text;
        co_await stream.readable();
      }
    };
    auto one = spawn(reader(b));
    auto two = spawn(reader(b));
    auto three = spawn(reader(b));
    co_await sleep(1ms);
    co_await a.write_all("abcdef");
    std::string all = co_await timeout(5s, one);
    all += co_await timeout(5s, two);
    CHECK(all == "abcdef");
    CHECK_FALSE(three.done());
    co_await a.write_all("g");
    all = co_await timeout(5s, three);
    CHECK(all == "g");
    CHECK(turns < 20);
  });
}

ON_SELECTORS("a task that tries gives the others their turns, and can be cancelled") {
  run_on(selector, []() -> Task<void> {
    auto [a, b] = socket_pair();
    CHECK(fill(a) > 100'000);
    int reads = 0;
    auto reader = [&reads](UnixStream& stream) -> Task<void> {
      char byte[1];
      for (;;) {
        if (stream.try_read_some(std::span(byte)))
          ++reads;
        else
          co_await stream.readable();
      }
    };
    auto task = spawn(reader(b));
    co_await yield();
    CHECK(reads > 10);
    CHECK(reads < 1'000);
    const int before = reads;
    co_await yield();
    CHECK(reads > before);
    CHECK(reads < 2'000);
    task.cancel();
    bool cancelled = false;
    try {
      co_await timeout(5s, task);
    } catch (const Cancelled&) {
      cancelled = true;
    }
    CHECK(cancelled);
    CHECK(reads < 3'000);
  });
}

ON_SELECTORS("a callback may try as often as it likes") {
  run_on(selector, []() -> Task<void> {
    auto [a, b] = socket_pair();
    int written = 0;
    EventLoop::running().call_soon([&, &stream = a] {
      for (int i = 0; i < 200; ++i) written += static_cast<int>(stream.try_write_some("x"));
    });
    co_await yield();
    co_await yield();
    CHECK(written == 200);
  });
}

TEST_CASE("trying with an empty buffer does nothing, and leaves descriptors where they are") {
  run_on("default", []() -> Task<void> {
    auto [a, b] = socket_pair();
    CHECK(try_read(b, 0) == "");
    CHECK(b.try_write_some("") == 0);
    CHECK(b.try_write_some(std::span<const ConstBuffer>()) == 0);
    const std::array<int, 1> fds{0};
    co_await a.send_with_fds("abc", fds);
    co_await b.readable();
    CHECK(try_read(b, 0) == "");
    std::array<Fd, 2> received;
    std::array<char, 10> buffer;
    const ReceivedWithFds got = co_await b.receive_with_fds(buffer, received);
    CHECK(got.fds == 1);
  });
}

TEST_CASE("trying on another loop than the one that watches the stream is a logic error") {
  EventLoop first;
  std::optional<std::pair<UnixStream, UnixStream>> pair;
  std::optional<JoinHandle<void>> waiting;
  first.call_soon([&] {
    waiting = spawn([](auto& to) -> Task<void> {
      to = socket_pair();
      co_await to->second.readable();
    }(pair));
  });
  while (!pair) first.run_once(Timeout(0ms));
  run_on("default", [&]() -> Task<void> {
    CHECK_THROWS_AS(try_read(pair->second), std::logic_error);
    co_return;
  });
  waiting->cancel();
  while (!waiting->done()) first.run_once(Timeout(0ms));
}

ON_SELECTORS("trying on a stream that has failed, or is closed, tells what is wrong") {
  FaultySystem system;
  run_on(
      selector,
      [&]() -> Task<void> {
        auto streams = co_await connect_pair();
        const std::string on_fd = " on fd " + std::to_string(streams.client.fileno());
        system.fail(Call::RECV, 0, EINTR, 3);
        CHECK(try_read(streams.client) == std::nullopt);
        CHECK(system.made(Call::RECV) == 4);
        system.fail(Call::SEND, 0, EINTR, 3);
        CHECK(streams.client.try_write_some("x") == 1);
        system.fail(Call::RECV, 0, ECONNRESET);
        co_await streams.server.write_all("y");
        co_await timeout(5s, streams.client.readable());
        CHECK_THAT(thrown<std::system_error>([&] { try_read(streams.client); }),
                   Catch::Matchers::StartsWith("recv" + on_fd));
        CHECK(try_read(streams.client) == "y");
        system.fail(Call::SEND, 0, EPIPE);
        CHECK_THAT(thrown<std::system_error>([&] { static_cast<void>(streams.client.try_write_some("x")); }),
                   Catch::Matchers::StartsWith("send" + on_fd));
        system.fail(Call::SENDMSG, 0, EPIPE);
        const std::array<ConstBuffer, 1> piece{"x"};
        CHECK_THAT(
            thrown<std::system_error>([&] { static_cast<void>(streams.client.try_write_some(piece)); }),
            Catch::Matchers::StartsWith("sendmsg" + on_fd));
        streams.client.close();
        CHECK_THROWS_AS(try_read(streams.client), std::system_error);
        CHECK_THROWS_AS(static_cast<void>(streams.client.try_write_some("x")), std::system_error);
      },
      &system);
}

TEST_CASE("trying without a loop is a logic error") {
  UnixStream stream;
  CHECK_THROWS_AS(try_read(stream), std::logic_error);
  CHECK_THROWS_AS(static_cast<void>(stream.try_write_some("x")), std::logic_error);
}

#ifdef __linux__
TEST_CASE("an echo by a shared buffer costs a read and a write a message, and no look at what is known") {
  FaultySystem system;
  run_on(
      "epoll",
      [&]() -> Task<void> {
        auto streams = co_await connect_pair();
        std::string shared(1'000, '\0');
        auto server = spawn(echo_by(std::span(shared), std::move(streams.server)));
        std::string got;
        auto exchange = [&]() -> Task<void> {
          co_await streams.client.write_all("ping");
          got = co_await timeout(5s, read_some(streams.client));
        };
        co_await exchange();
        const int received = system.made(Call::RECV);
        const int sent = system.made(Call::SEND);
        for (int i = 0; i < 100; ++i) co_await exchange();
        CHECK(got == "ping");
        CHECK(system.made(Call::RECV) - received == 200);
        CHECK(system.made(Call::SEND) - sent == 200);
        streams.client.shutdown_write();
        co_await server;
      },
      &system);
}
#endif
