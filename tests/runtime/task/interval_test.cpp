// Interval: ticks without drift, and what happens to those that are missed.
// SPDX-License-Identifier: MIT
#include "../../../runtime/task/interval.hpp"

#include <stdexcept>
#include <vector>

#include "../../../runtime/loop/event_loop.hpp"
#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../../runtime/testing/testing.hpp"
#include "../../../selector/errors.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

TimePoint now() { return EventLoop::running().time(); }

// The clock of these: it stands still unless it is told to move.
struct Clock : KernelSystem {
  TimePoint at = TimePoint() + 1h;
  TimePoint now() noexcept override { return at; }
};

// When each of `n` ticks was due, in periods of a second; before the second one the clock goes on by `late`.
std::vector<long> ticks_of(MissedTick missed, Duration late, int n) {
  Clock clock;
  const TimePoint began = clock.at;
  std::vector<long> due;
  run_on(
      "default",
      [&]() -> Task<void> {
        Interval every = interval(1s, missed);
        for (int i = 0; i < n; ++i) {
          if (every.next() > clock.at) clock.at = every.next();
          if (i == 1) clock.at += late;
          due.push_back((co_await every.tick() - began) / 100ms);
        }
      },
      &clock);
  return due;
}

}  // namespace

ON_SELECTORS("an interval ticks a period after the tick before, however long the work takes") {
  run_on(selector, []() -> Task<void> {
    const TimePoint began = now();
    Interval every = interval_at(began + 2ms, 2ms, MissedTick::BURST);
    for (int i = 1; i <= 5; ++i) {
      const TimePoint due = co_await every.tick();
      CHECK(due == began + i * 2ms);
      CHECK(now() >= due);
      co_await sleep(500us);
    }
  });
}

TEST_CASE("the first tick of an interval comes after a period") {
  run_here([]() -> Task<void> {
    const TimePoint began = now();
    Interval every = interval(3ms);
    CHECK(every.period() == 3ms);
    const TimePoint due = co_await every.tick();
    CHECK(due >= began + 3ms);
    CHECK(now() >= due);
  });
}

TEST_CASE("missed ticks are left out by default, and the others come when they would have come") {
  CHECK(ticks_of(MissedTick::SKIP, 3500ms, 4) == std::vector<long>{10, 20, 60, 70});
  CHECK(ticks_of(MissedTick::SKIP, 900ms, 4) == std::vector<long>{10, 20, 30, 40});
}

TEST_CASE("missed ticks of an interval that bursts are made up for") {
  CHECK(ticks_of(MissedTick::BURST, 3500ms, 7) == std::vector<long>{10, 20, 30, 40, 50, 60, 70});
}

TEST_CASE("an interval that delays goes on a period after the late tick") {
  CHECK(ticks_of(MissedTick::DELAY, 3500ms, 4) == std::vector<long>{10, 20, 65, 75});
  CHECK(ticks_of(MissedTick::DELAY, 900ms, 4) == std::vector<long>{10, 20, 30, 40});
}

TEST_CASE("a burst of overdue ticks still gives the others their turn") {
  run_here([]() -> Task<void> {
    bool other_ran = false;
    auto other = [](bool& ran) -> Task<void> {
      ran = true;
      co_return;
    };
    spawn(other(other_ran));
    Interval every = interval_at(now() - 1s, 1us, MissedTick::BURST);
    for (int i = 0; i < 500; ++i) co_await every.tick();
    CHECK(other_ran);
  });
}

ON_SELECTORS("a tick that was waited for in vain is still to come") {
  run_on(selector, []() -> Task<void> {
    const TimePoint first = now() + 1h;
    Interval every = interval_at(first, 1h);
    bool expired = false;
    try {
      co_await timeout(1ms, every.tick());
    } catch (const TimeoutError&) {
      expired = true;
    }
    CHECK(expired);
    CHECK(EventLoop::running().timers().empty());
    CHECK(every.next() == first);
    every.reset_at(first - 1h);
    const TimePoint due = co_await every.tick();
    CHECK(due == first - 1h);
    CHECK(every.next() == first);
  });
}

TEST_CASE("an interval can be set back") {
  run_here([]() -> Task<void> {
    Interval every = interval(1h);
    const TimePoint soon = now() + 1ms;
    every.reset_at(soon);
    const TimePoint due = co_await every.tick();
    CHECK(due == soon);
    every.reset();
    CHECK(every.next() > now() + 59min);
    every.reset_at(TimePoint::max());
    CHECK(every.next() == TimePoint::max());
  });
}

