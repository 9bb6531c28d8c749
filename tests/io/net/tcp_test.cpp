// TcpStream: bytes there and back, ends, resets, buffers, options, addresses.
// SPDX-License-Identifier: MIT
#include "../../../io/net/tcp.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <string>
#include <vector>

#include "../../../io/address/resolver.hpp"
#include "../../../runtime/task/task_group.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

Task<void> echo(TcpStream stream, std::size_t chunk) {
  std::string buffer(chunk, '\0');
  while (const std::size_t size = co_await stream.read_some(std::span(buffer)))
    co_await stream.write_all(std::string_view(buffer).substr(0, size));
}

Task<void> send_and_end(TcpStream& stream, std::string_view bytes, std::size_t chunk) {
  for (std::size_t at = 0; at < bytes.size(); at += chunk) co_await stream.write_all(bytes.substr(at, chunk));
  stream.shutdown(Shutdown::WRITE);
}

Task<void> write(TcpStream& stream, std::string_view bytes) { co_await stream.write_all(bytes); }

}  // namespace

ON_SELECTORS("megabytes come back as they were, whatever the chunks") {
  run_on(selector, []() -> Task<void> {
    const std::string sent = pattern(3'000'017);
    for (const auto& [write_chunk, read_chunk, echo_chunk] :
         {std::array<std::size_t, 3>{1'000'003, 65'536, 4'097},
          std::array<std::size_t, 3>{4'099, 777, 65'537},
          std::array<std::size_t, 3>{3'000'017, 200'000, 1'500'000}}) {
      auto streams = co_await connect_pair();
      auto server = spawn(echo(std::move(streams.server), echo_chunk));
      auto results = co_await gather(send_and_end(streams.client, sent, write_chunk),
                                     read_all(streams.client, read_chunk));
      const bool same = std::get<1>(results) == sent;
      CHECK(same);
      co_await server;
    }
  });
}

ON_SELECTORS("single bytes in both directions at once") {
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    auto server = spawn(echo(std::move(streams.server), 1));
    const std::string sent = pattern(500);
    auto results = co_await gather(send_and_end(streams.client, sent, 1), read_all(streams.client, 1));
    CHECK(std::get<1>(results) == sent);
  });
}

ON_SELECTORS("a client that ends its side still gets the answer") {
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    auto answers = [](TcpStream stream) -> Task<void> {
      const std::string question = co_await read_all(stream);
      co_await stream.write_all("you said " + question);
    };
    auto server = spawn(answers(std::move(streams.server)));
    co_await streams.client.write_all("hello");
    streams.client.shutdown(Shutdown::WRITE);
    const std::string answer = co_await timeout(5s, read_all(streams.client));
    CHECK(answer == "you said hello");
    const std::error_code code = co_await error_of(streams.client.write_all("more"));
    CHECK(code == std::errc::broken_pipe);
  });
}

ON_SELECTORS("the end is read again and again") {
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    streams.server.close();
    for (int i = 0; i < 3; ++i) {
      const std::string rest = co_await timeout(5s, read_some(streams.client));
      CHECK(rest.empty());
    }
  });
}

ON_SELECTORS("an end that arrived together with data is read after the data") {
  run_on(selector, []() -> Task<void> {
    HalfPair half = stream_and_peer();
    // First a wait, so that the descriptor is registered and its events are known.
    half.peer.write("a");
    std::string got = co_await timeout(5s, read_some(half.stream));
    CHECK(got == "a");
    auto reader = spawn(read_all(half.stream));
    co_await yield();
    half.peer.write("bcd");
    half.peer.close();
    got = co_await timeout(5s, reader);
    CHECK(got == "bcd");
  });
}

ON_SELECTORS("an end that arrived while nobody read is read after the data, in pieces too") {
  run_on(selector, []() -> Task<void> {
    HalfPair half = stream_and_peer();
    half.peer.write("a");
    std::string got = co_await timeout(5s, read_some(half.stream));
    auto waiting = spawn(read_some(half.stream));
    co_await yield();
    half.peer.write("b");
    got = co_await timeout(5s, waiting);
    half.peer.write("cdef");
    half.peer.close();
    co_await sleep(2ms);
    std::string all;
    for (std::string piece = "-"; !piece.empty(); all += piece)
      piece = co_await timeout(5s, read_some(half.stream, 2));
    CHECK(all == "cdef");
  });
}

