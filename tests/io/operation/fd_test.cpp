// Fd: a descriptor with an owner, and what waiting for it costs.
// SPDX-License-Identifier: MIT
#include "../../../io/operation/fd.hpp"

#include <sys/socket.h>

#include <string>
#include <vector>

#include "../../support/allocations.hpp"
#include "../../support/counting_selector.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

Fd own(File& file) {
  Fd fd(::dup(file.fileno()));
  file.close();
  return fd;
}

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

Task<void> take_one(Fd& fd, std::string& log, const char* name) {
  co_await fd.readable();
  char byte = 0;
  const auto n = ::read(fd.fileno(), &byte, 1);
  log += name + (n == 1 ? std::string(1, byte) : std::string("-")) + " ";
}

template <class Awaitable>
Task<bool> expires(Awaitable awaitable) {
  try {
    co_await timeout(2ms, std::move(awaitable));
  } catch (const TimeoutError&) {
    co_return true;
  }
  co_return false;
}

// The selector's calls while `body` runs on it.
template <class Body>
void with_counting(std::string_view selector, CountingSelector& counting, Body body) {
  static_cast<void>(selector);
  LoopOptions options;
  options.custom_selector = &counting;
  run(body(), options);
}

}  // namespace

TEST_CASE("an Fd closes its descriptor when it dies, and gives it away when it is moved or released") {
  Pair pair = Pair::sockets();
  int number = -1;
  {
    Fd fd = own(pair.a);
    number = fd.fileno();
    CHECK(fd.is_open());
    Fd moved = std::move(fd);
    CHECK(fd.fileno() == -1);
    CHECK(moved.fileno() == number);
    CHECK(is_open(number));
  }
  CHECK_FALSE(is_open(number));
  Fd other = own(pair.b);
  number = other.fileno();
  CHECK(other.release() == number);
  CHECK_FALSE(other.is_open());
  CHECK(is_open(number));
  ::close(number);
  Fd none;
  none.close();
  CHECK(none.release() == -1);
}

TEST_CASE("assigning to an Fd closes what it had, and not when it is its own") {
  Pair pair = Pair::sockets();
  Fd a = own(pair.a);
  Fd b = own(pair.b);
  const int old = a.fileno();
  const int number = b.fileno();
  a = std::move(b);
  CHECK(a.fileno() == number);
  CHECK_FALSE(is_open(old));
  Fd& same = a;
  a = std::move(same);
  CHECK(a.fileno() == number);
  CHECK(is_open(number));
}

ON_SELECTORS("readable on an Fd is level-triggered: what is unread is reported again") {
  run_on(selector, []() -> Task<void> {
    Pair pair = Pair::sockets();
    Fd fd = own(pair.a);
    pair.b.write("abc");
    std::string log;
    for (int i = 0; i < 3; ++i) co_await timeout(5s, take_one(fd, log, ""));
    CHECK(log == "a b c ");
    bool expired = co_await expires(fd.readable());
    CHECK(expired);
    // What came and was read by somebody else is not reported.
    pair.b.write("d");
    co_await sleep(1ms);
    char byte = 0;
    CHECK(::read(fd.fileno(), &byte, 1) == 1);
    expired = co_await expires(fd.readable());
    CHECK(expired);
    pair.b.write("e");
    co_await timeout(5s, take_one(fd, log, ""));
    CHECK(log == "a b c e ");
  });
}

ON_SELECTORS("data that arrives while nobody waits is reported to the next who does") {
  run_on(selector, []() -> Task<void> {
    Pair pair = Pair::sockets();
    Fd fd = own(pair.a);
    bool expired = co_await expires(fd.readable());
    CHECK(expired);
    pair.b.write("x");
    co_await sleep(2ms);  // the loop has seen the event by now
    std::string log;
    co_await timeout(5s, take_one(fd, log, ""));
    CHECK(log == "x ");
  });
}

ON_SELECTORS("writable on an Fd waits until there is room, again and again") {
  run_on(selector, []() -> Task<void> {
    Pair pair = Pair::sockets();
    Fd fd = own(pair.a);
    const File alias(::dup(fd.fileno()));
    for (int i = 0; i < 3; ++i) {
      const EventMask at_once = co_await timeout(5s, fd.writable());
      CHECK(at_once == EVENT_WRITE);
      alias.fill();
      auto waits = [](Fd& it) -> Task<void> { co_await it.writable(); };
      auto writer = spawn(waits(fd));
      co_await sleep(1ms);
      CHECK_FALSE(writer.done());
      while (!pair.b.read().empty()) {
      }
      co_await timeout(5s, writer);
    }
  });
}

