// Reading into several buffers and writing from several, and peeking.
// SPDX-License-Identifier: MIT
#include "../../../io/operation/vector_operation.hpp"

#include <string>
#include <vector>

#include "../../../io/net/unix.hpp"
#include "../../support/cancel_everywhere.hpp"
#include "../../support/faulty_system.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

// A text in pieces of many sizes, some of them empty.
std::vector<ConstBuffer> pieces(const std::string& text) {
  std::vector<ConstBuffer> list;
  const std::string_view all = text;
  for (std::size_t at = 0, step = 0; at < all.size(); at += step, step = (step * 7 + 3) % 4099)
    list.push_back(all.substr(at, step));
  return list;
}

Task<void> send_pieces(TcpStream& stream, const std::string& text) {
  const std::vector<ConstBuffer> list = pieces(text);
  co_await stream.write_all(list);
  stream.shutdown(Shutdown::WRITE);
}

template <class Stream>
Task<std::string> receive_pieces(Stream& stream, std::size_t first, std::size_t second,
                                 std::size_t wanted = SIZE_MAX) {
  std::string all;
  std::string a(first, '\0');
  std::string b(second, '\0');
  const std::array<MutableBuffer, 3> room{std::span(a), std::span<char>(), std::span(b)};
  while (all.size() < wanted) {
    const std::size_t size = co_await stream.read_some(room);
    if (size == 0) break;
    all.append(a, 0, size);
    if (size > first) all.append(b, 0, size - first);
  }
  co_return all;
}

}  // namespace

ON_SELECTORS("several buffers are written in their order, and read into several in theirs") {
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    const std::string body = "body";
    const std::array<ConstBuffer, 4> message{"head ", body, "", " tail"};
    co_await streams.client.write_all(message);
    std::string got = co_await timeout(5s, read_some(streams.server));
    CHECK(got == "head body tail");
    const std::size_t some = co_await streams.client.write_some(message);
    CHECK(some == 14);
    std::array<char, 3> a;
    std::array<char, 100> b;
    const std::array<MutableBuffer, 2> room{std::span(a), std::span(b)};
    const std::size_t size = co_await streams.server.read_some(room);
    CHECK(size == 14);
    CHECK(std::string_view(a.data(), 3) == "hea");
    CHECK(std::string_view(b.data(), 11) == "d body tail");
    const Result<std::size_t> all = co_await streams.client.write_all(message).as_result();
    CHECK(all.value() == 14);
    streams.client.close();
    got = co_await timeout(5s, receive_pieces(streams.server, 1, 4));
    CHECK(got == "head body tail");
  });
}

ON_SELECTORS("megabytes in thousands of pieces arrive as they were") {
  run_on(selector, []() -> Task<void> {
    const std::string text = pattern(3'000'001);
    auto streams = co_await connect_pair();
    auto results = co_await timeout(
        20s, gather(send_pieces(streams.client, text), receive_pieces(streams.server, 1'001, 30'000)));
    const bool same = std::get<1>(results) == text;
    CHECK(same);
  });
}

ON_SELECTORS("nothing to write is written at once, and into no room nothing is read") {
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    const std::array<ConstBuffer, 2> nothing{"", ""};
    co_await streams.client.write_all(nothing);
    std::size_t size = co_await streams.client.write_some(nothing);
    CHECK(size == 0);
    co_await streams.client.write_all(std::span<const ConstBuffer>());
    const std::array<MutableBuffer, 1> no_room;
    size = co_await streams.server.read_some(no_room);
    CHECK(size == 0);
    size = co_await streams.server.peek(std::span<char>());
    CHECK(size == 0);
  });
}

ON_SELECTORS("what is written from several buffers doesn't mix with what others write") {
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    auto writes = [](TcpStream& stream, char letter) -> Task<void> {
      const std::string text(700'000, letter);
      const std::array<ConstBuffer, 2> both{text, text};
      co_await stream.write_all(both);
    };
    std::vector<JoinHandle<void>> writers;
    for (const char letter : {'a', 'b', 'c'}) writers.push_back(spawn(writes(streams.client, letter)));
    std::string all;
    while (all.size() < 4'200'000) all += co_await timeout(5s, read_some(streams.server));
    for (auto& writer : writers) co_await writer;
    const bool in_order =
        all == std::string(1'400'000, 'a') + std::string(1'400'000, 'b') + std::string(1'400'000, 'c');
    CHECK(in_order);
  });
}

