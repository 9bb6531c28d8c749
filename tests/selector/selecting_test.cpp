// The contract of select: timeouts, signals, and what is reported, on every selector.
// SPDX-License-Identifier: MIT
#include <sys/time.h>

#include <cerrno>
#include <cmath>
#include <csignal>
#include <ctime>
#include <limits>
#include <system_error>
#include <thread>

#include "contract.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

volatile std::sig_atomic_t signals = 0;
volatile std::sig_atomic_t write_to = -1;

void on_signal(int) {
  signals = signals + 1;
  if (write_to >= 0 && ::write(write_to, "s", 1) == 1) write_to = -1;
}

/// SIGALRM after `first`, and then each `period`, for as long as it lives. No SA_RESTART.
class Alarm {
 public:
  Alarm(std::chrono::microseconds first, std::chrono::microseconds period) {
    signals = 0;
    struct sigaction action{};
    action.sa_handler = on_signal;
    ::sigaction(SIGALRM, &action, &before_);
    const itimerval when{{0, static_cast<suseconds_t>(period.count())},
                         {0, static_cast<suseconds_t>(first.count())}};
    ::setitimer(ITIMER_REAL, &when, nullptr);
  }
  Alarm(Alarm&&) = delete;
  ~Alarm() {
    const itimerval never{};
    ::setitimer(ITIMER_REAL, &never, nullptr);
    ::sigaction(SIGALRM, &before_, nullptr);
  }

 private:
  struct sigaction before_{};
};

}  // namespace

CONTRACT("zero and negative timeouts only look") {
  Pair pair = Pair::sockets();
  selector.register_(pair.a, EVENT_READ);
  const auto start = Clock::now();
  CHECK(selector.select(0s).empty());
  CHECK(selector.select(-1ns).empty());
  CHECK(selector.select(-1h).empty());
  CHECK(selector.select(Duration::min()).empty());
  CHECK(selector.select(-std::chrono::duration<double>(std::numeric_limits<double>::infinity())).empty());
  CHECK(Clock::now() - start < 500ms);
  pair.b.write("x");
  CHECK(in(selector.select(-1s), pair.a) == EVENT_READ);
}

