// LoopOptions::busy_poll: a loop that asks again and again before it waits.
// SPDX-License-Identifier: MIT
#include <unistd.h>

#include <atomic>
#include <thread>

#include "../../../runtime/loop/event_loop.hpp"
#include "../../../runtime/loop/ready.hpp"
#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../selector/decorators/selector_decorator.hpp"
#include "../../../selector/mechanisms/make_selector.hpp"
#include "../../selector/files.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

class CountingSelector final : public SelectorDecorator {
 public:
  explicit CountingSelector(std::string_view name) : SelectorDecorator(make_selector(name)) {}
  int polls = 0;
  int waits = 0;

 private:
  int do_wait(Timeout timeout) override {
    ++(timeout.only_polls() ? polls : waits);
    return SelectorDecorator::do_wait(timeout);
  }
};

LoopOptions over(CountingSelector& selector, Duration busy_poll) {
  LoopOptions options;
  options.custom_selector = &selector;
  options.busy_poll = busy_poll;
  return options;
}

// A thread answers `messages` bytes, one after the other.
Task<void> talk(const Pair& pair, int messages) {
  std::thread peer([&] {
    char byte;
    for (int i = 0; i < messages;) {
      if (::read(pair.b.fileno(), &byte, 1) != 1) continue;
      static_cast<void>(::write(pair.b.fileno(), &byte, 1));
      ++i;
    }
  });
  char byte = 'x';
  for (int i = 0; i < messages; ++i) {
    static_cast<void>(::write(pair.a.fileno(), &byte, 1));
    co_await readable(pair.a.fileno());
    static_cast<void>(::read(pair.a.fileno(), &byte, 1));
  }
  peer.join();
}

}  // namespace

ON_SELECTORS("with busy_poll a loop whose events come soon doesn't wait for them, and without it does") {
  constexpr int messages = 200;
  const Pair pair = Pair::sockets();
  CountingSelector busy(selector);
  run(talk(pair, messages), over(busy, 10s));
  CHECK(busy.waits == 0);
  CHECK(busy.polls >= messages);
  CountingSelector idle(selector);
  run(talk(pair, messages), over(idle, {}));
  CHECK(idle.waits >= messages / 2);
}

ON_SELECTORS("busy_poll ends with the time that it was given, and begins again only after a short wait") {
  CountingSelector counting(selector);
  auto sleeps = [&]() -> Task<void> {
    for (int i = 0; i < 3; ++i) {
      const int polls = counting.polls, waits = counting.waits;
      co_await sleep(30ms);
      CHECK(counting.waits > waits);
      if (i > 0) CHECK(counting.polls - polls <= 2);  // the wait before was long
    }
  };
  run(sleeps(), over(counting, 1ms));
}

ON_SELECTORS("with busy_poll timers are as exact as without it, and other threads and callbacks are heard") {
  CountingSelector counting(selector);
  auto body = [&]() -> Task<void> {
    EventLoop& loop = EventLoop::running();
    for (const Duration time : {Duration(200us), Duration(3ms), Duration(20ms)}) {
      const TimePoint begin = loop.system().now();
      co_await sleep(time);
      CHECK(loop.system().now() - begin >= time);
    }
    std::atomic<bool> called = false;
    std::thread other([&] { loop.call_soon_threadsafe([&called] { called = true; }); });
    while (!called) co_await sleep(1ms);
    other.join();
    CHECK(counting.waits == 0);
  };
  run(body(), over(counting, 10s));
}
