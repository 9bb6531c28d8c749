// StreamReader: lines, separators, exact sizes, limits; nothing is lost when a read is cancelled or fails.
// SPDX-License-Identifier: MIT
#include "../../../io/stream/stream_reader.hpp"

#include <string>
#include <vector>

#include "../../../io/stream/lines.hpp"
#include "../../../io/stream/memory_stream.hpp"
#include "../../support/allocations.hpp"
#include "../../support/cancel_everywhere.hpp"
#include "../../support/faulty_system.hpp"
#include "../../support/turns.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;

static_assert(ReadStream<StreamReader<TcpStream>>);

namespace {

template <class Body>
void run_virtual(Body body) {
  LoopOptions options;
  options.virtual_time = true;
  run(body(), options);
}

Task<void> send(MemoryStream& stream, std::string bytes, std::size_t chunk = 65536, bool end = true) {
  for (std::size_t at = 0; at < bytes.size(); at += chunk)
    co_await stream.write_all(std::string_view(bytes).substr(at, chunk));
  if (end) stream.shutdown_write();
}

template <class S>
Task<std::vector<std::string>> all_lines(StreamReader<S>& reader) {
  std::vector<std::string> lines;
  for (;;) {
    const auto line = co_await reader.read_line();
    if (!line) break;
    lines.emplace_back(*line);
  }
  co_return lines;
}

/// What `awaitable` threw of that type; fails if it didn't.
template <class Error, class A>
Task<Error> thrown_by(A awaitable) {
  try {
    static_cast<void>(co_await std::move(awaitable));
  } catch (const Error& error) {
    co_return error;
  }
  throw std::runtime_error("nothing was thrown");
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("lines are read whatever pieces they come in") {
  for (const std::size_t chunk : {1U, 2U, 3U, 100U})
    run_virtual([&]() -> Task<void> {
      auto [a, b] = memory_pair(7);
      StreamReader reader(b);
      auto results = co_await gather(send(a, "one\ntwo\r\n\n\r\n\rx\ny\r", chunk), all_lines(reader));
      CHECK((std::get<1>(results) == Lines{"one", "two", "", "", "\rx", "y\r"}));
      CHECK(reader.at_end());
      const auto after = co_await reader.read_line();
      CHECK_FALSE(after);
    });
}

ON_SELECTORS("a client that sends one byte at a time is read like any other") {
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    auto slow = spawn(
        [](TcpStream& stream) -> Task<void> {
          for (const char byte : std::string_view("GET / HTTP/1.1\r\nHost: x\r\n\r\n")) {
            co_await stream.write_all(std::string_view(&byte, 1));
            co_await yield();
          }
          stream.shutdown_write();
        },
        std::ref(streams.client));
    StreamReader reader(streams.server);
    const Lines lines = co_await timeout(5s, all_lines(reader));
    CHECK((lines == Lines{"GET / HTTP/1.1", "Host: x", ""}));
    co_await slow;
  });
}

TEST_CASE("read_until yields the separator too, also one that is split between reads") {
  for (const std::size_t chunk : {1U, 2U, 5U, 100U})
    run_virtual([&]() -> Task<void> {
      auto [a, b] = memory_pair();
      auto sender = spawn(send(a, "ab-=-=+cd-=+", chunk));
      StreamReader reader(b);
      std::string got(co_await reader.read_until("-=+"));
      CHECK(got == "ab-=-=+");
      got = co_await reader.read_until("-=+");
      CHECK(got == "cd-=+");
      co_await sender;
      CHECK_THROWS_AS(reader.read_until(""), ValueError);
    });
}

TEST_CASE("what is longer than the limit is a clear error, and can be passed over without a loss") {
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair();
    StreamReader reader(b, 10);
    auto sender = spawn(send(a, "123456789\n1234567890\nafter\n", 4));
    std::string line(*co_await reader.read_line());
    CHECK(line == "123456789");  // with its end just as long as may be
    for (int i = 0; i < 2; ++i) {
      const auto error = co_await thrown_by<LimitOverrunError>(reader.read_line());
      CHECK(error.consumed() == 10);
      CHECK_THAT(error.what(), Catch::Matchers::Contains("the limit is 10"));
      CHECK(reader.buffered().substr(0, 10) == "1234567890");
    }
    // As asyncio's documentation has it.
    std::string skipped(co_await reader.read_exactly(10));
    CHECK(skipped == "1234567890");
    line = *co_await reader.read_line();
    CHECK(line.empty());
    line = *co_await reader.read_line();
    CHECK(line == "after");
    co_await sender;
  });
}

TEST_CASE("a separator beyond the limit is an error, though it has arrived") {
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair();
    StreamReader reader(b, 4);
    co_await a.write_all("abcdefgh;");
    co_await reader.peek(9);  // which grows the buffer beyond the limit
    const auto error = co_await thrown_by<LimitOverrunError>(reader.read_until(";"));
    CHECK(error.consumed() == 8);
    const std::string all(co_await reader.read_exactly(9));
    CHECK(all == "abcdefgh;");
    CHECK_THROWS_AS(StreamReader(b, 0), ValueError);
  });
}