ON_SELECTORS("urgent data in the stream holds nothing up") {
  run_on(selector, []() -> Task<void> {
    HalfPair half = stream_and_peer();
    half.peer.write("a");
    std::string got = co_await timeout(5s, read_some(half.stream));
    // A read stops at the urgent byte's place, though there is more behind it.
    auto reader = spawn(read_some(half.stream));
    co_await yield();
    half.peer.write("bc");
    must(static_cast<int>(::send(half.peer.fileno(), "!", 1, MSG_OOB)));
    half.peer.write("de");
    got = co_await timeout(5s, reader);
    CHECK(got.substr(0, 1) == "b");
    bool expired = false;
    try {
      while (got.find("de") == std::string::npos) got += co_await timeout(2s, read_some(half.stream));
    } catch (const TimeoutError&) {
      expired = true;
    }
    CHECK_FALSE(expired);
    CHECK(got == "bcde");
  });
}

ON_SELECTORS("a reset by the peer is ECONNRESET for the reader") {
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    auto reader = spawn(error_of(read_some(streams.client)));
    co_await sleep(1ms);
    streams.server.abort();
    const std::error_code code = co_await timeout(5s, reader);
    CHECK(code == std::errc::connection_reset);
    std::string message;
    const std::error_code again = co_await error_of(streams.client.write_all("x"), &message);
    CHECK(again == std::errc::broken_pipe);
    CHECK_THAT(message, Catch::Matchers::StartsWith("send on fd " + std::to_string(streams.client.fileno())));
  });
}

ON_SELECTORS("a reset by the peer ends a blocked writer, and SIGPIPE never comes") {
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    const std::string much(8'000'000, 'x');
    auto writer = spawn(error_of(streams.client.write_all(much)));
    co_await sleep(2ms);
    CHECK_FALSE(writer.done());
    streams.server.abort();
    const std::error_code code = co_await timeout(5s, writer);
    CHECK((code == std::errc::connection_reset || code == std::errc::broken_pipe));
    for (int i = 0; i < 3; ++i) {
      const std::error_code again = co_await error_of(streams.client.write_some("x"));
      CHECK(again == std::errc::broken_pipe);
    }
  });
}

ON_SELECTORS("write_all of more than the buffers hold waits for a slow reader") {
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    const std::string sent = pattern(9'000'000);
    auto writer = spawn(send_and_end(streams.client, sent, sent.size()));
    std::string got;
    int reads = 0;
    for (std::string piece = "-"; !piece.empty(); got += piece) {
      if (++reads < 20) co_await sleep(200us);
      piece = co_await timeout(5s, read_some(streams.server, 100'003));
    }
    const bool same = got == sent;
    CHECK(same);
    co_await writer;
  });
}

ON_SELECTORS("concurrent write_alls on one stream don't mix their bytes, and go in order") {
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    streams.client.set_send_buffer(8192);
    std::vector<std::string> parts;
    std::string expected;
    for (char letter = 'a'; letter <= 'h'; ++letter) {
      parts.emplace_back(60'000, letter);
      expected += parts.back();
    }
    std::vector<Task<void>> writers;
    for (const std::string& part : parts) writers.push_back(write(streams.client, part));
    auto all = spawn(gather(std::move(writers)));
    std::string got;
    while (got.size() < expected.size()) got += co_await timeout(5s, read_some(streams.server, 9'001));
    const bool same = got == expected;
    CHECK(same);
    co_await all;
  });
}

ON_SELECTORS("several readers of one stream get its bytes in the order in which they asked") {
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    std::vector<JoinHandle<std::string>> readers;
    for (int i = 0; i < 3; ++i) readers.push_back(spawn(read_some(streams.client, 2)));
    co_await yield();
    co_await streams.server.write_all("aabbcc");
    std::string got;
    for (auto& reader : readers) got += co_await timeout(5s, reader) + "|";
    CHECK(got == "aa|bb|cc|");
  });
}

