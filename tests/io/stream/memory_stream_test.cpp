// MemoryStream, memory_pair, MemoryListener: connections inside one loop.
// SPDX-License-Identifier: MIT
#include "../../../io/stream/memory_stream.hpp"

#include <string>
#include <vector>

#include "../../../io/stream/any_stream.hpp"
#include "../../../io/stream/memory_listener.hpp"
#include "../../../io/stream/stream.hpp"
#include "../../support/allocations.hpp"
#include "../../support/cancel_everywhere.hpp"
#include "../../support/turns.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;

static_assert(Stream<MemoryStream> && VectoredWriteStream<MemoryStream>);
static_assert(Stream<TcpStream>);
static_assert(Stream<AnyStream>);

namespace {

template <class S>
Task<std::string> take(S& stream, std::size_t most = 65536) {
  std::string buffer(most, '\0');
  buffer.resize(co_await stream.read_some(std::span(buffer)));
  co_return buffer;
}

template <class S>
Task<std::string> take_all(S& stream, std::size_t chunk) {
  std::string all;
  std::string buffer(chunk, '\0');
  while (const std::size_t size = co_await stream.read_some(std::span(buffer))) all.append(buffer, 0, size);
  co_return all;
}

template <class S>
Task<void> send_and_end(S& stream, std::string bytes, std::size_t chunk) {
  for (std::size_t at = 0; at < bytes.size(); at += chunk)
    co_await stream.write_all(std::string_view(bytes).substr(at, chunk));
  stream.shutdown_write();
}

LoopOptions in_virtual_time() {
  LoopOptions options;
  options.virtual_time = true;
  return options;
}

template <class Body>
void run_virtual(Body body) {
  run(body(), in_virtual_time());
}

}  // namespace

TEST_CASE("what is written to one end of a memory pair is read from the other, whatever the sizes") {
  for (const std::size_t capacity : {1U, 7U, 4096U})
    for (const std::size_t chunk : {1U, 5U, 1000U})
      run_virtual([&]() -> Task<void> {
        auto [a, b] = memory_pair(capacity);
        const std::string there = pattern(3000, 1);
        const std::string back = pattern(2000, 2);
        auto results = co_await gather(send_and_end(a, there, chunk), take_all(a, 3),
                                       send_and_end(b, back, 11), take_all(b, chunk + 1));
        CHECK(std::get<1>(results) == back);
        CHECK(std::get<3>(results) == there);
      });
}

TEST_CASE("a full memory stream takes what there is room for, and then makes the writer wait") {
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair(4);
    std::size_t written = co_await a.write_some("abcdef");
    CHECK(written == 4);
    auto some =
        spawn([](MemoryStream& stream) -> Task<std::size_t> { co_return co_await stream.write_some("ef"); },
              std::ref(a));
    auto all =
        spawn([](MemoryStream& stream) -> Task<void> { co_await stream.write_all("ghijkl"); }, std::ref(a));
    co_await turns(3);
    CHECK_FALSE(some.done());
    std::string got = co_await take(b, 1);
    CHECK(got == "a");
    written = co_await some;
    CHECK(written == 1);  // there was room for one
    CHECK_FALSE(all.done());
    got.clear();
    while (got.size() < 10) got += co_await take(b, 3);
    CHECK(got == "bcdeghijkl");
    co_await all;
  });
}

TEST_CASE("several buffers are written to a memory stream as one") {
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair(8);
    const std::vector<ConstBuffer> pieces{"ab", "", "cdef", "ghijk"};
    const std::size_t written = co_await a.write_some(std::span<const ConstBuffer>(pieces));
    CHECK(written == 8);
    auto all = spawn(
        [](MemoryStream& stream, std::vector<ConstBuffer> buffers) -> Task<void> {
          co_await stream.write_all(std::span<const ConstBuffer>(buffers));
          stream.close();
        },
        std::ref(a), pieces);
    const std::string got = co_await take_all(b, 5);
    CHECK(got == "abcdefghabcdefghijk");
    co_await all;
  });
}