TEST_CASE("a stream that ends too early is an error that holds what had come") {
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair();
    StreamReader reader(b);
    co_await send(a, "abc");
    auto error = co_await thrown_by<IncompleteReadError>(reader.peek(5));
    CHECK(error.partial() == "abc");
    error = co_await thrown_by<IncompleteReadError>(reader.read_exactly(5));
    CHECK(error.partial() == "abc");
    CHECK(error.expected() == 5);
    CHECK(std::string(error.what()) == "the stream ended after 3 of 5 bytes");
    CHECK(reader.at_end());
    error = co_await thrown_by<IncompleteReadError>(reader.read_until("x"));
    CHECK(error.partial().empty());
    std::array<std::byte, 2> bytes;
    error = co_await thrown_by<IncompleteReadError>(reader.read_exactly(bytes));
    CHECK(error.partial().empty());

    auto [c, d] = memory_pair();
    StreamReader second(d);
    co_await send(c, "no separator");
    error = co_await thrown_by<IncompleteReadError>(second.read_until(";"));
    CHECK(error.partial() == "no separator");
    CHECK_THAT(error.what(), Catch::Matchers::EndsWith("before the separator"));
  });
}

TEST_CASE("read yields what is there, read_exactly what is asked for, and none of them mixes up the bytes") {
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair(1000);
    const std::string bytes = pattern(200'000);
    auto sender = spawn(send(a, bytes, 777));
    StreamReader reader(b, 64);
    std::string got;
    for (std::size_t n = 1; !reader.at_end() && got.size() < bytes.size(); ++n) {
      const std::size_t left = bytes.size() - got.size();
      if (n % 3 == 0) {
        got += co_await reader.read(n % 100 + 1);
      } else if (n % 3 == 1) {
        got += co_await reader.read_exactly(std::min(left, n * 7 % 5000));
      } else {
        std::string piece(std::min<std::size_t>(left, n * 13 % 3000), '\0');
        if (n % 2 == 0)
          piece.resize(co_await reader.read_some(std::span(piece)));
        else
          co_await reader.read_exactly(std::as_writable_bytes(std::span(piece)));
        got += piece;
      }
    }
    CHECK((got == bytes));
    const std::string_view end = co_await reader.read(10);
    CHECK(end.empty());
    co_await sender;
  });
}

TEST_CASE("read_all yields the rest of the stream, unless that is too long") {
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair(100);
    const std::string bytes = pattern(20'000);
    auto sender = spawn(send(a, bytes, 333));
    StreamReader reader(b, 10);
    const auto error = co_await thrown_by<LimitOverrunError>(reader.read_all(5000));
    CHECK(error.consumed() == 5000);
    const std::string_view all = co_await reader.read_all(20'000);
    CHECK((all == bytes));
    CHECK(reader.at_end());
    co_await sender;
  });
}

TEST_CASE("a parser looks at what is buffered, waits for more and takes what it has understood") {
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair();
    StreamReader reader(b, 8);
    co_await a.write_all("ab");
    bool more = co_await reader.fill();
    CHECK(more);
    CHECK(reader.buffered() == "ab");
    CHECK(reader.consume(1) == "a");
    CHECK_THROWS_AS(reader.consume(2), ValueError);
    co_await a.write_all("cdefghijk");
    while (reader.buffered().size() < 8) co_await reader.fill();
    co_await thrown_by<LimitOverrunError>(reader.fill());
    reader.consume(8);
    a.close();
    while (co_await reader.fill()) {
    }
    CHECK(reader.buffered() == "jk");
    more = co_await reader.fill();
    CHECK_FALSE(more);
  });
}

TEST_CASE("a read that is cancelled keeps what had arrived") {
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair();
    StreamReader reader(b);
    std::array<char, 6> array;
    std::vector<Task<std::string>> waits;
    waits.push_back(end_of(timeout(1s, reader.read_line())));
    waits.push_back(end_of(timeout(1s, reader.read_until(";"))));
    waits.push_back(end_of(timeout(1s, reader.read_exactly(100))));
    waits.push_back(end_of(timeout(1s, reader.read_exactly(std::as_writable_bytes(std::span(array))))));
    waits.push_back(end_of(timeout(1s, reader.peek(100))));
    waits.push_back(end_of(timeout(1s, reader.read_all(100))));
    std::string expected;
    for (auto& wait : waits) {
      auto waiting = spawn(std::move(wait));
      co_await turns(2);
      co_await a.write_all("x");
      expected += "x";
      const std::string end = co_await waiting;
      CHECK_THAT(end, Catch::Matchers::Contains("time"));
      CHECK(reader.buffered() == expected);
    }
    co_await a.write_all("\n");
    const std::string line(*co_await reader.read_line());
    CHECK(line == expected);
  });
}