ON_SELECTORS("what is peeked at is there to be read afterwards") {
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    auto peeks = [](TcpStream& stream) -> Task<std::string> {
      std::string buffer(4, '\0');
      buffer.resize(co_await stream.peek(std::span(buffer)));
      co_return buffer;
    };
    auto waiting = spawn(peeks(streams.server));
    co_await sleep(1ms);
    CHECK_FALSE(waiting.done());
    co_await streams.client.write_all("abcdef");
    std::string got = co_await timeout(5s, waiting);
    CHECK(got == "abcd");
    got = co_await timeout(5s, peeks(streams.server));
    CHECK(got == "abcd");
    got = co_await timeout(5s, read_some(streams.server));
    CHECK(got == "abcdef");
    auto cancelled = spawn(peeks(streams.server));
    co_await yield();
    cancelled.cancel();
    streams.client.close();
    got = co_await timeout(5s, peeks(streams.server));
    CHECK(got.empty());
    CHECK(cancelled.cancelled());
    streams.server.close();
    std::array<char, 4> room;
    const Result<std::size_t> closed = co_await streams.server.peek(std::span(room)).as_result();
    CHECK(closed.error() == std::errc::bad_file_descriptor);
  });
}

ON_SELECTORS(
    "bytes that came with a descriptor are read into several buffers, and so are those behind them") {
  run_on(selector, []() -> Task<void> {
    auto [a, b] = socket_pair();
    auto reader = spawn(receive_pieces(b, 2, 100, 9));
    co_await sleep(1ms);
    co_await send_apart(a);
    const std::string got = co_await timeout(5s, reader);
    CHECK(got == "abcdefghi");
  });
}

ON_SELECTORS("interrupted and failing calls with several buffers: none is lost, and the error is told") {
  FaultySystem system;
  run_on(
      selector,
      [&]() -> Task<void> {
        auto streams = co_await connect_pair();
        const std::array<ConstBuffer, 2> message{"ab", "cd"};
        for (const int error : {EINTR, ECONNRESET, ENOBUFS}) {
          system.fail(Call::SENDMSG, 0, error);
          std::string text;
          std::error_code code = co_await error_of(streams.client.write_all(message), &text);
          CHECK(code.value() == (error == EINTR ? 0 : error));
          if (code) CHECK_THAT(text, Catch::Matchers::StartsWith("sendmsg on fd "));
          system.fail(Call::SENDMSG, 0, error);
          code = co_await error_of(streams.client.write_some(message));
          CHECK(code.value() == (error == EINTR ? 0 : error));
        }
        system.fail(Call::RECVMSG, 0, EINTR);
        std::array<char, 100> buffer;
        const std::array<MutableBuffer, 1> room{std::span(buffer)};
        const std::size_t size = co_await streams.server.read_some(room);
        CHECK(size == 8);
        system.fail(Call::RECVMSG, 0, ETIMEDOUT);
        const Result<std::size_t> failed = co_await streams.server.read_some(room).as_result();
        CHECK(failed.error() == std::errc::timed_out);
        CHECK(std::string(failed.failure().operation) == "recvmsg");
      },
      &system);
}

TEST_CASE("several buffers survive writes that are short by any number of bytes, on poll and on select") {
  for (const std::string_view selector : {"poll", "select"}) {
    for (const std::size_t most : {1UL, 2UL, 3UL, 1000UL}) {
      FaultySystem system;
      system.most = most;
      run_on(
          selector,
          [&]() -> Task<void> {
            const std::string text = pattern(most * 400 + 3);
            auto streams = co_await connect_pair();
            auto results =
                co_await gather(send_pieces(streams.client, text), receive_pieces(streams.server, 3, 1'000));
            CHECK(std::get<1>(results) == text);
          },
          &system);
    }
  }
}

ON_SELECTORS("cancelled at every suspension, a transfer with several buffers leaves nothing behind") {
  const std::string text = pattern(1'500'000);
  FaultySystem system;
  const CancelCount count = cancel_at_every_suspension(
      loop_options(selector, &system), Canceller::CALLBACK,
      [&]() -> Task<void> {
        auto streams = co_await connect_pair();
        auto results = co_await gather(send_pieces(streams.client, text),
                                       receive_pieces(streams.server, 10'000, 200'000));
        const bool same = std::get<1>(results) == text;
        CHECK(same);
      },
      [&] { return calls_of(system); }, [](bool) {});
  CHECK(count.cancelled >= 3);
}
