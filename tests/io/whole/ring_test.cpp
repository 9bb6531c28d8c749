// A loop on io_uring: what the completions under TCP sockets change, and what they must not change.
// SPDX-License-Identifier: MIT
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../../../io/net/unix.hpp"
#include "../../../io/operation/file_transfer.hpp"
#include "../../../runtime/loop/event_loop.hpp"
#include "../../../selector/mechanisms/make_selector.hpp"
#include "../../../selector/ring/ring.hpp"
#include "../../../selector/ring/wait_coalescing.hpp"
#include "../../support/denied.hpp"
#include "../../support/forked.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

constexpr std::string_view ring = "io_uring";

bool has_ring() {
  const auto names = available_selectors();
  return is_to_be_tested(ring) && std::find(names.begin(), names.end(), ring) != names.end() &&
         detail::ring_is_complete();
}

std::uint64_t enters() { return EventLoop::running().counters().ring_enters; }
System& system_here() { return EventLoop::running().system(); }

// Waits for each of the two ends, so that the ring takes care of both.
template <class Stream>
Task<void> warm(Stream& client, Stream& server) {
  co_await gather(client.write_all("a"), server.write_all("b"));
  co_await gather(read_some(client), read_some(server));
  auto waiting = spawn(read_some(client));
  auto others = spawn(read_some(server));
  co_await sleep(1ms);
  co_await client.write_all("c");
  co_await server.write_all("d");
  co_await waiting;
  co_await others;
}

Task<Streams> warm_pair() {
  Streams streams = co_await connect_pair();
  streams.client.set_nodelay(true);
  streams.server.set_nodelay(true);
  co_await warm(streams.client, streams.server);
  co_return streams;
}

struct UnixStreams {
  UnixStream client;
  UnixStream server;
};

Task<UnixStreams> warm_unix_pair() {
  auto [client, server] = socket_pair();
  co_await warm(client, server);
  co_return UnixStreams{std::move(client), std::move(server)};
}

Task<void> echo(TcpStream stream) {
  std::array<char, 4096> buffer;
  while (const std::size_t size = co_await stream.read_some(std::span(buffer)))
    co_await stream.write_all({buffer.data(), size});
}

// A completion that fails: the one `left` completions from now on.
int left_until_failure = -1;
int failure = 0;
int completions = 0;
void fail_one(unsigned kind, int& result) {
  if (kind == 0 || result < 0) return;
  ++completions;
  if (left_until_failure-- == 0) result = -failure;
}

// Both ends of a session, in one loop; "" when all went well.
Task<std::string> session() {
  const auto one_side = [](TcpStream& stream, const std::string& sent,
                           std::size_t expected) -> Task<std::string> {
    co_await stream.write_all(sent);
    stream.shutdown(Shutdown::WRITE);
    const std::string got = co_await read_all(stream);
    if (got.size() != expected) throw std::system_error(ECONNRESET, std::generic_category(), "too little");
    co_return got;
  };
  std::string failed;
  try {
    Streams streams = co_await connect_pair();
    const std::string question = pattern(30'000, 1), answer = pattern(3'000, 2);
    auto results = co_await gather(one_side(streams.client, question, answer.size()),
                                   one_side(streams.server, answer, question.size()));
    if (std::get<0>(results) != answer || std::get<1>(results) != question)
      failed = "other bytes than were sent";
  } catch (const std::system_error& error) {
    failed = error.what();
  }
  co_return failed;
}

}  // namespace

TEST_CASE(
    "whichever completion of a ring fails, the session ends with an error or well, and the next one works") {
  if (!has_ring()) return;
  detail::alter_completion = &fail_one;
  int failed = 0;
  for (const int error : {ECONNRESET, ENOMEM, EIO}) {
    failure = error;
    for (int nth = 0; nth < 60; ++nth) {
      INFO("completion " << nth << " failing with " << error);
      const std::string first = run_on(ring, [nth]() -> Task<std::string> {
        completions = 0;
        left_until_failure = nth;
        std::string end = co_await timeout(5s, session());
        left_until_failure = -1;
        co_return end;
      });
      CHECK(first != "other bytes than were sent");
      failed += first.empty() ? 0 : 1;
      if (completions < nth) break;
      const std::string next = run_on(ring, &session);
      CHECK(next.empty());
    }
  }
  detail::alter_completion = nullptr;
  CHECK(failed >= 3);
}