TEST_CASE("a period that is not positive, no loop, and a second waiter are refused") {
  CHECK_THROWS_AS(interval(1s), std::logic_error);
  run_here([]() -> Task<void> {
    CHECK_THROWS_AS(interval(0s), ValueError);
    CHECK_THROWS_AS(interval(-1s), ValueError);
    Interval every = interval(1h);
    auto waits = [](Interval& which) -> Task<void> { co_await which.tick(); };
    auto first = spawn(waits(every));
    co_await yield();
    bool refused = false;
    try {
      co_await waits(every);
    } catch (const std::logic_error&) {
      refused = true;
    }
    CHECK(refused);
    first.cancel();
    co_await yield();
    CHECK(first.cancelled());
    every.reset_at(now());
    co_await every.tick();
  });
}

TEST_CASE("a tick that is cancelled at any point leaves no timer, and the next tick comes") {
  const DisturbCount count = cancel_everywhere([]() -> Task<void> {
    Interval every = interval(1ms);
    for (int i = 0; i < 3; ++i) co_await every.tick();
  });
  CHECK(count.places >= 7);
}

TEST_CASE("an interval that is reset while a task waits for it ticks when it says then") {
  LoopOptions options;
  options.virtual_time = true;
  const auto main = []() -> Task<void> {
    const TimePoint began = now();
    Interval every = interval(10ms);
    auto ticks = [](Interval& from) -> Task<TimePoint> { co_return co_await from.tick(); };
    auto waits = spawn(ticks(every));
    co_await sleep(5ms);
    every.reset();
    TimePoint due = co_await waits;
    CHECK(due == began + 15ms);
    CHECK(now() == began + 15ms);

    waits = spawn(ticks(every));  // sooner
    co_await sleep(1ms);
    every.reset_at(began + 17ms);
    due = co_await waits;
    CHECK(due == began + 17ms);
    CHECK(now() == began + 17ms);

    waits = spawn(ticks(every));  // when it was due, but the task hasn't had its turn
    co_await sleep_until(began + 27ms);
    every.reset();
    due = co_await waits;
    CHECK(due == began + 37ms);
    CHECK(now() == began + 37ms);
  };
  run(main(), options);
}

TEST_CASE("a copy of an interval that a task waits for ticks by itself, and an assignment is a reset") {
  LoopOptions options;
  options.virtual_time = true;
  const auto main = []() -> Task<void> {
    const TimePoint began = now();
    Interval every = interval(10ms);
    auto ticks = [](Interval& from) -> Task<TimePoint> { co_return co_await from.tick(); };
    auto waits = spawn(ticks(every));
    co_await sleep(1ms);
    Interval copy = every;
    TimePoint due = co_await copy.tick();
    CHECK(due == began + 10ms);
    due = co_await waits;
    CHECK(due == began + 10ms);

    waits = spawn(ticks(every));
    co_await sleep(1ms);
    every = interval(3ms);
    due = co_await waits;
    CHECK(due == began + 14ms);
    CHECK(every.period() == 3ms);
  };
  run(main(), options);
}

TEST_CASE("an interval that began before the clock's zero ticks, whatever it does about missed ticks") {
  for (const MissedTick missed : {MissedTick::SKIP, MissedTick::BURST, MissedTick::DELAY}) {
    for (const TimePoint first : {TimePoint() - 2h, TimePoint::min()}) {
      Clock clock;
      run_on(
          "default",
          [&]() -> Task<void> {
            Interval every = interval_at(first, 1h, missed);
            for (int i = 0; i < 3; ++i) {
              const TimePoint due = co_await every.tick();
              CHECK(due <= clock.at);
              if (i == 0) CHECK(due == first);
              if (missed == MissedTick::BURST) continue;
              CHECK(every.next() > clock.at);
              CHECK(every.next() <= clock.at + 1h);
              clock.at = every.next();
            }
          },
          &clock);
    }
  }
  Clock clock;  // whose own time is before its zero
  clock.at = TimePoint() - 5h;
  run_on(
      "default",
      [&]() -> Task<void> {
        Interval every = interval(1h);
        CHECK(every.next() == clock.at + 1h);
        clock.at += 1h;
        const TimePoint due = co_await every.tick();
        CHECK(due == TimePoint() - 4h);
      },
      &clock);
}