CONTRACT("a timeout passes in full, with something and with nothing registered") {
  Pair pair = Pair::sockets();
  for (int registered : {0, 1}) {
    if (registered == 1) selector.register_(pair.a, EVENT_READ);
    for (Duration timeout : {Duration(1), Duration(50us), Duration(999'999ns), Duration(1ms),
                             Duration(1'500us), Duration(10'300us), Duration(20ms)}) {
      const auto start = Clock::now();
      CHECK(selector.select(timeout).empty());
      CHECK(Clock::now() - start >= timeout);
    }
  }
}

CONTRACT("waiting for a deadline takes at most three calls") {
  for (Duration span : {Duration(300us), Duration(1'200us), Duration(5'500us)}) {
    const auto deadline = Clock::now() + span;
    int calls = 0;
    while (Clock::now() < deadline) {
      CHECK(selector.select(deadline - Clock::now()).empty());
      ++calls;
    }
    CHECK(calls <= 3);
  }
}

CONTRACT("huge timeouts neither overflow nor wrap") {
  using seconds = std::chrono::duration<double>;
  for (Timeout timeout :
       {Timeout(), Timeout(std::nullopt), Timeout(std::chrono::hours::max()), Timeout(Duration::max()),
        Timeout(std::chrono::milliseconds(1LL << 31)), Timeout(std::chrono::milliseconds(1LL << 32)),
        Timeout(std::chrono::seconds(1LL << 33)), Timeout(seconds(std::numeric_limits<double>::infinity())),
        Timeout(seconds(1e30))}) {
    Pair pair = Pair::sockets();
    selector.register_(pair.a, EVENT_READ);
    const auto start = Clock::now();
    std::jthread peer([&pair] {
      std::this_thread::sleep_for(5ms);
      pair.b.write("x");
    });
    CHECK(in(selector.select(timeout), pair.a) == EVENT_READ);
    CHECK(Clock::now() - start >= 4ms);
    peer.join();
    selector.unregister(pair.a);
  }
}

CONTRACT("a timeout that is not a number is a ValueError") {
  CHECK_THROWS_AS(selector.select(std::chrono::duration<double>(std::nan(""))), ValueError);
  CHECK_THROWS_AS(selector.select(std::chrono::duration<float, std::milli>(std::nanf(""))), ValueError);
}

CONTRACT("with nothing registered select waits for ever, until the interrupt hook gives up") {
  int asked = 0;
  selector.set_interrupt_hook(
      [](void* argument) {
        ++*static_cast<int*>(argument);
        return signals >= 3;
      },
      &asked);
  {
    const Alarm alarm(5ms, 5ms);
    CHECK(selector.select().empty());
  }
  CHECK(selector.interrupted());
  CHECK(asked >= 2);
  CHECK(selector.select(0s).empty());
  CHECK_FALSE(selector.interrupted());
}

CONTRACT("the interrupt hook ends a timed wait early, and the selector works on") {
  Pair pair = Pair::sockets();
  selector.register_(pair.a, EVENT_READ);
  selector.set_interrupt_hook([](void*) { return true; }, nullptr);
  const auto start = Clock::now();
  {
    const Alarm alarm(10ms, 0us);
    CHECK(selector.select(10s).empty());
  }
  CHECK(Clock::now() - start < 5s);
  CHECK(selector.interrupted());
  pair.b.write("x");
  CHECK(now(selector, pair.a) == EVENT_READ);
  CHECK_FALSE(selector.interrupted());
}

CONTRACT("a storm of signals neither shortens nor ends the wait") {
  Pair pair = Pair::sockets();
  selector.register_(pair.a, EVENT_READ);
  const Alarm alarm(1ms, 500us);
  const auto start = Clock::now();
  CHECK(selector.select(60ms).empty());
  const auto took = Clock::now() - start;
  CHECK(took >= 60ms);
  CHECK(took < 2s);
  CHECK(signals > 10);
  CHECK_FALSE(selector.interrupted());
}

CONTRACT("a descriptor that the signal's handler makes ready is reported by the same call") {
  Pair pair = Pair::pipe();
  selector.register_(pair.a, EVENT_READ);
  write_to = pair.b.fileno();
  const Alarm alarm(10ms, 0us);
  const auto start = Clock::now();
  CHECK(in(selector.select(10s), pair.a) == EVENT_READ);
  CHECK(Clock::now() - start < 5s);
}

CONTRACT("readiness is reported as long as it lasts and not a call longer") {
  Pair pair = Pair::sockets();
  selector.register_(pair.a, EVENT_READ, 1);
  for (int round = 0; round < 3; ++round) {
    CHECK(now(selector, pair.a) == NONE);
    pair.b.write("abc");
    CHECK(now(selector, pair.a) == EVENT_READ);
    CHECK(now(selector, pair.a) == EVENT_READ);
    CHECK(soon(selector, pair.a.fileno()) == EVENT_READ);
    CHECK(pair.a.read() == "abc");
    CHECK(now(selector, pair.a) == NONE);
    // Ready and consumed between two calls: the second must not know of it.
    pair.b.write("abc");
    CHECK(pair.a.read() == "abc");
    CHECK(now(selector, pair.a) == NONE);
    CHECK(selector.select(1ms).empty());
  }
  // The same for room to write.
  selector.modify(pair.a, EVENT_WRITE);
  CHECK(now(selector, pair.a) == EVENT_WRITE);
  pair.a.fill();
  CHECK(now(selector, pair.a) == NONE);
  while (!pair.b.read().empty()) {
  }
  CHECK(now(selector, pair.a) == EVENT_WRITE);
  pair.a.fill();
  CHECK(now(selector, pair.a) == NONE);
}

CONTRACT("a part that was left unread is reported again") {
  Pair pair = Pair::tcp();
  selector.register_(pair.a, EVENT_READ);
  pair.b.write("abc");
  char byte;
  for (int left = 3; left > 0; --left) {
    CHECK(soon(selector, pair.a.fileno()) == EVENT_READ);
    CHECK(::read(pair.a.fileno(), &byte, 1) == 1);
  }
  CHECK(now(selector, pair.a) == NONE);
}

CONTRACT("one entry a descriptor, with the events that were asked for and fired") {
  Pair pair = Pair::sockets();
  pair.b.write("x");
  selector.register_(pair.a, BOTH);
  CHECK(selector.select(0s).size() == 1);
  CHECK(now(selector, pair.a) == BOTH);
  selector.modify(pair.a, EVENT_READ);
  CHECK(now(selector, pair.a) == EVENT_READ);
  selector.modify(pair.a, EVENT_WRITE);
  CHECK(now(selector, pair.a) == EVENT_WRITE);
  pair.a.read();
  selector.modify(pair.a, BOTH);
  CHECK(now(selector, pair.a) == EVENT_WRITE);
}

CONTRACT("a peer that leaves wakes whoever waits, in the direction that was asked for") {
  for (const bool tcp : {false, true}) {
    Pair pair = tcp ? Pair::tcp() : Pair::sockets();
    pair.b.close();
    for (EventMask asked : {EVENT_READ, EVENT_WRITE, BOTH}) {
      selector.register_(pair.a, asked);
      CHECK(soon(selector, pair.a.fileno()) == asked);
      selector.unregister(pair.a);
    }
  }
}

CONTRACT("a half-closed peer is the end of reading and no bar to writing") {
  Pair pair = Pair::tcp();
  selector.register_(pair.a, EVENT_READ);
  CHECK(now(selector, pair.a) == NONE);
  must(::shutdown(pair.b.fileno(), SHUT_WR));
  CHECK(soon(selector, pair.a.fileno()) == EVENT_READ);
  CHECK(now(selector, pair.a) == EVENT_READ);
  selector.modify(pair.a, BOTH);
  CHECK(now(selector, pair.a) == BOTH);
}

CONTRACT(
    "a half-closed peer does not wake who waits to write into a full buffer, nor make that a busy wait") {
  Pair pair = Pair::sockets();
  pair.a.fill();
  selector.register_(pair.a, EVENT_WRITE);
  CHECK(now(selector, pair.a) == NONE);
  must(::shutdown(pair.b.fileno(), SHUT_WR));
  CHECK(now(selector, pair.a) == NONE);
  const std::clock_t before = std::clock();
  CHECK(selector.select(50ms).empty());
  CHECK(std::clock() - before < CLOCKS_PER_SEC / 40);
  for (int round = 0; round < 3; ++round) {
    while (!pair.b.read().empty()) {
    }
    CHECK(now(selector, pair.a) == EVENT_WRITE);
    CHECK(now(selector, pair.a) == EVENT_WRITE);
    pair.a.fill();
    CHECK(now(selector, pair.a) == NONE);
    CHECK(selector.select(1ms).empty());
  }
  selector.modify(pair.a, BOTH);
  CHECK(now(selector, pair.a) == EVENT_READ);
  selector.unregister(pair.a);
  pair.a.close();
  while (!pair.b.read().empty()) {
  }
  CHECK(pair.b.at_end());
}

CONTRACT("a reset connection is ready for all that was asked") {
  for (EventMask asked : {EVENT_READ, EVENT_WRITE, BOTH}) {
    Pair pair = Pair::tcp();
    const linger hard{1, 0};
    must(::setsockopt(pair.b.fileno(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard));
    selector.register_(pair.a, asked);
    pair.b.close();
    CHECK(soon(selector, pair.a.fileno()).contains(asked & EVENT_READ));
    CHECK(now(selector, pair.a) == asked);
    selector.unregister(pair.a);
  }
}

CONTRACT("a pipe whose writer left is ready for READ, one whose reader left for READ and WRITE") {
  Pair read = Pair::pipe();
  selector.register_(read.a, EVENT_READ);
  CHECK(now(selector, read.a) == NONE);
  read.b.close();
  CHECK(now(selector, read.a) == EVENT_READ);
  selector.unregister(read.a);

  for (const bool full : {false, true}) {
    Pair write = Pair::pipe();
    if (full) write.b.fill();
    write.a.close();
    for (EventMask asked : {EVENT_READ, EVENT_WRITE, BOTH}) {
      selector.register_(write.b, asked);
      CHECK(now(selector, write.b) == asked);
      selector.unregister(write.b);
    }
  }
}

CONTRACT("a refused connect is ready for READ and WRITE") {
  sockaddr_in address;
  {
    const File gone = listener(address);
  }
  const File client(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int result = ::connect(client.fileno(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  REQUIRE((result == -1 && (errno == EINPROGRESS || errno == ECONNREFUSED)));
  selector.register_(client, BOTH);
  CHECK(soon(selector, client.fileno()) == BOTH);
}

CONTRACT("a connect that succeeds is ready for WRITE, and the listener for READ") {
  sockaddr_in address;
  const File listening = listener(address);
  selector.register_(listening, EVENT_READ);
  CHECK(now(selector, listening) == NONE);
  const File client(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  (void)::connect(client.fileno(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  selector.register_(client, BOTH);
  CHECK(soon(selector, listening.fileno()) == EVENT_READ);
  CHECK(now(selector, client) == EVENT_WRITE);
  const File served(::accept(listening.fileno(), nullptr, nullptr));
  CHECK(now(selector, listening) == NONE);
}

CONTRACT("all that is ready is reported in one call") {
  std::vector<Pair> pairs;
  for (int i = 0; i < 400; ++i) {
    pairs.push_back(Pair::sockets());
    selector.register_(pairs.back().a, EVENT_READ, i);
    pairs.back().b.write("x");
  }
  const ReadyList list = selector.select(1s);
  CHECK(list.size() == 400);
  std::vector<bool> seen(400);
  for (auto [key, events] : list) {
    CHECK(events == EVENT_READ);
    seen[static_cast<std::size_t>(key.data.get<int>())] = true;
  }
  CHECK(std::count(seen.begin(), seen.end(), true) == 400);
}

CONTRACT("the list is a snapshot that registering and unregistering meanwhile leave alone") {
  std::vector<Pair> pairs;
  for (int i = 0; i < 50; ++i) {
    pairs.push_back(Pair::sockets());
    selector.register_(pairs.back().a, EVENT_READ, i);
    pairs.back().b.write("x");
  }
  std::vector<Pair> more;
  int sum = 0;
  for (auto [key, events] : selector.select(0s)) {
    sum += key.data.get<int>();
    CHECK(events == EVENT_READ);
    selector.unregister(key.fd);
    for (int i = 0; i < 3; ++i) {
      more.push_back(Pair::sockets());
      selector.register_(more.back().a, EVENT_READ, 1000);
    }
  }
  CHECK(sum == 49 * 50 / 2);
  CHECK(selector.get_map().size() == 150);
  CHECK(selector.select(0s).empty());
}

CONTRACT("a number reused within the batch is not reported for its former owner") {
  std::vector<Pair> pairs;
  for (int i = 0; i < 10; ++i) {
    pairs.push_back(Pair::sockets());
    selector.register_(pairs.back().a, EVENT_READ, i);
    pairs.back().b.write("x");
  }
  CHECK(selector.select(0s).size() == 10);
  for (Pair& pair : pairs) {
    selector.unregister(pair.a);
    pair.a.close();
    pair.b.close();
  }
  for (Pair& pair : pairs) {
    pair = Pair::sockets();
    selector.register_(pair.a, EVENT_READ, 100);
  }
  CHECK(selector.select(0s).empty());
  pairs[4].b.write("x");
  const ReadyList list = selector.select(0s);
  REQUIRE(list.size() == 1);
  CHECK(list[0].key == selector.get_key(pairs[4].a));
}

CONTRACT("a descriptor closed while registered leaves the others working, after unregister at the latest") {
  Pair victim = Pair::sockets();
  Pair other = Pair::sockets();
  const int fd = victim.a.fileno();
  selector.register_(fd, EVENT_READ);
  selector.register_(other.a, EVENT_READ);
  CHECK(selector.select(0s).empty());
  victim.a.close();
  other.b.write("x");
  if (subject.kind == "select") {
    try {
      selector.select(0s);
      FAIL("no error");
    } catch (const std::system_error& error) {
      CHECK(error.code() == std::errc::bad_file_descriptor);
      CHECK_THAT(error.what(), Catch::Matchers::Contains(" on fd " + std::to_string(fd) + ":"));
    }
  } else {
    const ReadyList list = selector.select(0s);
    CHECK(in(list, other.a) == EVENT_READ);
    const bool told = subject.kind == "poll" || subject.kind == "devpoll";
    CHECK(in(list, fd) == (told ? EVENT_READ : NONE));
  }
  selector.unregister(fd);
  const ReadyList list = selector.select(0s);
  CHECK(list.size() == 1);
  CHECK(in(list, other.a) == EVENT_READ);
}