TEST_CASE("lines that are read while being cancelled again and again arrive whole and once") {
  long pieces = 0;
  const auto scenario = [&]() -> Task<void> {
    auto [a, b] = memory_pair(5);
    StreamReader reader(b);
    auto sender = spawn(
        [](MemoryStream& stream, long& count) -> Task<void> {
          std::string_view text = "first line\nsecond\nthird\n1234567890";
          for (; !text.empty(); text.remove_prefix(std::min<std::size_t>(3, text.size()))) {
            ++count;
            co_await stream.write_all(text.substr(0, 3));
            co_await sleep(100us);
          }
        },
        std::ref(a), std::ref(pieces));
    std::string got;
    // Whoever cancels this interrupts one of the reads; the next goes on where it was.
    for (int line = 0; line < 3;) {
      try {
        got += *co_await reader.read_line();
        ++line;
      } catch (const Cancelled&) {
      }
    }
    bool done = false;
    while (!done) {
      try {
        std::array<std::byte, 10> bytes;
        co_await reader.read_exactly(bytes);
        got.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        done = true;
      } catch (const Cancelled&) {
      }
    }
    CHECK(got == "first linesecondthird1234567890");
    try {
      co_await sender;
    } catch (const Cancelled&) {
    }
  };
  for (const Canceller canceller : {Canceller::CALLBACK, Canceller::EMBEDDER}) {
    const auto count =
        cancel_at_every_suspension({}, canceller, scenario, [&] { return pieces; }, [](bool) {});
    CHECK(count.points > 10);
  }
}

ON_SELECTORS("an error of the stream comes out of the read, and what had arrived is still there") {
  FaultySystem system;
  run_on(
      selector,
      [&]() -> Task<void> {
        auto streams = co_await connect_pair();
        StreamReader reader(streams.server);
        co_await streams.client.write_all("half a li");
        const bool more = co_await reader.fill();
        CHECK(more);
        system.fail(Call::RECV, 0, ECONNRESET);
        auto reading = spawn(error_of(reader.read_line()));
        co_await turns(3);
        co_await streams.client.write_all("ne\n");
        const std::error_code code = co_await timeout(5s, reading);
        CHECK(code == std::errc::connection_reset);
        CHECK(reader.buffered() == "half a li");
        const std::string line(*co_await timeout(5s, reader.read_line()));
        CHECK(line == "half a line");
      },
      &system);
}

TEST_CASE("a second task that reads while one waits is told so") {
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair();
    StreamReader reader(b);
    auto first = spawn(end_of(reader.read_line()));
    co_await turns(2);
    co_await thrown_by<std::logic_error>(reader.read_line());
    co_await thrown_by<std::logic_error>(reader.read(1));
    co_await thrown_by<std::logic_error>(reader.fill());
    co_await a.write_all("x\n");
    const std::string end = co_await first;
    CHECK(end == "done");
  });
}

TEST_CASE("lines that are buffered already are read without starving the others") {
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair(100'000);
    std::string text;
    for (int i = 0; i < 10'000; ++i) text += "x\n";
    co_await a.write_all(text);
    int others = 0;
    auto other = spawn(
        [](int& count) -> Task<void> {
          for (;;) {
            ++count;
            co_await yield();
          }
        },
        std::ref(others));
    StreamReader reader(b);
    for (int i = 0; i < 10'000; ++i) {
      const auto line = co_await reader.read_line();
      if (!line || *line != "x") FAIL("a line is wrong");
    }
    CHECK(others > 50);
    other.cancel();
  });
}

TEST_CASE("a line costs no allocation when the reader is warm") {
  if (!allocations_are_counted) return;
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair();
    StreamReader reader(b);
    std::uint64_t before = 0;
    std::size_t size = 0;
    for (int i = 0; i < 2000; ++i) {
      if (i == 100) before = allocations();
      co_await a.write_all("one line\nanother li");
      size += (*co_await reader.read_line()).size();
      auto waiting =
          spawn([](MemoryStream& stream) -> Task<void> { co_await stream.write_all("ne\n"); }, std::ref(a));
      size += (*co_await reader.read_line()).size();
    }
    CHECK(size == 2000 * 20);
    CHECK(allocations() == before);
  });
}

TEST_CASE("lines and frames come one after the other out of a generator") {
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair();
    StreamReader reader(b, 8);
    StreamWriter writer(a);
    writer.write("one\ntwo\n");
    for (const char* frame : {"three", "", "four"}) write_frame(writer, frame, FrameFormat(1));
    writer.write("much too long\n");
    co_await writer.close();
    Lines got;
    {
      auto some = lines(reader);
      for (int i = 0; i < 2; ++i) {
        const auto line = co_await some.next();
        got.emplace_back(*line);
      }
    }
    // The reader has lost nothing by that.
    {
      auto some = frames(reader, FrameFormat(1));
      for (int i = 0; i < 3; ++i) {
        const auto frame = co_await some.next();
        got.emplace_back(*frame);
      }
    }
    CHECK((got == Lines{"one", "two", "three", "", "four"}));
    auto rest = lines(reader);
    co_await thrown_by<LimitOverrunError>(rest.next());
    const auto ended = co_await rest.next();
    CHECK_FALSE(ended);
    StreamReader second(reader, 100);  // a reader is a stream itself
    auto whole = lines(second);
    const auto line = co_await whole.next();
    CHECK(*line == "much too long");
    const auto end = co_await whole.next();
    CHECK_FALSE(end);
  });
}
