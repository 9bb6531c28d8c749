// readable, writable, ready: on descriptors that somebody else owns.
// SPDX-License-Identifier: MIT
#include "../../../runtime/loop/ready.hpp"

#include <fcntl.h>

#include <string>
#include <vector>

#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../selector/files.hpp"
#include "../../support/counting_selector.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

using Log = std::vector<std::string>;

std::size_t registrations() { return EventLoop::running().selector().get_map().size(); }

// Waits, reads a byte, notes both.
Task<void> take_one(int fd, Log& log, std::string name) {
  co_await readable(fd);
  char byte = 0;
  const auto n = ::read(fd, &byte, 1);
  log.push_back(name + (n == 1 ? std::string(1, byte) : std::string("-")));
}

template <class Operation>
Task<std::error_code> error_of(Operation operation, std::string* message = nullptr) {
  try {
    co_await operation;
  } catch (const std::system_error& error) {
    if (message != nullptr) *message = error.what();
    co_return error.code();
  }
  co_return std::error_code();
}

Task<void> turns(int count) {
  for (int i = 0; i < count; ++i) co_await yield();
}

}  // namespace

ON_SELECTORS("readable waits until there is something to read, and is level-triggered") {
  run_on(selector, []() -> Task<void> {
    const Pair pair = Pair::sockets();
    Log log;
    auto handle = spawn(take_one(pair.a.fileno(), log, "got "));
    co_await sleep(1ms);
    CHECK_FALSE(handle.done());
    pair.b.write("ab");
    co_await handle;
    CHECK(log == Log{"got a"});
    // What is there already is reported at once.
    const EventMask events = co_await timeout(5s, readable(pair.a.fileno()));
    CHECK(events == EVENT_READ);
    CHECK(pair.a.read() == "b");
    bool expired = false;
    try {
      co_await timeout(2ms, readable(pair.a.fileno()));
    } catch (const TimeoutError&) {
      expired = true;
    }
    CHECK(expired);
  });
}

ON_SELECTORS("writable waits until there is room") {
  run_on(selector, []() -> Task<void> {
    const Pair pair = Pair::sockets();
    const EventMask at_once = co_await timeout(5s, writable(pair.a.fileno()));
    CHECK(at_once == EVENT_WRITE);
    pair.a.fill();
    bool woken = false;
    auto waits = [](int fd, bool& flag) -> Task<void> {
      co_await writable(fd);
      flag = true;
    };
    auto handle = spawn(waits(pair.a.fileno(), woken));
    co_await sleep(1ms);
    CHECK_FALSE(woken);
    while (!pair.b.read().empty()) {
    }
    co_await timeout(5s, handle);
    CHECK(woken);
  });
}

ON_SELECTORS("ready yields the directions that fired") {
  run_on(selector, []() -> Task<void> {
    const Pair pair = Pair::sockets();
    const int fd = pair.a.fileno();
    const EventMask both = EVENT_READ | EVENT_WRITE;
    EventMask events = co_await timeout(5s, ready(fd, both));
    CHECK(events == EVENT_WRITE);
    pair.b.write("x");
    events = co_await timeout(5s, ready(fd, both));
    CHECK(events == both);
    pair.a.fill();
    events = co_await timeout(5s, ready(fd, both));
    CHECK(events == EVENT_READ);
    events = co_await timeout(5s, ready(fd, EVENT_READ));
    CHECK(events == EVENT_READ);
    CHECK(registrations() == 1);
  });
}

TEST_CASE("ready with an empty or unknown mask is a ValueError") {
  CHECK_THROWS_AS(ready(0, EventMask(0)), ValueError);
  CHECK_THROWS_AS(ready(0, EventMask(4)), ValueError);
  CHECK_THROWS_AS(ready(0, EventMask(7)), ValueError);
}

ON_SELECTORS("several tasks wait for one descriptor, and each event resumes the one that came first") {
  run_on(selector, []() -> Task<void> {
    const Pair pair = Pair::sockets();
    Log log;
    std::vector<JoinHandle<void>> handles;
    for (const char* const name : {"1", "2", "3"})
      handles.push_back(spawn(take_one(pair.a.fileno(), log, name)));
    co_await sleep(1ms);
    pair.b.write("a");
    co_await handles[0];
    co_await sleep(1ms);
    CHECK(log == Log{"1a"});
    pair.b.write("bc");
    co_await handles[1];
    co_await handles[2];
    CHECK(log == Log{"1a", "2b", "3c"});
    CHECK(registrations() == 1);
  });
}

ON_SELECTORS("a waiter in the middle of the queue may be cancelled") {
  run_on(selector, []() -> Task<void> {
    const Pair pair = Pair::sockets();
    Log log;
    std::vector<JoinHandle<void>> handles;
    for (const char* const name : {"1", "2", "3", "4"})
      handles.push_back(spawn(take_one(pair.a.fileno(), log, name)));
    co_await turns(2);
    handles[1].cancel();
    handles[3].cancel();
    co_await turns(2);
    pair.b.write("ab");
    co_await timeout(5s, handles[0]);
    co_await timeout(5s, handles[2]);
    CHECK(log == Log{"1a", "3b"});
    CHECK(registrations() == 1);
  });
}

