// StreamWriter: what is written leaves whole, in order and once, whoever sends it and whoever is cancelled.
// SPDX-License-Identifier: MIT
#include "../../../io/stream/stream_writer.hpp"

#include <string>
#include <vector>

#include "../../../io/stream/any_stream.hpp"
#include "../../../io/stream/memory_stream.hpp"
#include "../../../runtime/task/finally.hpp"
#include "../../../runtime/task/task_group.hpp"
#include "../../support/allocations.hpp"
#include "../../support/cancel_everywhere.hpp"
#include "../../support/faulty_system.hpp"
#include "../../support/turns.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;

namespace {

template <class Body>
void run_virtual(Body body) {
  LoopOptions options;
  options.virtual_time = true;
  run(body(), options);
}

template <class S>
Task<std::string> take_all(S& stream) {
  std::string all;
  std::string buffer(1000, '\0');
  while (const std::size_t size = co_await stream.read_some(std::span(buffer))) all.append(buffer, 0, size);
  co_return all;
}

template <class S>
Task<std::string> take(S& stream, std::size_t most) {
  std::string buffer(most, '\0');
  buffer.resize(co_await stream.read_some(std::span(buffer)));
  co_return buffer;
}

}  // namespace

ON_SELECTORS("what is written leaves when it is drained, many pieces in one call") {
  FaultySystem system;
  run_on(
      selector,
      [&]() -> Task<void> {
        auto streams = co_await connect_pair();
        StreamWriter writer(streams.client);
        for (int i = 0; i < 100; ++i) writer.write("line " + std::to_string(i) + "\n");
        CHECK(writer.buffered() > 600);
        CHECK(system.made(Call::SENDMSG) == 0);
        co_await writer.drain();
        CHECK(writer.buffered() == 0);
        CHECK(system.made(Call::SENDMSG) == 1);
        co_await writer.close();
        CHECK_FALSE(streams.client.is_open());
        const std::string got = co_await timeout(5s, take_all(streams.server));
        CHECK_THAT(got,
                   Catch::Matchers::StartsWith("line 0\nline 1\n") && Catch::Matchers::EndsWith("line 99\n"));
      },
      &system);
}

ON_SELECTORS(
    "small and large pieces leave whole and in their order, also when the kernel takes few of them") {
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    streams.client.set_send_buffer(2048);
    StreamWriter writer(streams.client);
    std::string expected;
    auto reader = spawn(take_all(streams.server));
    for (std::size_t i = 0; i < 300; ++i) {
      std::string piece = pattern(i * i * i % 20'000, static_cast<unsigned>(i));
      expected += piece;
      if (i % 3 == 0)
        writer.write(std::as_bytes(std::span(piece)));
      else
        writer.write(std::move(piece));
      if (i % 7 == 0) co_await timeout(20s, writer.drain());
    }
    co_await timeout(20s, writer.shutdown_write());
    const std::string got = co_await timeout(20s, reader);
    CHECK((got == expected));
  });
}

TEST_CASE("several large pieces go to a stream that takes them in one call") {
  struct Counting {
    explicit Counting(MemoryStream& its_stream) : stream(its_stream) {}
    auto write_some(std::span<const std::byte> buffer) { return stream.write_some(buffer); }
    auto write_some(std::span<const ConstBuffer> buffers) {
      ++calls;
      return stream.write_some(buffers);
    }
    auto write_all(std::span<const std::byte> buffer) { return stream.write_all(buffer); }
    MemoryStream& stream;
    int calls = 0;
  };
  static_assert(VectoredWriteStream<Counting>);
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair(1'000'000);
    Counting counting(a);
    StreamWriter writer(counting);
    std::string expected;
    for (unsigned i = 0; i < 10; ++i) {
      std::string piece = pattern(5000, i);
      expected += piece;
      writer.write(std::move(piece));
    }
    co_await writer.flush();
    CHECK(counting.calls == 1);
    a.close();
    const std::string got = co_await take_all(b);
    CHECK((got == expected));
  });
}

TEST_CASE("drain waits above the high mark until the low one is reached, flush for everything") {
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair(10);
    StreamWriter writer(a, 20, 5);
    writer.write(std::string(20, 'x'));
    co_await writer.drain();  // not above it
    CHECK(writer.buffered() == 20);
    writer.write("y");
    auto draining = spawn(as_task(writer.drain()));
    co_await turns(3);
    CHECK(writer.buffered() == 11);
    CHECK_FALSE(draining.done());
    co_await take(b, 5);
    co_await turns(3);
    CHECK_FALSE(draining.done());
    co_await take(b, 1);
    co_await draining;
    CHECK(writer.buffered() == 5);
    auto flushing = spawn(as_task(writer.flush()));
    co_await turns(3);
    CHECK_FALSE(flushing.done());
    co_await take(b, 10);
    co_await flushing;
    CHECK(writer.buffered() == 0);
    CHECK_THROWS_AS(writer.set_limits(1, 2), ValueError);
  });
}

TEST_CASE("a drain that is cancelled leaves what was not sent in the writer, and the next one goes on") {
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair(4);
    StreamWriter writer(a);
    writer.write("0123456789");
    std::string got;
    for (int i = 0; i < 2; ++i) {
      const std::string end = co_await end_of(timeout(1s, writer.drain()));
      CHECK_THAT(end, Catch::Matchers::Contains("time"));
      got += co_await take(b, 2);
    }
    CHECK(writer.buffered() == 4);
    auto closing = spawn(writer.close());
    got += co_await take_all(b);
    co_await closing;
    CHECK(got == "0123456789");
  });
}