TEST_CASE("readers and writers of a memory stream are served in the order in which they came") {
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair(2);
    std::vector<JoinHandle<std::string>> readers;
    for (int i = 0; i < 3; ++i) readers.push_back(spawn(take(b, 2)));
    co_await turns(2);
    co_await a.write_all("aabbc");
    std::string got;
    for (auto& reader : readers) got += co_await reader + "|";
    CHECK(got == "aa|bb|c|");
    std::vector<JoinHandle<void>> writers;
    for (const char* text : {"11111", "22222", "33333"})
      writers.push_back(spawn([](MemoryStream& stream,
                                 std::string_view bytes) -> Task<void> { co_await stream.write_all(bytes); },
                              std::ref(a), std::string_view(text)));
    got.clear();
    while (got.size() < 15) got += co_await take(b, 3);
    CHECK(got == "111112222233333");
  });
}

TEST_CASE("a read or write_some of a memory stream that is cancelled loses nothing") {
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair(3);
    for (int turn = 1; turn < 5; ++turn) {
      auto reader = spawn(end_of(take(b)));
      co_await turns(turn);
      reader.cancel();
      co_await a.write_all("xyz");
      const std::string ended = co_await reader;
      if (ended == "cancelled") {
        const std::string got = co_await take(b);
        CHECK(got == "xyz");
      } else {  // it was too late to cancel it: it has the bytes
        bool empty = false;
        try {
          co_await timeout(1s, take(b));
        } catch (const TimeoutError&) {
          empty = true;
        }
        CHECK(empty);
      }
    }
    co_await a.write_all("abc");
    auto writer =
        spawn([](MemoryStream& stream) -> Task<void> { co_await stream.write_some("lost"); }, std::ref(a));
    co_await turns(2);
    writer.cancel();
    co_await turns(2);
    CHECK(writer.cancelled());
    a.close();
    const std::string rest = co_await take_all(b, 10);
    CHECK(rest == "abc");
  });
}

TEST_CASE("a memory stream whose peer has closed is read to its end, and can't be written") {
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair();
    co_await a.write_all("last words");
    a.close();
    a.close();
    CHECK_FALSE(a.is_open());
    const std::string got = co_await take_all(b, 4);
    CHECK(got == "last words");
    std::string message;
    std::error_code code = co_await error_of(b.write_all("x"), &message);
    CHECK(code == std::errc::broken_pipe);
    CHECK_THAT(message, Catch::Matchers::StartsWith("write on a memory stream: "));
    code = co_await error_of(a.write_some("x"), &message);
    CHECK(code == std::errc::bad_file_descriptor);
    code = co_await error_of(take(a), &message);
    CHECK(code == std::errc::bad_file_descriptor);
    CHECK_THAT(message, Catch::Matchers::StartsWith("read on a closed descriptor"));
    CHECK_THROWS_AS(a.shutdown_write(), std::system_error);
    a.abort();
    auto result = co_await b.write_some("x").as_result();
    CHECK(result.error() == std::errc::broken_pipe);
  });
}

TEST_CASE("closing a memory stream wakes whoever waits at either end") {
  run_virtual([]() -> Task<void> {
    {
      auto [a, b] = memory_pair(1);
      co_await a.write_all("1");
      co_await b.write_all("2");
      auto writes = spawn(error_of(a.write_all("xx")));
      auto peer_writes = spawn(error_of(b.write_all("yy")));
      co_await turns(2);
      a.close();
      std::error_code code = co_await writes;
      CHECK(code == std::errc::operation_canceled);
      code = co_await peer_writes;
      CHECK(code == std::errc::broken_pipe);
      const std::string got = co_await take_all(b, 8);
      CHECK(got == "1");
    }
    auto [a, b] = memory_pair(1);
    auto reads = spawn(error_of(take_all(a, 8)));
    auto peer_reads = spawn(take_all(b, 8));
    co_await turns(2);
    a.close();
    const std::error_code code = co_await reads;
    CHECK(code == std::errc::operation_canceled);
    const std::string got = co_await peer_reads;
    CHECK(got.empty());
  });
}

TEST_CASE("aborting a memory stream resets its peer, who reads nothing more") {
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair(4);
    co_await a.write_all("gone");
    auto writer = spawn(error_of(b.write_all("too much")));
    co_await turns(2);
    a.abort();
    std::error_code code = co_await writer;
    CHECK(code == std::errc::connection_reset);
    code = co_await error_of(take(b));
    CHECK(code == std::errc::connection_reset);
  });
}