ON_SELECTORS("a waiter that is cancelled when its event has come leaves the event to the next one") {
  CountingSelector counting(selector);
  LoopOptions options;
  options.custom_selector = &counting;
  auto body = [&]() -> Task<void> {
    const Pair pair = Pair::sockets();
    Log log;
    auto first = spawn(take_one(pair.a.fileno(), log, "1"));
    auto second = spawn(take_one(pair.a.fileno(), log, "2"));
    co_await turns(2);
    pair.b.write("a");
    // This task is in the queue before the one that the next look at the selector wakes.
    for (const int waits = counting.waits; counting.waits == waits;) co_await yield();
    CHECK(log.empty());
    first.cancel();
    co_await timeout(5s, second);
    CHECK(first.cancelled());
    CHECK(log == Log{"2a"});
  };
  run(body(), options);
}

ON_SELECTORS("what is ready is delivered to a waiter that isn't cancelled before its turn") {
  run_on(selector, []() -> Task<void> {
    const Pair pair = Pair::sockets();
    Log log;
    auto handle = spawn(take_one(pair.a.fileno(), log, ""));
    co_await turns(2);
    pair.b.write("a");
    while (!handle.done()) co_await yield();
    CHECK_FALSE(handle.cancel());
    CHECK(log == Log{"a"});
  });
}

ON_SELECTORS("a reader and a writer wait for one descriptor at once") {
  run_on(selector, []() -> Task<void> {
    const Pair pair = Pair::sockets();
    pair.a.fill();
    Log log;
    auto reads = spawn(take_one(pair.a.fileno(), log, "read "));
    auto writes = [](int fd, Log& out) -> Task<void> {
      co_await writable(fd);
      out.push_back("writable");
    };
    auto writer = spawn(writes(pair.a.fileno(), log));
    co_await sleep(1ms);
    CHECK(log.empty());
    pair.b.write("x");
    co_await timeout(5s, reads);
    CHECK(log == Log{"read x"});
    CHECK_FALSE(writer.done());
    while (!pair.b.read().empty()) {
    }
    co_await timeout(5s, writer);
    CHECK(log == Log{"read x", "writable"});
    CHECK(registrations() == 1);
  });
}

ON_SELECTORS("the peer's end wakes a reader, and a writer too") {
  run_on(selector, []() -> Task<void> {
    Pair sockets = Pair::sockets();
    auto reads = [](int fd) -> Task<EventMask> { co_return co_await readable(fd); };
    auto handle = spawn(reads(sockets.a.fileno()));
    co_await turns(2);
    sockets.b.close();
    const EventMask events = co_await timeout(5s, handle);
    CHECK(events == EVENT_READ);
    CHECK(sockets.a.at_end());
    Pair pipe = Pair::pipe();
    pipe.b.fill();
    auto writes = [](int fd) -> Task<EventMask> { co_return co_await writable(fd); };
    auto writer = spawn(writes(pipe.b.fileno()));
    co_await turns(2);
    pipe.a.close();
    const EventMask written = co_await timeout(5s, writer);
    CHECK(written == EVENT_WRITE);
  });
}

ON_SELECTORS("a negative descriptor is a ValueError") {
  run_on(selector, []() -> Task<void> {
    int errors = 0;
    for (int i = 0; i < 3; ++i) {
      try {
        if (i == 0) co_await readable(-1);
        if (i == 1) co_await writable(-5);
        if (i == 2) co_await ready(-1, EVENT_READ | EVENT_WRITE);
      } catch (const ValueError&) {
        ++errors;
      }
    }
    CHECK(errors == 3);
    CHECK(registrations() == 1);
    co_await yield();
  });
}