TEST_CASE("several tasks write and drain at once: who is cancelled while sending is relieved by the next") {
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair(3);
    StreamWriter writer(a);
    std::vector<JoinHandle<void>> tasks;
    const auto writes = [](StreamWriter<MemoryStream>& to, std::string text) -> Task<void> {
      to.write(std::move(text));
      co_await to.drain();
    };
    for (const char* text : {"first ", "second ", "third "})
      tasks.push_back(spawn(writes, std::ref(writer), text));
    co_await turns(3);
    tasks[0].cancel();  // it is the one that sends
    std::string got;
    while (got.size() < 19) got += co_await take(b, 2);
    CHECK(got == "first second third ");
    CHECK(tasks[0].cancelled());
    co_await tasks[1];
    co_await tasks[2];
  });
}

TEST_CASE("pump sends what others only write, until it is cancelled") {
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair(4);
    StreamWriter writer(a);
    std::string got;
    const auto body = [&](TaskGroup& group) -> Task<void> {
      auto pump = group.spawn(writer.pump());
      for (int i = 0; i < 5; ++i) {
        writer.write("piece " + std::to_string(i) + " ");
        got += co_await take(b, 100);
        co_await sleep(1s);
      }
      while (got.size() < 40) got += co_await take(b, 100);
      co_await writer.flush();
      pump.cancel();
    };
    co_await task_group(body);
    CHECK(got == "piece 0 piece 1 piece 2 piece 3 piece 4 ");
  });
}

TEST_CASE("when sending fails the error stays: drain throws it ever after, and what is written is dropped") {
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair(4);
    StreamWriter writer(a);
    writer.write("does not fit");
    auto one = spawn(error_of(writer.drain()));
    auto two = spawn(error_of(writer.flush()));
    co_await turns(3);
    b.close();
    std::error_code code = co_await one;
    CHECK(code == std::errc::broken_pipe);
    code = co_await two;
    CHECK(code == std::errc::broken_pipe);
    CHECK(writer.buffered() == 0);
    writer.write("more");
    CHECK(writer.buffered() == 0);
    code = co_await error_of(writer.drain());
    CHECK(code == std::errc::broken_pipe);
    code = co_await error_of(writer.shutdown_write());
    CHECK(code == std::errc::broken_pipe);
  });
}

TEST_CASE("close throws the error of sending only to who wasn't told, and closes the stream all the same") {
  run_virtual([]() -> Task<void> {
    for (const bool told : {true, false}) {
      auto [a, b] = memory_pair(4);
      StreamWriter writer(a);
      b.close();
      writer.write("x");
      if (told) {
        const std::error_code code = co_await error_of(writer.drain());
        CHECK(code == std::errc::broken_pipe);
      }
      const std::error_code code = co_await error_of(writer.close());
      CHECK((code == std::errc::broken_pipe) == !told);
      CHECK_FALSE(a.is_open());
    }
    // So cleanup after a failure reports nothing twice.
    int reports = 0;
    EventLoop::running().set_report_handler(
        [](EventLoop&, const Report&, void* count) { ++*static_cast<int*>(count); }, &reports);
    auto [a, b] = memory_pair(4);
    StreamWriter writer(a);
    b.close();
    writer.write("x");
    const std::error_code code = co_await error_of(finally(writer.drain(), writer.close()));
    CHECK(code == std::errc::broken_pipe);
    CHECK(reports == 0);
    EventLoop::running().set_report_handler(nullptr);
  });
}

TEST_CASE("a writer works over a stream that takes one buffer at a time") {
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair(7);
    AnyStream any(std::move(a));
    StreamWriter writer(any);
    auto reader = spawn(take_all(b));
    std::string expected;
    for (unsigned i = 0; i < 20; ++i) {
      expected += pattern(1500, i);
      writer.write(pattern(1500, i));
    }
    co_await writer.close();
    const std::string got = co_await reader;
    CHECK((got == expected));
  });
}

TEST_CASE("writing that is cancelled anywhere sends nothing twice and leaves nothing out") {
  long steps = 0;
  std::string got;
  const auto scenario = [&]() -> Task<void> {
    auto [a, b] = memory_pair(5);
    got.clear();
    auto reader = spawn(
        [](MemoryStream& stream, std::string& all, long& count) -> Task<void> {
          std::array<char, 3> buffer;
          while (const std::size_t size = co_await stream.read_some(std::span(buffer))) {
            all.append(buffer.data(), size);
            ++count;
            co_await sleep(100us);
          }
        },
        std::ref(b), std::ref(got), std::ref(steps));
    StreamWriter writer(a);
    writer.write("the quick brown fox ");
    try {
      co_await writer.drain();
    } catch (const Cancelled&) {
    }
    writer.write("jumps over the lazy dog");
    for (bool sent = false; !sent;) {
      try {
        co_await writer.flush();
        sent = true;
      } catch (const Cancelled&) {
      }
    }
    a.close();
    for (bool read = false; !read;) {
      try {
        co_await shield(reader);
        read = true;
      } catch (const Cancelled&) {
      }
    }
    CHECK(got == "the quick brown fox jumps over the lazy dog");
  };
  for (const Canceller canceller : {Canceller::CALLBACK, Canceller::EMBEDDER}) {
    const auto count =
        cancel_at_every_suspension({}, canceller, scenario, [&] { return steps; }, [](bool) {});
    CHECK(count.points > 10);
  }
}

TEST_CASE("writing and draining allocate nothing when the writer is warm") {
  if (!allocations_are_counted) return;
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair();
    StreamWriter writer(a);
    std::array<std::byte, 4096> buffer;
    std::uint64_t before = 0;
    for (int i = 0; i < 1000; ++i) {
      if (i == 100) before = allocations();
      for (int piece = 0; piece < 10; ++piece) writer.write("a piece of an answer");
      co_await writer.drain();
      co_await b.read_some(buffer);
    }
    CHECK(allocations() == before);
  });
}