TEST_CASE("on a ring a message costs far less than a system call") {
  if (!has_ring()) return;
  run_on(ring, []() -> Task<void> {
    std::vector<TcpStream> clients;
    std::vector<JoinHandle<void>> servers;
    for (int i = 0; i < 50; ++i) {
      Streams streams = co_await connect_pair();
      clients.push_back(std::move(streams.client));
      servers.push_back(spawn(echo(std::move(streams.server))));
    }
    const auto client = [](TcpStream& stream) -> Task<void> {
      for (int i = 0; i < 100; ++i) {
        co_await stream.write_all("sixty-four bytes or so");
        const std::string answer = co_await read_some(stream);
        if (answer != "sixty-four bytes or so") throw std::runtime_error("another answer");
      }
      stream.shutdown(Shutdown::WRITE);
    };
    const std::uint64_t before = enters();
    std::vector<JoinHandle<void>> running;
    for (TcpStream& stream : clients) running.push_back(spawn(client(stream)));
    for (auto& each : running) co_await each;
    for (auto& each : servers) co_await each;
    CHECK(enters() - before < 1'500);  // of 10,000 messages
  });
}

TEST_CASE("many small writes on a ring are one, and come in their order") {
  if (!has_ring()) return;
  static constexpr auto write_words = [](auto streams) -> Task<void> {
    const std::uint64_t before = enters();
    std::string sent;
    for (int i = 0; i < 200; ++i) {
      const std::string word = std::to_string(i) + " ";
      sent += word;
      co_await streams.client.write_all(word);
    }
    streams.client.shutdown(Shutdown::WRITE);
    const std::string got = co_await timeout(5s, read_all(streams.server));
    CHECK(got == sent);
    CHECK(enters() - before < 20);
  };
  run_on(ring, []() -> Task<void> {
    co_await write_words(co_await warm_pair());
    co_await write_words(co_await warm_unix_pair());
  });
}

TEST_CASE("what was written on a ring arrives though the stream is closed, also when the peer is slow") {
  if (!has_ring()) return;
  static constexpr auto write_and_close = [](auto streams) -> Task<void> {
    streams.client.set_send_buffer(8'192);
    streams.server.set_receive_buffer(8'192);
    std::string sent;
    // As much as is taken without waiting.
    for (;;) {
      const std::string piece = pattern(1'000, static_cast<unsigned>(sent.size()));
      const std::size_t taken = streams.client.try_write_some(std::as_bytes(std::span(piece)));
      sent += piece.substr(0, taken);
      if (taken < piece.size()) break;
    }
    CHECK(sent.size() >= 60'000);
    streams.client.close();
    std::string got;
    std::string piece;
    do {
      piece = co_await timeout(5s, read_some(streams.server, 3'000));
      got += piece;
      co_await sleep(100us);
    } while (!piece.empty());
    const bool same = got == sent;
    CHECK(same);
  };
  run_on(ring, []() -> Task<void> {
    co_await write_and_close(co_await warm_pair());
    co_await write_and_close(co_await warm_unix_pair());
  });
}

TEST_CASE("a loop on a ring that ends sends what was written before") {
  if (!has_ring()) return;
  static constexpr auto write_last = [](auto stream) -> Task<void> {
    auto reader = spawn(read_some(stream));
    co_await sleep(1ms);
    co_await stream.write_all("good bye");
    reader.cancel();
  };
  Pair tcp = Pair::tcp();
  run_on(ring, [fd = ::dup(tcp.a.fileno())]() -> Task<void> { co_await write_last(TcpStream{Fd(fd)}); });
  CHECK(tcp.b.read() == "good bye");
  Pair pair = Pair::sockets();
  run_on(ring, [fd = ::dup(pair.a.fileno())]() -> Task<void> { co_await write_last(UnixStream{Fd(fd)}); });
  CHECK(pair.b.read() == "good bye");
}

TEST_CASE("abort() on a ring drops what is queued, and the peer gets a reset") {
  if (!has_ring()) return;
  run_on(ring, []() -> Task<void> {
    auto streams = co_await warm_pair();
    auto reader = spawn(error_of(read_some(streams.server)));
    co_await sleep(1ms);
    co_await streams.client.write_all("never sent");
    streams.client.abort();
    const std::error_code code = co_await timeout(5s, reader);
    CHECK(code == std::errc::connection_reset);
    // A Unix stream knows no reset; what is queued is dropped all the same.
    auto pair = co_await warm_unix_pair();
    co_await pair.client.write_all("never sent");
    pair.client.abort();
    const std::string got = co_await timeout(5s, read_all(pair.server));
    CHECK(got.empty());
  });
}

TEST_CASE("unread bytes on a ring make a reset of a close, as TCP wants it") {
  if (!has_ring()) return;
  run_on(ring, []() -> Task<void> {
    auto streams = co_await warm_pair();
    co_await streams.client.write_all("unread");
    co_await sleep(2ms);
    CHECK(system_here().unread(streams.server.fileno()) == 6);
    streams.server.close();
    const std::error_code code = co_await timeout(5s, error_of(read_some(streams.client)));
    CHECK(code == std::errc::connection_reset);
  });
}

TEST_CASE("what is queued on a ring goes before a file, a spliced pipe and the end of the stream") {
  if (!has_ring()) return;
  static constexpr auto write_all_ways = [](auto streams) -> Task<void> {
    std::FILE* const file = std::tmpfile();
    std::fputs("of a file ", file);
    std::fflush(file);
    Pair pipe = Pair::pipe();
    pipe.b.write("of a pipe ");
    Fd from(::dup(pipe.a.fileno()));
    co_await streams.client.write_all("first ");
    co_await streams.client.send_file(::fileno(file), 0, 10);
    co_await streams.client.write_all("then ");
    co_await splice(from, streams.client.fd(), 10);
    co_await streams.client.write_all("last");
    streams.client.shutdown(Shutdown::WRITE);
    const std::string got = co_await timeout(5s, read_all(streams.server));
    CHECK(got == "first of a file then of a pipe last");
    std::fclose(file);
  };
  run_on(ring, []() -> Task<void> {
    co_await write_all_ways(co_await warm_pair());
    co_await write_all_ways(co_await warm_unix_pair());
  });
}

TEST_CASE("peek and splice on a ring see what it has received") {
  if (!has_ring()) return;
  run_on(ring, []() -> Task<void> {
    auto streams = co_await warm_pair();
    co_await streams.client.write_all("look twice");
    std::array<std::byte, 4> seen;
    co_await streams.server.peek(seen);
    CHECK(std::string_view(reinterpret_cast<const char*>(seen.data()), 4) == "look");
    Pair pipe = Pair::pipe();
    Fd to(::dup(pipe.b.fileno()));
    std::size_t moved = 0;
    while (moved < 10) moved += co_await splice(streams.server.fd(), to, 100);
    CHECK(pipe.a.read() == "look twice");
  });
}

TEST_CASE(
    "a descriptor with unread bytes isn't released until these are taken, and then reads as anybody's") {
  if (!has_ring()) return;
  run_on(ring, []() -> Task<void> {
    auto streams = co_await warm_pair();
    co_await streams.client.write_all("unread");
    co_await sleep(2ms);
    Fd& fd = streams.server.fd();
    CHECK_THAT(thrown<std::logic_error>([&] { fd.release(); }),
               Catch::Matchers::Contains("fd " + std::to_string(fd.fileno())) &&
                   Catch::Matchers::Contains("6 bytes unread"));
    CHECK(fd.is_open());
    std::array<std::byte, 4> part;
    CHECK(fd.take_unread(part) == 4);
    CHECK(fd.take_unread(part) == 2);
    CHECK(fd.take_unread(part) == 0);
    co_await streams.client.write_all(" later");
    co_await sleep(2ms);
    const int number = fd.release();
    char text[16];
    CHECK(::recv(number, text, sizeof text, 0) == 6);
    CHECK(std::string_view(text, 6) == " later");
    ::close(number);
  });
}

TEST_CASE("what comes for a descriptor that was sent on is for whoever has got it") {
  if (!has_ring()) return;
  run_on(ring, []() -> Task<void> {
    auto streams = co_await warm_pair();
    auto [here, there] = socket_pair();
    co_await streams.client.write_all("before");
    co_await sleep(2ms);
    const std::array<int, 1> fds{streams.server.fileno()};
    co_await here.send_with_fds("x", fds);
    co_await streams.client.write_all("after");
    co_await sleep(2ms);
    std::array<std::byte, 4> message;
    std::array<Fd, 1> received;
    co_await there.receive_with_fds(message, received);
    char text[16];
    CHECK(::recv(received[0].fileno(), text, sizeof text, 0) == 5);
    CHECK(std::string_view(text, 5) == "after");
    const std::string kept = co_await read_some(streams.server);
    CHECK(kept == "before");
  });
}

TEST_CASE("a loop moves off a ring with what that has received, and its readers get all of it") {
  if (!has_ring()) return;
  for (const char* const next : {"epoll", "poll", "select"}) {
    INFO(next);
    run_on(ring, [next]() -> Task<void> {
      auto streams = co_await warm_pair();
      co_await streams.client.write_all("before ");
      co_await sleep(2ms);
      EventLoop::running().set_selector(next);
      co_await streams.client.write_all("after");
      streams.client.shutdown(Shutdown::WRITE);
      const std::string got = co_await timeout(5s, read_all(streams.server));
      CHECK(got == "before after");
      auto echoing = spawn(echo(std::move(streams.server)));
      co_await timeout(5s, echoing);
    });
  }
}

TEST_CASE("a stream outlives its loop on a ring with what was received, and goes on in another") {
  if (!has_ring()) return;
  std::optional<TcpStream> kept;
  Pair pair = Pair::tcp();
  run_on(ring, [&kept, fd = ::dup(pair.a.fileno())]() -> Task<void> {
    kept.emplace(Fd(fd));
    auto reader = spawn(read_some(*kept));
    co_await sleep(1ms);
    reader.cancel();
    co_await sleep(1ms);
  });
  for (const std::string_view next : {ring, std::string_view("epoll")}) {
    pair.b.write("more");
    run_on(next, [&kept]() -> Task<void> {
      const std::string got = co_await timeout(5s, read_some(*kept));
      CHECK(got == "more");
    });
  }
}

TEST_CASE("a connection that nobody reads takes 256 KiB of a ring, and all of it comes when it is read") {
  if (!has_ring()) return;
  run_on(ring, []() -> Task<void> {
    auto streams = co_await warm_pair();
    const std::string sent = pattern(8'000'000);
    const auto writes = [&]() -> Task<void> {
      co_await streams.client.write_all(sent);
      streams.client.shutdown(Shutdown::WRITE);
    };
    auto writer = spawn(writes());
    co_await sleep(50ms);
    CHECK(system_here().unread(streams.server.fileno()) <= 300'000);
    const std::string got = co_await timeout(20s, read_all(streams.server));
    const bool same = got == sent;
    CHECK(same);
    co_await writer;
  });
}

TEST_CASE("where those who don't read have all of a ring's buffers, others are served") {
  if (!has_ring()) return;
  run_on(ring, []() -> Task<void> {
    std::vector<Streams> stalled;
    const std::string much = pattern(200'000);
    for (int i = 0; i < 100; ++i) {
      stalled.push_back(co_await warm_pair());
      static_cast<void>(stalled.back().client.try_write_some(std::as_bytes(std::span(much))));
      co_await sleep(100us);
    }
    Streams streams = co_await warm_pair();
    auto server = spawn(echo(std::move(streams.server)));
    for (int i = 0; i < 200; ++i) {
      co_await streams.client.write_all("still here");
      const std::string answer = co_await timeout(5s, read_some(streams.client));
      if (answer != "still here") FAIL("another answer");
    }
    streams.client.shutdown(Shutdown::WRITE);
    co_await server;
    for (Streams& each : stalled) {
      each.client.shutdown(Shutdown::WRITE);
      const std::string got = co_await timeout(5s, read_all(each.server));
      if (!much.starts_with(got) || got.empty()) FAIL("other bytes than were sent");
    }
  });
}

TEST_CASE("a connection that changes between small and large messages loses nothing") {
  if (!has_ring()) return;
  run_on(ring, []() -> Task<void> {
    auto streams = co_await warm_pair();
    auto server = spawn(echo(std::move(streams.server)));
    const auto reads = [](TcpStream& stream, std::size_t size) -> Task<std::string> {
      std::string got;
      while (got.size() < size) got += co_await read_some(stream);
      co_return got;
    };
    unsigned seed = 1;
    for (const std::size_t size : {10U, 100'000U, 20U, 5'000U, 70'000U, 1U})
      for (int i = 0; i < 40; ++i) {
        const std::string message = pattern(size, ++seed);
        auto results =
            co_await timeout(10s, gather(streams.client.write_all(message), reads(streams.client, size)));
        const bool same = std::get<1>(results) == message;
        if (!same) FAIL("other bytes than were sent");
      }
    streams.client.shutdown(Shutdown::WRITE);
    co_await server;
  });
}

TEST_CASE("the child of a fork() closes a ring's streams without a word to the parent's") {
  if (!has_ring()) return;
  run_on(ring, []() -> Task<void> {
    auto streams = co_await warm_pair();
    co_await streams.client.write_all("for the parent");
    co_await sleep(2ms);
    const int status = end_of_child([&] {
      streams.server.close();
      streams.client.close();
      return 0;
    });
    CHECK(status == 0);
    const std::string got = co_await timeout(5s, read_some(streams.server));
    CHECK(got == "for the parent");
    co_await streams.server.write_all("and back");
    const std::string back = co_await timeout(5s, read_some(streams.client));
    CHECK(back == "and back");
  });
}

TEST_CASE("a write error of a ring comes with the next call") {
  if (!has_ring()) return;
  run_on(ring, []() -> Task<void> {
    auto streams = co_await warm_pair();
    streams.server.abort();
    co_await streams.client.write_all("into nothing");  // taken, as nothing is known yet
    co_await sleep(2ms);
    const std::error_code code = co_await error_of(streams.client.write_all("more"));
    CHECK((code == std::errc::broken_pipe || code == std::errc::connection_reset));
  });
}

TEST_CASE("a loop on a ring that a sandbox denies says so, and the default is as before") {
  if (!has_ring()) return;
  const auto ask = [] {
    LoopOptions options;
    options.selector = ring;
    return std::string(EventLoop(options).selector_name());
  };
  CHECK_THAT(where_denied(SYS_io_uring_setup, EPERM, ask),
             Catch::Matchers::StartsWith("io_uring_setup (denied"));
  CHECK(where_denied(SYS_io_uring_setup, EPERM, [] { return std::string(EventLoop().selector_name()); }) ==
        "epoll");
}

TEST_CASE("a loop on a ring can go on in another thread, unless it was made for one") {
  if (!has_ring()) return;
  LoopOptions options;
  options.selector = ring;
  EventLoop loop(options);
  Pair pair = Pair::tcp();
  std::string got;
  const auto body = [&got, fd = ::dup(pair.a.fileno())]() -> Task<void> {
    TcpStream stream{Fd(fd)};
    for (int i = 0; i < 3; ++i) {
      got += co_await read_some(stream);
      co_await stream.write_all("answer");
    }
  };
  JoinHandle<void> handle;
  loop.call_soon([&] { handle = spawn(body()); });
  for (const char* const word : {"one ", "two ", "three"}) {
    std::thread([&] {
      loop.run_once(5ms);  // it waits, and the thread ends meanwhile
      pair.b.write(word);
      const std::size_t size = got.size();
      for (int i = 0; i < 500 && got.size() == size; ++i) loop.run_once(10ms);
      loop.run_once(5ms);
    }).join();
    CHECK(pair.b.read() == "answer");
  }
  loop.run_until_complete(handle.state());
  CHECK(got == "one two three");
  loop.close();

  options.one_thread = true;
  EventLoop own(options);
  std::optional<TcpStream> kept;
  const auto keep = [&kept, fd = ::dup(pair.a.fileno())]() -> Task<void> {
    kept.emplace(Fd(fd));
    const std::string got_first = co_await read_some(*kept);
    CHECK(got_first == "first");
  };
  own.call_soon([&] { handle = spawn(keep()); });
  own.run_once(1ms);
  pair.b.write("first");
  own.run_until_complete(handle.state());
  CHECK_THROWS_AS(own.fileno(), std::logic_error);  // nobody is told of work that it defers
  std::thread([&] {
    CHECK_THROWS_AS(own.run_once(1ms), std::system_error);
    own.close();
  }).join();
  pair.b.write("second");
  run_on(ring, [&kept]() -> Task<void> {
    const std::string got_second = co_await timeout(5s, read_some(*kept));
    CHECK(got_second == "second");
  });
}

namespace {

// It has ended its side, and reads slowly.
template <class Stream>
Task<void> answers_half_closed(Stream& client, Stream& server) {
  const std::string much = pattern(8'000'000);
  client.shutdown(Shutdown::WRITE);
  const std::string end = co_await read_some(server);
  CHECK(end.empty());
  const auto write = [&]() -> Task<void> {
    co_await server.write_all(much);
    server.shutdown(Shutdown::WRITE);
  };
  auto writer = spawn(write());
  co_await sleep(20ms);
  const std::uint64_t before = enters();
  co_await sleep(100ms);
  CHECK(enters() - before < 50);  // it waits
  const std::string got = co_await timeout(20s, read_all(client));
  const bool same = got == much;
  CHECK(same);
  co_await writer;
}

// By the calls of one who has no awaitable write.
template <class Stream>
Task<void> writes_by_hand(Stream& from, Stream& to, std::size_t size) {
  const std::string piece = pattern(size);
  const auto write = [&]() -> Task<void> {
    for (std::size_t sent = 0; sent < 4'000'000;) {
      co_await from.writable();
      sent += from.try_write_some(std::as_bytes(std::span(piece)));
    }
    from.shutdown(Shutdown::WRITE);
  };
  auto writer = spawn(write());
  std::size_t got = 0;
  for (;;) {
    const std::string read = co_await timeout(5s, read_some(to, 50'000));
    if (read.empty()) break;
    got += read.size();
    if (got % 7 == 0) co_await sleep(100us);
  }
  CHECK(got >= 4'000'000);
  co_await writer;
}

}  // namespace

TEST_CASE("on a ring a peer that has ended its side, and reads slowly, costs nothing while it doesn't read") {
  if (!has_ring()) return;
  run_on(ring, []() -> Task<void> {
    auto tcp = co_await warm_pair();
    co_await answers_half_closed(tcp.client, tcp.server);
    auto [here, there] = socket_pair();
    co_await answers_half_closed(here, there);
  });
}

TEST_CASE("on a ring who waits for writable() is told when there is room, however that was used up") {
  if (!has_ring()) return;
  run_on(ring, []() -> Task<void> {
    for (const std::size_t size : {1'000U, 1'024U, 4'096U, 30'000U}) {
      auto tcp = co_await warm_pair();
      co_await writes_by_hand(tcp.client, tcp.server, size);
      auto [here, there] = socket_pair();
      co_await writes_by_hand(here, there, size);
    }
  });
}

TEST_CASE("that a peer reads costs a loop on a ring nothing, unless a write waits for it") {
  if (!has_ring()) return;
  static int polled;
  const auto count = [](unsigned kind, int&) { polled += kind != 0 ? 1 : 0; };
  run_on(ring, [&]() -> Task<void> {
    auto [here, there] = socket_pair();
    for (int i = 0; i < 200; ++i) {
      if (i == 100) {
        polled = 0;
        detail::alter_completion = count;
      }
      for (UnixStream* const from : {&here, &there}) {
        auto reader = spawn(read_some(from == &here ? there : here));
        co_await sleep(100us);
        co_await from->write_all("sixty-four bytes or so");
        co_await reader;
        co_await sleep(100us);
      }
    }
    detail::alter_completion = nullptr;
    CHECK(polled <= 220);  // one for each message

    const std::string much = pattern(3'000'000);
    for (int i = 0; i < 3; ++i) {
      const auto write = [&]() -> Task<void> {
        co_await here.writable();
        co_await here.write_all(much);
      };
      auto writer = spawn(write());
      std::string got;
      while (got.size() < much.size()) got += co_await timeout(5s, read_some(there));
      co_await writer;
      const bool same = got == much;
      CHECK(same);
    }
  });
}

TEST_CASE("a close with bytes unread in the kernel is a reset at once, though something is left to send") {
  if (!has_ring()) return;
  run_on(ring, []() -> Task<void> {
    auto streams = co_await warm_pair();
    // Large messages, until it reads straight from the kernel.
    const std::string large = pattern(100'000);
    for (int i = 0; i < 20; ++i) {
      const auto reads = [&]() -> Task<void> {
        for (std::size_t size = 0; size < large.size();)
          size += (co_await read_some(streams.server, large.size())).size();
      };
      co_await timeout(5s, gather(streams.client.write_all(large), reads()));
    }
    const std::string small = pattern(1'000);
    while (streams.server.try_write_some(std::as_bytes(std::span(small))) == small.size())
      co_await sleep(10us);
    co_await streams.client.write_all("never read");
    co_await sleep(5ms);
    streams.server.close();
    co_await sleep(20ms);  // less than it takes the kernel to ask for room again
    CHECK((kernel_system().poll_now(streams.client.fileno(), POLLIN) & POLLHUP) != 0);
  });
}

TEST_CASE("a ring waits for several messages only where as many come") {
  detail::WaitCoalescing waits;
  std::vector<std::uint16_t> marks(1000);
  for (int i = 0; i < 1000; ++i) {
    waits.completed(marks[0]);
    CHECK(waits.share() == 1);
  }
  for (int i = 0; i < 10'000; ++i) waits.completed(marks[static_cast<std::size_t>(i) % marks.size()]);
  CHECK(waits.share() == 16);
  waits.waited(16, 16);
  CHECK(waits.share() == 16);
  int in_vain = 0;
  for (int i = 0; i < 1000; ++i) {
    const unsigned share = waits.share();
    in_vain += share > 1 ? 1 : 0;
    waits.waited(share, 1);
  }
  CHECK(in_vain < 15);
  // One who stays alone isn't late.
  for (int i = 0; i < 200; ++i) waits.completed(marks[0]);
  CHECK(waits.share() == 1);
  for (int i = 0; i < 200; ++i) waits.completed(marks[static_cast<std::size_t>(i) % 8]);
  CHECK(waits.share() <= 2);
}