ON_SELECTORS("several tasks wait for an Fd, and each event resumes the one that came first") {
  run_on(selector, []() -> Task<void> {
    Pair pair = Pair::sockets();
    Fd fd = own(pair.a);
    std::string log;
    std::vector<JoinHandle<void>> handles;
    for (const char* const name : {"1", "2", "3"}) handles.push_back(spawn(take_one(fd, log, name)));
    co_await sleep(1ms);
    pair.b.write("a");
    co_await timeout(5s, handles[0]);
    co_await sleep(1ms);
    CHECK(log == "1a ");
    handles[1].cancel();
    pair.b.write("b");
    co_await timeout(5s, handles[2]);
    CHECK(log == "1a 3b ");
  });
}

ON_SELECTORS("one event with much to read resumes all who wait, in turn") {
  run_on(selector, []() -> Task<void> {
    Pair pair = Pair::sockets();
    Fd fd = own(pair.a);
    std::string log;
    std::vector<JoinHandle<void>> handles;
    for (const char* const name : {"1", "2", "3"}) handles.push_back(spawn(take_one(fd, log, name)));
    co_await sleep(1ms);
    pair.b.write("abc");
    for (auto& handle : handles) co_await timeout(5s, handle);
    CHECK(log == "1a 2b 3c ");
  });
}

ON_SELECTORS("waits on an Fd and on its number as an int mix") {
  run_on(selector, []() -> Task<void> {
    for (const bool raw_first : {true, false}) {
      Pair pair = Pair::sockets();
      Fd fd = own(pair.a);
      std::string log;
      auto raw = [](int number, std::string& out) -> Task<void> {
        co_await readable(number);
        char byte = 0;
        const auto n = ::read(number, &byte, 1);
        out += n == 1 ? std::string("raw ") + byte + " " : "raw - ";
      };
      JoinHandle<void> a;
      JoinHandle<void> b;
      if (raw_first) a = spawn(raw(fd.fileno(), log));
      b = spawn(take_one(fd, log, "owned "));
      if (!raw_first) a = spawn(raw(fd.fileno(), log));
      co_await sleep(1ms);
      pair.b.write("12");
      co_await timeout(5s, a);
      co_await timeout(5s, b);
      CHECK(log == (raw_first ? "raw 1 owned 2 " : "owned 1 raw 2 "));
      // And again, one after the other.
      log.clear();
      pair.b.write("34");
      co_await timeout(5s, raw(fd.fileno(), log));
      co_await timeout(5s, take_one(fd, log, "owned "));
      CHECK(log == "raw 3 owned 4 ");
    }
  });
}

ON_SELECTORS("a callback and tasks share an Fd") {
  run_on(selector, []() -> Task<void> {
    Pair pair = Pair::sockets();
    Fd fd = own(pair.a);
    EventLoop& loop = EventLoop::running();
    bool expired = co_await expires(fd.readable());
    CHECK(expired);
    int called = 0;
    loop.add_reader(fd.fileno(), [&] { ++called; });
    std::string log;
    auto reader = spawn(take_one(fd, log, ""));
    co_await yield();
    pair.b.write("x");
    co_await timeout(5s, reader);
    CHECK(log == "x ");
    co_await sleep(1ms);
    CHECK(called >= 1);
    const int before = called;
    pair.b.write("y");
    while (called == before) co_await sleep(1ms);
    CHECK(loop.remove_reader(fd.fileno()));
    co_await timeout(5s, take_one(fd, log, ""));
    CHECK(log == "x y ");
    expired = co_await expires(fd.readable());
    CHECK(expired);
  });
}

ON_SELECTORS("closing an Fd ends every wait with ECANCELED, also by its number, and drops its callbacks") {
  run_on(selector, []() -> Task<void> {
    Pair pair = Pair::sockets();
    Fd fd = own(pair.a);
    const int number = fd.fileno();
    auto owned = spawn(error_of(fd.readable()));
    co_await yield();
    auto by_number = spawn(error_of(readable(number)));
    auto either = spawn(error_of(ready(number, EVENT_READ)));
    const auto watched = std::make_shared<int>(0);
    EventLoop::running().add_writer(number, [watched] { ++*watched; });
    co_await sleep(1ms);
    fd.close();
    CHECK(watched.use_count() == 1);
    const int called = *watched;
    for (JoinHandle<std::error_code>* const waiter : {&owned, &by_number, &either}) {
      const std::error_code code = co_await timeout(5s, *waiter);
      CHECK(code == std::errc::operation_canceled);
    }
    CHECK(*watched == called);
    CHECK(EventLoop::running().selector().get_map().size() == 1);
  });
}

ON_SELECTORS("who is asked to stop before the turn in which closing would be told gets the request alone") {
  run_on(selector, []() -> Task<void> {
    Pair pair = Pair::sockets();
    Fd fd = own(pair.a);
    std::string log;
    auto body = [](Fd& it, std::string& out) -> Task<void> {
      try {
        static_cast<void>(co_await error_of(it.readable()));
        out += "closed";
      } catch (const Cancelled&) {
        out += "cancelled";
      }
      co_await yield();
    };
    auto handle = spawn(body(fd, log));
    co_await yield();
    fd.close();
    handle.cancel();
    co_await handle;
    CHECK(log == "cancelled");
  });
}

