// Deadline, and times without end: whatever takes a duration or a point of time saturates.
// SPDX-License-Identifier: MIT
#include "../../../runtime/core/deadline.hpp"

#include <chrono>
#include <string>

#include "../../../runtime/loop/event_loop.hpp"
#include "../../../runtime/task/interval.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../../runtime/task/wait.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

using std::chrono::hours;
using std::chrono::steady_clock;
template <class D>
using Point = std::chrono::time_point<steady_clock, D>;

Task<int> gives_one() {
  co_await yield();
  co_return 1;
}
Task<void> sleeps(Timeout time) { co_await sleep(time); }
Task<void> sleeps_until_the_end() { co_await sleep_until(Point<hours>::max()); }

}  // namespace

TEST_CASE("a deadline of any resolution is a point of time, saturating and rounded up") {
  CHECK(Deadline(TimePoint(5ns)).time() == TimePoint(5ns));
  CHECK(Deadline(Point<hours>(3h)).time() == TimePoint(3h));
  CHECK(Deadline(Point<std::chrono::duration<double>>(std::chrono::duration<double>(1e-9 / 2))).time() ==
        TimePoint(1ns));
  CHECK(Deadline(Point<hours>::max()).time() == TimePoint::max());
  CHECK(Deadline(Point<hours>::min()).time() == TimePoint::min());
  CHECK(Deadline(TimePoint::max()).time() == TimePoint::max());
  CHECK(Deadline(TimePoint::min()).time() == TimePoint::min());
}

TEST_CASE("a delay from any time saturates") {
  struct Clock final : KernelSystem {
    TimePoint now() noexcept override { return time; }
    TimePoint time{};
  } clock;
  LoopOptions options;
  options.system = &clock;
  EventLoop loop(options);
  for (const TimePoint now : {TimePoint::min(), TimePoint(-1h), TimePoint(), TimePoint(1h), TimePoint::max()})
    for (const Duration delay :
         {Duration::min(), Duration(-1h), Duration(0), Duration(1h), Duration::max()}) {
      clock.time = now;
      const long double sum =
          static_cast<long double>(now.time_since_epoch().count()) + static_cast<long double>(delay.count());
      const TimePoint after = loop.deadline_after(delay);
      if (sum >= static_cast<long double>(Duration::max().count()))
        CHECK(after == TimePoint::max());
      else if (sum <= static_cast<long double>(Duration::min().count()))
        CHECK(after == TimePoint::min());
      else
        CHECK(after == now + delay);
    }
  clock.time = TimePoint();
}

TEST_CASE("what is asked for after the longest of times, or at the end of time, isn't called") {
  EventLoop loop;
  int called = 0;
  const auto count = [&] { ++called; };
  loop.call_later(hours::max(), count);
  loop.call_later(std::chrono::years::max(), count);
  loop.call_later(std::chrono::duration<double>(1e300), count);
  loop.call_later(Duration::max(), count);
  loop.call_later(std::nullopt, count);
  loop.call_at(Point<hours>::max(), count);
  loop.call_at(TimePoint::max(), count);
  for (int i = 0; i < 3; ++i) loop.run_once(Duration(0));
  CHECK(called == 0);
  CHECK_FALSE(loop.next_deadline().has_value());
  loop.call_later(hours::min(), count);
  loop.call_at(Point<hours>::min(), count);
  loop.run_once(Duration(0));
  CHECK(called == 2);
}

TEST_CASE("what is due at the end of time only keeps nobody from finding a deadlock") {
  LoopOptions options;
  options.virtual_time = true;
  EventLoop loop(options);
  int called = 0;
  loop.call_later(hours::max(), [&] { ++called; });
  loop.call_later(1h, [&] { ++called; });
  loop.run_once();
  CHECK(called == 1);
  CHECK_THROWS_AS(loop.run_once(), Deadlock);
  CHECK(called == 1);
}

TEST_CASE("tasks may wait for the longest of times") {
  run_here([]() -> Task<void> {
    auto long_sleep = spawn(sleeps(hours::max()));
    auto sleep_without_end = spawn(sleeps_until_the_end());
    auto ticks = []() -> Task<void> {
      Interval interval(hours::max());
      co_await interval.tick();
    };
    auto tick = spawn(ticks());
    const int in_time = co_await timeout(hours::max(), gives_one());
    CHECK(in_time == 1);
    const int before_the_end = co_await timeout_at(Point<hours>::max(), gives_one());
    CHECK(before_the_end == 1);
    for (int i = 0; i < 5; ++i) co_await yield();
    CHECK_FALSE(long_sleep.done());
    CHECK_FALSE(sleep_without_end.done());
    CHECK_FALSE(tick.done());
    long_sleep.cancel();
    sleep_without_end.cancel();
    tick.cancel();
  });
}