ON_SELECTORS("one task reads while another writes on the same stream") {
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    const std::string there = pattern(400'000, 1);
    const std::string back = pattern(400'000, 2);
    auto results = co_await gather(send_and_end(streams.client, there, 50'000), read_all(streams.client),
                                   send_and_end(streams.server, back, 60'000), read_all(streams.server));
    const bool same = std::get<1>(results) == back && std::get<3>(results) == there;
    CHECK(same);
  });
}

ON_SELECTORS("an empty buffer reads and writes nothing, at once") {
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    const std::span<std::byte> nothing;
    const std::size_t read = co_await timeout(5s, streams.client.read_some(nothing));
    CHECK(read == 0);
    const std::size_t written = co_await timeout(5s, streams.client.write_some(std::string_view()));
    CHECK(written == 0);
    co_await timeout(5s, streams.client.write_all(std::string_view()));
    co_await streams.server.write_all("x");
    const std::string got = co_await timeout(5s, read_some(streams.client));
    CHECK(got == "x");
  });
}

ON_SELECTORS("write_some takes what there is room for") {
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    const std::string much(20'000'000, 'x');
    const std::size_t written = co_await streams.client.write_some(much);
    CHECK(written > 0);
    CHECK(written < much.size());
    // When there is no more room the next one waits.
    bool expired = false;
    for (int i = 0; i < 1000 && !expired; ++i) {
      try {
        co_await timeout(2ms, streams.client.write_some(much));
      } catch (const TimeoutError&) {
        expired = true;
      }
    }
    CHECK(expired);
  });
}

ON_SELECTORS("a read that is cancelled loses nothing") {
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    auto reader = spawn(read_some(streams.client));
    co_await yield();
    reader.cancel();
    co_await streams.server.write_all("kept");
    const std::string got = co_await timeout(5s, read_some(streams.client));
    CHECK(got == "kept");
    CHECK(reader.cancelled());
    for (int i = 0; i < 20; ++i) {
      bool expired = false;
      try {
        co_await timeout(std::chrono::microseconds(10 * i), read_some(streams.client));
      } catch (const TimeoutError&) {
        expired = true;
      }
      CHECK(expired);
    }
    co_await streams.server.write_all("too");
    const std::string more = co_await timeout(5s, read_some(streams.client));
    CHECK(more == "too");
  });
}

ON_SELECTORS("the addresses of both ends agree") {
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    CHECK(streams.client.local_address() == streams.server.peer_address());
    CHECK(streams.client.peer_address() == streams.server.local_address());
    CHECK(streams.client.peer_address().host() == "127.0.0.1");
    CHECK(streams.client.peer_address().port() != 0);
  });
}