ON_SELECTORS("waiting for a closed descriptor is EBADF, and names it") {
  run_on(selector, []() -> Task<void> {
    int fd = -1;
    {
      const Pair pair = Pair::sockets();
      fd = pair.a.fileno();
    }
    std::string message;
    std::error_code code = co_await error_of(readable(fd), &message);
    CHECK(code == std::errc::bad_file_descriptor);
    CHECK_THAT(message, Catch::Matchers::Contains("fd " + std::to_string(fd)));
    code = co_await error_of(writable(fd));
    CHECK(code == std::errc::bad_file_descriptor);
    code = co_await error_of(ready(fd, EVENT_READ | EVENT_WRITE));
    CHECK(code == std::errc::bad_file_descriptor);
    code = co_await error_of(readable(100'000));
    CHECK(code.value() != 0);
    CHECK(registrations() == 1);
  });
}

TEST_CASE("waiting for a descriptor beyond FD_SETSIZE on select is a ValueError") {
  run_on("select", []() -> Task<void> {
    const Pair pair = Pair::sockets();
    const File high(::fcntl(pair.a.fileno(), F_DUPFD_CLOEXEC, 1500));
    bool refused = false;
    try {
      co_await readable(high.fileno());
    } catch (const ValueError&) {
      refused = true;
    }
    CHECK(refused);
    CHECK(registrations() == 1);
  });
}

ON_SELECTORS("a regular file is EPERM on epoll, naming call and descriptor, and always ready elsewhere") {
  run_on(selector, [&]() -> Task<void> {
    const File file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    std::string message;
    const std::error_code code = co_await error_of(readable(file.fileno()), &message);
    if (selector == "epoll") {
      CHECK(code == std::errc::operation_not_permitted);
      CHECK_THAT(message, Catch::Matchers::Contains("epoll_ctl on fd " + std::to_string(file.fileno())));
    } else {
      CHECK(code.value() == 0);
    }
    CHECK(registrations() == 1);
  });
}

ON_SELECTORS("a descriptor of somebody else is registered only while somebody waits") {
  CountingSelector counting(selector);
  LoopOptions options;
  options.custom_selector = &counting;
  auto body = [&]() -> Task<void> {
    const Pair pair = Pair::sockets();
    Log log;
    for (int i = 0; i < 3; ++i) {
      auto handle = spawn(take_one(pair.a.fileno(), log, ""));
      co_await turns(2);
      CHECK(registrations() == 2);
      pair.b.write("x");
      co_await handle;
      CHECK(registrations() == 1);
    }
    CHECK(counting.registered == 4);  // and the loop's own
    CHECK(counting.unregistered == 3);
  };
  run(body(), options);
}

ON_SELECTORS("a number that is closed and reused between two waits is the new file") {
  run_on(selector, []() -> Task<void> {
    Log log;
    int number = -1;
    for (int i = 0; i < 3; ++i) {
      const Pair pair = Pair::sockets();
      if (number >= 0) CHECK(pair.a.fileno() == number);
      number = pair.a.fileno();
      auto handle = spawn(take_one(number, log, ""));
      co_await turns(2);
      pair.b.write("x");
      co_await timeout(5s, handle);
    }
    CHECK(log == Log{"x", "x", "x"});
  });
}

TEST_CASE(
    "a descriptor closed behind the loop's back wakes its waiter with EBADF on select, and others wait on") {
  run_on("select", []() -> Task<void> {
    Pair doomed = Pair::sockets();
    const Pair other = Pair::sockets();
    Log log;
    auto hit = spawn(error_of(readable(doomed.a.fileno())));
    auto spared = spawn(take_one(other.a.fileno(), log, "spared "));
    co_await turns(2);
    doomed.a.close();
    const std::error_code code = co_await timeout(5s, hit);
    CHECK(code == std::errc::bad_file_descriptor);
    CHECK_FALSE(spared.done());
    other.b.write("x");
    co_await timeout(5s, spared);
    CHECK(log == Log{"spared x"});
  });
}

TEST_CASE("a descriptor closed behind the loop's back ends the wait on poll") {
  run_on("poll", []() -> Task<void> {
    Pair doomed = Pair::sockets();
    auto hit = spawn(error_of(readable(doomed.a.fileno())));
    co_await turns(2);
    doomed.a.close();
    co_await timeout(5s, hit);
    CHECK(registrations() == 1);
  });
}

ON_SELECTORS("a readiness operation that is awaited again waits again") {
  run_on(selector, []() -> Task<void> {
    const Pair pair = Pair::sockets();
    pair.b.write("x");
    auto readiness = readable(pair.a.fileno());
    co_await timeout(5s, readiness);
    pair.a.read();
    bool expired = false;
    try {
      co_await timeout(2ms, readiness);
    } catch (const TimeoutError&) {
      expired = true;
    }
    CHECK(expired);
  });
}

TEST_CASE(
    "on epoll a timer that is due waits behind 64 of the descriptors that are ready, not behind them all") {
  run_on("epoll", []() -> Task<void> {
    constexpr std::size_t count = 200;
    std::vector<Pair> pairs;
    Log log;
    std::vector<JoinHandle<void>> tasks;
    for (std::size_t i = 0; i < count; ++i) {
      pairs.push_back(Pair::sockets());
      tasks.push_back(spawn(take_one(pairs[i].a.fileno(), log, "")));
    }
    co_await sleep(1ms);  // now all wait
    for (Pair& pair : pairs) pair.b.write("x");
    std::size_t before = count;
    auto& loop = EventLoop::running();
    loop.call_at(loop.time(), [&] { before = log.size(); });
    for (auto& task : tasks) co_await task;
    CHECK(before <= 64);
    CHECK(log.size() == count);
  });
}