ON_SELECTORS("the number of a closed Fd serves the next one") {
  run_on(selector, []() -> Task<void> {
    int number = -1;
    for (int i = 0; i < 5; ++i) {
      Pair pair = Pair::sockets();
      Fd fd = own(pair.a);
      if (number >= 0) CHECK(fd.fileno() == number);
      number = fd.fileno();
      std::string log;
      auto handle = spawn(take_one(fd, log, ""));
      co_await yield();
      pair.b.write("x");
      co_await timeout(5s, handle);
      CHECK(log == "x ");
    }
  });
}

ON_SELECTORS("a descriptor closed by somebody else is EBADF for the next operation") {
  run_on(selector, []() -> Task<void> {
    Pair pair = Pair::sockets();
    Fd fd = own(pair.a);
    ::close(fd.fileno());
    const std::error_code code = co_await error_of(fd.readable());
    CHECK(code == std::errc::bad_file_descriptor);
    static_cast<void>(fd.release());
    CHECK(EventLoop::running().selector().get_map().size() == 1);
  });
}

TEST_CASE("in steady state nothing is asked of epoll but to wait") {
  CountingSelector counting("epoll");
  with_counting("epoll", counting, [&]() -> Task<void> {
    auto streams = co_await connect_pair();
    auto echo = [](TcpStream stream) -> Task<void> {
      std::array<std::byte, 4096> buffer;
      while (const std::size_t size = co_await stream.read_some(buffer))
        co_await stream.write_all(std::span(buffer).first(size));
    };
    auto server = spawn(echo(std::move(streams.server)));
    int before = 0;
    for (int i = 0; i < 200; ++i) {
      if (i == 20) before = counting.changes();
      co_await streams.client.write_all("ping");
      const std::string back = co_await read_some(streams.client);
      if (back != "ping") FAIL("the echo is wrong");
    }
    CHECK(counting.changes() == before);
    // Nor when a message arrives while the handler waits for something else.
    for (int i = 0; i < 20; ++i) {
      co_await streams.client.write_all("ping");
      co_await sleep(200us);
      co_await read_some(streams.client);
    }
    CHECK(counting.changes() == before);
    streams.client.close();
    co_await server;
    CHECK(counting.unregistered == 2);
  });
}

ON_SELECTORS("an idle descriptor with data that nobody reads doesn't keep the loop awake") {
  CountingSelector counting(selector);
  with_counting(selector, counting, [&]() -> Task<void> {
    auto streams = co_await connect_pair();
    const bool expired = co_await expires(read_some(streams.client));
    CHECK(expired);
    co_await streams.server.write_all("unread");
    co_await sleep(2ms);
    const int before = counting.waits;
    co_await sleep(20ms);
    CHECK(counting.waits - before <= 5);
    const std::string got = co_await timeout(5s, read_some(streams.client));
    CHECK(got == "unread");
  });
}

ON_SELECTORS("an echoed message allocates nothing once things are warm") {
  if (!allocations_are_counted) return;
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    auto echo = [](TcpStream stream) -> Task<void> {
      std::array<std::byte, 4096> buffer;
      while (const std::size_t size = co_await stream.read_some(buffer))
        co_await stream.write_all(std::span(buffer).first(size));
    };
    auto server = spawn(echo(std::move(streams.server)));
    std::array<std::byte, 64> message{};
    std::uint64_t before = 0;
    for (int i = 0; i < 500; ++i) {
      if (i == 50) before = allocations();
      co_await streams.client.write_all(message);
      const std::size_t size = co_await streams.client.read_some(message);
      if (size != message.size()) FAIL("the echo is wrong");
    }
    CHECK(allocations() - before == 0);
    streams.client.close();
    co_await server;
  });
}

ON_SELECTORS("accepting, serving and closing a connection allocates nothing once things are warm") {
  if (!allocations_are_counted) return;
  run_on(selector, []() -> Task<void> {
    auto listener = TcpListener::bind(any_port());
    const Address address = listener.local_address();
    auto serve = [](TcpStream stream) -> Task<void> {
      std::array<std::byte, 256> buffer;
      while (const std::size_t size = co_await stream.read_some(buffer))
        co_await stream.write_all(std::span(buffer).first(size));
    };
    auto serve_all = [&]() -> Task<void> {
      for (;;) spawn(serve(co_await listener.accept()));
    };
    auto server = spawn(serve_all());
    std::uint64_t before = 0;
    for (int i = 0; i < 60; ++i) {
      if (i == 20) before = allocations();
      TcpStream client = co_await TcpStream::connect(address);
      co_await client.write_all("x");
      std::array<char, 4> buffer;
      co_await client.read_some(buffer);
      client.close();
      co_await sleep(100us);
    }
    CHECK(allocations() - before == 0);
    server.cancel();
  });
}