TEST_CASE("a memory pair of no capacity is refused, and empty buffers are done at once") {
  CHECK_THROWS_AS(memory_pair(0), ValueError);
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair(1);
    const std::size_t written = co_await a.write_some("");
    CHECK(written == 0);
    co_await a.write_all("");
    const std::size_t read = co_await b.read_some(std::span<std::byte>());
    CHECK(read == 0);
  });
}

TEST_CASE("a task that reads a memory stream without ever waiting lets the others have their turn") {
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair(10'000);
    co_await a.write_all(std::string(10'000, 'x'));
    int others = 0;
    auto other = spawn(
        [](int& count) -> Task<void> {
          for (;;) {
            ++count;
            co_await yield();
          }
        },
        std::ref(others));
    std::array<std::byte, 1> byte;
    for (int i = 0; i < 10'000; ++i) co_await b.read_some(byte);
    CHECK(others > 50);
    other.cancel();
  });
}

TEST_CASE("memory streams allocate nothing while bytes go to and fro") {
  if (!allocations_are_counted) return;
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair(64);
    auto echo = spawn(
        [](MemoryStream& stream) -> Task<void> {
          std::array<std::byte, 64> buffer;
          while (const std::size_t size = co_await stream.read_some(buffer))
            co_await stream.write_all(std::span<const std::byte>(buffer.data(), size));
        },
        std::ref(b));
    std::array<std::byte, 64> buffer;
    std::uint64_t before = 0;
    for (int i = 0; i < 100; ++i) {
      if (i == 10) before = allocations();
      co_await a.write_all("ping");
      co_await a.read_some(buffer);
    }
    CHECK(allocations() == before);
    a.close();
    co_await echo;
  });
}

TEST_CASE("a memory listener hands out connections in their order, refuses beyond its backlog, and closes") {
  run_virtual([]() -> Task<void> {
    MemoryListener listener(2);
    MemoryStream first = listener.connect();
    MemoryStream second = listener.connect();
    CHECK_THROWS_AS(listener.connect(), std::system_error);
    MemoryStream served = co_await listener.accept();
    co_await first.write_all("1");
    const std::string got = co_await take(served);
    CHECK(got == "1");
    listener.close();
    CHECK_FALSE(listener.is_open());
    const std::string end = co_await take(second);  // nobody had accepted it
    CHECK(end.empty());
    CHECK_THROWS_AS(listener.connect(), std::system_error);
  });
}

TEST_CASE("a memory conversation that is cancelled anywhere leaves nothing behind") {
  long steps = 0;
  const auto scenario = [&]() -> Task<void> {
    auto [a, b] = memory_pair(3);
    co_await gather(send_and_end(a, "hello world", 4), [](MemoryStream& stream, long& count) -> Task<void> {
      std::string got;
      while (got.size() < 11) {
        got += co_await take(stream, 2);
        ++count;
      }
      CHECK(got == "hello world");
    }(b, steps));
  };
  for (const Canceller canceller : {Canceller::CALLBACK, Canceller::EMBEDDER})
    cancel_at_every_suspension({}, canceller, scenario, [&] { return steps; }, [](bool) {});
}

TEST_CASE("AnyStream is whatever stream it was made of") {
  run_here([]() -> Task<void> {
    auto tcp = co_await connect_pair();
    auto pair = memory_pair();
    std::vector<AnyStream> clients;
    clients.emplace_back(std::move(tcp.client));
    clients.emplace_back(std::move(pair.first));
    std::vector<AnyStream> servers;
    servers.emplace_back(std::move(tcp.server));
    servers.emplace_back(std::move(pair.second));
    CHECK(clients[0].get<TcpStream>() != nullptr);
    CHECK(clients[0].get<MemoryStream>() == nullptr);
    for (std::size_t i = 0; i < 2; ++i) {
      co_await clients[i].write_all("hello");
      co_await clients[i].write_some("!");
      co_await clients[i].shutdown_write();
      const std::string got = co_await timeout(5s, take_all(servers[i], 100));
      CHECK(got == "hello!");
      auto waiting = spawn(error_of(take(clients[i])));
      co_await turns(3);
      clients[i].close();
      const std::error_code code = co_await timeout(5s, waiting);
      CHECK(code == std::errc::operation_canceled);
    }
    CHECK_FALSE(AnyStream());
  });
}