TEST_CASE("options are set as they are named") {
  run_here([]() -> Task<void> {
    auto streams = co_await connect_pair();
    TcpStream& stream = streams.client;
    CHECK(stream.option(IPPROTO_TCP, TCP_NODELAY) == 0);
    stream.set_nodelay(true);
    CHECK(stream.option(IPPROTO_TCP, TCP_NODELAY) == 1);
    stream.set_keepalive(true, 30s, 7s);
    CHECK(stream.option(SOL_SOCKET, SO_KEEPALIVE) == 1);
    CHECK(stream.option(IPPROTO_TCP, TCP_KEEPIDLE) == 30);
    CHECK(stream.option(IPPROTO_TCP, TCP_KEEPINTVL) == 7);
    stream.set_keepalive(false);
    CHECK(stream.option(SOL_SOCKET, SO_KEEPALIVE) == 0);
    stream.set_send_buffer(16'384);
    CHECK(stream.option(SOL_SOCKET, SO_SNDBUF) == 32'768);
    stream.set_receive_buffer(16'384);
    CHECK(stream.option(SOL_SOCKET, SO_RCVBUF) == 32'768);
    stream.set_linger(5s);
    linger value{};
    socklen_t length = sizeof value;
    must(::getsockopt(stream.fileno(), SOL_SOCKET, SO_LINGER, &value, &length));
    CHECK(value.l_onoff == 1);
    CHECK(value.l_linger == 5);
    stream.set_linger(std::nullopt);
    must(::getsockopt(stream.fileno(), SOL_SOCKET, SO_LINGER, &value, &length));
    CHECK(value.l_onoff == 0);
    CHECK_THROWS_AS(stream.set_option(SOL_SOCKET, 99'999, 1), std::system_error);
  });
}

TEST_CASE("sockets are closed in child processes and never block") {
  run_here([]() -> Task<void> {
    auto streams = co_await connect_pair();
    for (const int fd : {streams.client.fileno(), streams.server.fileno()}) {
      CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
      CHECK((::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    }
  });
}

ON_SELECTORS("a refused connection names the address, and leaves no descriptor") {
  run_on(selector, []() -> Task<void> {
    Address nobody;
    {
      const auto listener = TcpListener::bind(any_port());
      nobody = listener.local_address();
    }
    const int before = open_descriptors();
    std::string message;
    const std::error_code code = co_await error_of(TcpStream::connect(nobody), &message);
    CHECK(code == std::errc::connection_refused);
    CHECK_THAT(message, Catch::Matchers::StartsWith("connect to " + to_string(nobody) + ": "));
    CHECK(open_descriptors() <= before);
    const std::error_code none = co_await error_of(TcpStream::connect(Address()));
    CHECK(none.value() != 0);
  });
}

ON_SELECTORS("a connect that is cancelled closes its socket") {
  run_on(selector, []() -> Task<void> {
    // A backlog that is full keeps the next ones waiting.
    ListenOptions options;
    options.backlog = 0;
    const auto listener = TcpListener::bind(any_port(), options);
    std::vector<TcpStream> connected;
    bool expired = false;
    int before = 0;
    for (int i = 0; i < 8 && !expired; ++i) {
      before = open_descriptors();
      try {
        connected.push_back(co_await timeout(20ms, TcpStream::connect(listener.local_address())));
      } catch (const TimeoutError&) {
        expired = true;
      }
    }
    CHECK(expired);
    CHECK(open_descriptors() <= before);
  });
}

ON_SELECTORS("connecting by name and by number finds the server") {
  run_on(selector, []() -> Task<void> {
    auto listener = TcpListener::bind(any_port());
    const std::uint16_t port = listener.local_address().port();
    for (const std::string host : {"localhost", "127.0.0.1"}) {
      auto ends = co_await gather(TcpStream::connect(host, port), accept_one(listener));
      CHECK(std::get<0>(ends).peer_address() == listener.local_address());
    }
  });
}

TEST_CASE("connecting by name tries every address and tells what the last one failed with") {
  run_here([]() -> Task<void> {
    std::uint16_t port = 0;
    {
      const auto listener = TcpListener::bind(any_port());
      port = listener.local_address().port();
    }
    std::string message;
    const std::error_code code = co_await error_of(TcpStream::connect("localhost", port), &message);
    CHECK(code == std::errc::connection_refused);
    CHECK_THAT(message, Catch::Matchers::Contains(":" + std::to_string(port)));
  });
}

ON_SELECTORS("IPv6 works like IPv4") {
  run_on(selector, []() -> Task<void> {
    std::optional<TcpListener> listener;
    try {
      listener.emplace(TcpListener::bind(Address("::1", 0)));
    } catch (const std::system_error&) {
      WARN("no IPv6 here");
      co_return;
    }
    auto ends = co_await gather(TcpStream::connect(listener->local_address()), accept_one(*listener));
    co_await std::get<0>(ends).write_all("six");
    const std::string got = co_await timeout(5s, read_some(std::get<1>(ends)));
    CHECK(got == "six");
  });
}

TEST_CASE("operations on a closed stream are EBADF and say which") {
  run_here([]() -> Task<void> {
    auto streams = co_await connect_pair();
    TcpStream& stream = streams.client;
    stream.close();
    stream.close();
    CHECK_FALSE(stream.is_open());
    CHECK(stream.fileno() == -1);
    std::array<char, 4> buffer;
    // Each in a coroutine, because some say so when they are made and some when they are awaited.
    struct Use {
      static Task<void> reads(TcpStream& it, std::span<char> into) { co_await it.read_some(into); }
      static Task<void> writes_some(TcpStream& it) { co_await it.write_some("x"); }
      static Task<void> writes_all(TcpStream& it) { co_await it.write_all("x"); }
      static Task<void> waits_read(TcpStream& it) { co_await it.readable(); }
      static Task<void> waits_write(TcpStream& it) { co_await it.writable(); }
      static Task<void> shuts_down(TcpStream& it) {
        it.shutdown(Shutdown::BOTH);
        co_return;
      }
      static Task<void> asks(TcpStream& it) {
        static_cast<void>(it.local_address());
        co_return;
      }
      static Task<void> sets(TcpStream& it) {
        it.set_nodelay(true);
        co_return;
      }
    };
    std::vector<std::pair<std::string, Task<void>>> uses;
    uses.emplace_back("recv on a closed", Use::reads(stream, buffer));
    uses.emplace_back("send on a closed", Use::writes_some(stream));
    uses.emplace_back("send on a closed", Use::writes_all(stream));
    uses.emplace_back("readable on a closed", Use::waits_read(stream));
    uses.emplace_back("writable on a closed", Use::waits_write(stream));
    uses.emplace_back("shutdown on a closed", Use::shuts_down(stream));
    uses.emplace_back("getsockname on a closed", Use::asks(stream));
    uses.emplace_back("setsockopt on a closed", Use::sets(stream));
    for (auto& [text, use] : uses) {
      std::string message;
      const std::error_code code = co_await error_of(std::move(use), &message);
      CHECK(code == std::errc::bad_file_descriptor);
      CHECK_THAT(message, Catch::Matchers::StartsWith(text));
    }
    stream.abort();
  });
}

ON_SELECTORS("closing a stream wakes whoever waits on it, with ECANCELED") {
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    const std::string much(8'000'000, 'x');
    std::vector<JoinHandle<std::error_code>> waiters;
    waiters.push_back(spawn(error_of(read_some(streams.client))));
    waiters.push_back(spawn(error_of(read_some(streams.client))));
    waiters.push_back(spawn(error_of(streams.client.readable())));
    waiters.push_back(spawn(error_of(streams.client.write_all(much))));
    waiters.push_back(spawn(error_of(streams.client.writable())));
    co_await sleep(2ms);
    for (const auto& waiter : waiters) CHECK_FALSE(waiter.done());
    Pair other = Pair::sockets();
    const int fd = streams.client.fileno();
    streams.client.close();
    // The number belongs to somebody else by the time they have their turn.
    REQUIRE(::dup2(other.a.fileno(), fd) == fd);
    other.a = File(fd);
    other.a.write("not theirs");
    other.b.write("not theirs");
    for (auto& waiter : waiters) {
      const std::error_code code = co_await timeout(5s, waiter);
      CHECK(code == std::errc::operation_canceled);
    }
    CHECK(other.a.read() == "not theirs");
    CHECK(other.b.read() == "not theirs");
  });
}

ON_SELECTORS("a stream that is closed by an event of the same turn is never touched again") {
  run_on(selector, []() -> Task<void> {
    // Both become ready at once, and the first to run closes the other.
    auto a = co_await connect_pair();
    auto b = co_await connect_pair();
    int closed = 0;
    auto reads = [](TcpStream& mine, TcpStream& other, int& count) -> Task<void> {
      std::string got;
      const std::error_code code = co_await error_of(read_some(mine));
      if (code == std::errc::operation_canceled) ++count;
      other.close();
    };
    auto first = spawn(reads(a.client, b.client, closed));
    auto second = spawn(reads(b.client, a.client, closed));
    co_await yield();
    co_await a.server.write_all("x");
    co_await b.server.write_all("x");
    co_await timeout(5s, first);
    co_await timeout(5s, second);
    CHECK(closed == 1);
  });
}

ON_SELECTORS("a stream may be moved while nobody waits on it") {
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    co_await streams.server.write_all("a");
    std::string got = co_await timeout(5s, read_some(streams.client));
    auto waiting = spawn(read_some(streams.client));
    co_await yield();
    waiting.cancel();
    co_await yield();
    TcpStream moved = std::move(streams.client);
    CHECK_FALSE(streams.client.is_open());
    co_await streams.server.write_all("b");
    got = co_await timeout(5s, read_some(moved));
    CHECK(got == "b");
    TcpStream assigned;
    assigned = std::move(moved);
    co_await assigned.write_all("c");
    got = co_await timeout(5s, read_some(streams.server));
    CHECK(got == "c");
    // What was there before is closed.
    auto others = co_await connect_pair();
    assigned = std::move(others.client);
    got = co_await timeout(5s, read_some(streams.server));
    CHECK(got.empty());
  });
}

ON_SELECTORS("a stream may outlive its loop, and is closed then") {
  TcpStream kept;
  TcpStream peer;
  const int before = open_descriptors();
  run_on(selector, [&]() -> Task<void> {
    auto streams = co_await connect_pair();
    kept = std::move(streams.client);
    peer = std::move(streams.server);
    // It has been waited for, so the loop knows it.
    bool expired = false;
    try {
      co_await timeout(1ms, read_some(kept));
    } catch (const TimeoutError&) {
      expired = true;
    }
    CHECK(expired);
  });
  CHECK(kept.is_open());
  kept.close();
  peer.close();
  CHECK(open_descriptors() <= before);
}

ON_SELECTORS("a stream may be used on the next loop when its first one has closed") {
  Streams kept;
  run_on(selector, [&]() -> Task<void> {
    kept = co_await connect_pair();
    bool expired = false;
    try {
      co_await timeout(1ms, read_some(kept.client));
    } catch (const TimeoutError&) {
      expired = true;
    }
    CHECK(expired);
  });
  run_on(selector, [&]() -> Task<void> {
    auto reader = spawn(read_some(kept.client));
    co_await yield();
    co_await kept.server.write_all("again");
    const std::string got = co_await timeout(5s, reader);
    CHECK(got == "again");
  });
}

ON_SELECTORS("a connection that is shut down by its peer is no error to shut down") {
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    streams.server.abort();
    co_await sleep(1ms);
    CHECK_NOTHROW(streams.client.shutdown(Shutdown::BOTH));
  });
}

ON_SELECTORS("finish() lets the peer read what was written last, though it still sends") {
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    auto refuses = [](TcpStream& stream) -> Task<void> {
      std::array<char, 10> some;
      co_await stream.read_some(some);
      co_await stream.write_all("too much");
      co_await stream.finish(10s);
    };
    auto sends = [](TcpStream& stream) -> Task<std::string> {
      const std::string much(3'000'000, 'x');
      co_await stream.write_all(much);
      stream.shutdown_write();
      std::string answer = co_await read_all(stream);
      co_return answer;
    };
    auto results = co_await timeout(20s, gather(refuses(streams.server), sends(streams.client)));
    CHECK(std::get<1>(results) == "too much");
    CHECK(!streams.server.is_open());
  });
}

TEST_CASE("finish() closes the stream in time, however the peer behaves, and when it is cancelled") {
  run_here([]() -> Task<void> {
    auto silent = co_await connect_pair();
    const TimePoint start = EventLoop::running().time();
    co_await silent.server.finish(20ms);
    CHECK(EventLoop::running().time() - start >= 20ms);
    CHECK(!silent.server.is_open());

    auto gone = co_await connect_pair();
    gone.client.abort();
    co_await gone.server.finish(10s);
    CHECK(!gone.server.is_open());
    co_await gone.server.finish(10s);  // once more is nothing

    auto cancelled = co_await connect_pair();
    auto finishing = spawn(cancelled.server.finish(10s));
    co_await sleep(1ms);
    finishing.cancel();
    while (!finishing.done()) co_await sleep(1ms);
    CHECK(finishing.cancelled());
    CHECK(!cancelled.server.is_open());
  });
}
