// copy, copy_bidirectional: all bytes, half-closes passed on, and what happens when one way fails.
// SPDX-License-Identifier: MIT
#include "../../../io/stream/copy.hpp"

#include <string>

#include "../../../io/stream/memory_stream.hpp"
#include "../../support/cancel_everywhere.hpp"
#include "../../support/turns.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

template <class S>
Task<void> send_and_end(S& stream, std::string bytes) {
  co_await stream.write_all(bytes);
  stream.shutdown_write();
}

Task<std::string> read_all_of(MemoryStream& stream) {
  std::string all;
  std::string buffer(100, '\0');
  while (const std::size_t size = co_await stream.read_some(std::span(buffer))) all.append(buffer, 0, size);
  co_return all;
}

}  // namespace

ON_SELECTORS("copy moves everything to the end, and says how much that was") {
  run_on(selector, []() -> Task<void> {
    auto from = co_await connect_pair();
    auto [to, sink] = memory_pair(500);
    const std::string bytes = pattern(300'000);
    auto results = co_await gather(
        send_and_end(from.client, bytes),
        [](TcpStream& source, MemoryStream& target) -> Task<std::uint64_t> {
          const std::uint64_t count = co_await copy(source, target);
          target.shutdown_write();
          co_return count;
        }(from.server, to),
        read_all_of(sink));
    CHECK(std::get<1>(results) == 300'000);
    CHECK((std::get<2>(results) == bytes));
    CHECK(from.server.is_open());
    const std::error_code none = co_await error_of(copy(from.server, to, 100));
    CHECK(none == std::error_code());
  });
}

ON_SELECTORS("a proxy passes on both directions, and each half-close") {
  run_on(selector, []() -> Task<void> {
    auto left = co_await connect_pair();
    auto right = co_await connect_pair();
    auto proxy = spawn(copy_bidirectional(left.server, right.client));
    co_await left.client.write_all("request");
    left.client.shutdown_write();
    // The request has ended, and the answer comes nevertheless.
    const std::string request = co_await timeout(5s, read_all(right.server));
    CHECK(request == "request");
    const std::string answer = pattern(1'000'000);
    auto reader = spawn(read_all(left.client));
    co_await right.server.write_all(answer);
    CHECK_FALSE(proxy.done());
    right.server.close();
    const std::string got = co_await timeout(5s, reader);
    CHECK((got == answer));
    const CopyCounts counts = co_await timeout(5s, proxy);
    CHECK(counts.a_to_b == 7);
    CHECK(counts.b_to_a == 1'000'000);
  });
}

TEST_CASE("when one way of a proxy fails the other is stopped, and the counts tell how far it came") {
  LoopOptions options;
  options.virtual_time = true;
  run(
      []() -> Task<void> {
        auto [client, left] = memory_pair(10);
        auto [right, server] = memory_pair(10);
        CopyCounts progress;
        auto proxy = spawn(error_of(copy_bidirectional(left, right, &progress)));
        co_await client.write_all("hello");
        co_await server.write_all("hi");
        co_await turns(5);
        server.abort();
        const std::error_code code = co_await proxy;
        CHECK(code == std::errc::connection_reset);
        CHECK(progress.a_to_b == 5);
        CHECK(progress.b_to_a == 2);
        const std::string refused = co_await end_of(copy(client, left, 0));
        CHECK(refused == "copy() with a buffer of 0 bytes");
      }(),
      options);
}

TEST_CASE("a proxy that is cancelled anywhere ends both ways and leaves its streams alone") {
  long steps = 0;
  const auto scenario = [&]() -> Task<void> {
    auto [client, left] = memory_pair(3);
    auto [right, server] = memory_pair(3);
    auto echo = spawn(
        [](MemoryStream& stream, long& count) -> Task<void> {
          std::array<std::byte, 2> buffer;
          while (const std::size_t size = co_await stream.read_some(buffer)) {
            ++count;
            co_await stream.write_all(std::span<const std::byte>(buffer.data(), size));
            co_await sleep(50us);
          }
          stream.shutdown_write();
        },
        std::ref(server), std::ref(steps));
    auto talk = spawn(
        [](MemoryStream& stream) -> Task<void> {
          co_await gather(send_and_end(stream, "to and fro"), read_all_of(stream));
        },
        std::ref(client));
    bool stopped = false;
    try {
      co_await copy_bidirectional(left, right);
    } catch (const Cancelled&) {
      stopped = true;
    }
    CHECK(left.is_open());
    CHECK(right.is_open());
    if (!stopped) {
      co_await talk;
      co_await echo;
      co_return;
    }
    left.close();
    right.close();
    echo.cancel();
    talk.cancel();
    co_await end_of(as_task(echo));
    co_await end_of(as_task(talk));
    throw Cancelled();
  };
  for (const Canceller canceller : {Canceller::CALLBACK, Canceller::EMBEDDER}) {
    const auto count =
        cancel_at_every_suspension({}, canceller, scenario, [&] { return steps; }, [](bool) {});
    CHECK(count.points > 5);
  }
}

ON_SELECTORS("what a cancelled copy says it has written is what the other side gets") {
  run_on(selector, []() -> Task<void> {
    auto [source, left] = memory_pair(100'000);
    auto [right, sink] = memory_pair(1'000);
    co_await source.write_all(pattern(50'000));
    CopyCounts progress;
    bool late = false;
    try {
      co_await timeout(5ms, copy_bidirectional(left, right, &progress));  // nobody reads from `sink`
    } catch (const TimeoutError&) {
      late = true;
    }
    CHECK(late);
    right.close();
    const std::string got = co_await read_all_of(sink);
    CHECK(progress.a_to_b == got.size());
    CHECK(got == pattern(50'000).substr(0, got.size()));
    CHECK(progress.b_to_a == 0);
  });
}
