// TurnLimit, and the loop that it limits: a turn ends after 64 steps, or after about a millisecond.
// SPDX-License-Identifier: MIT
#include "../../../runtime/loop/turn_limit.hpp"

#include <algorithm>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "../../../runtime/loop/event_loop.hpp"
#include "../../../runtime/loop/ready.hpp"
#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../selector/files.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::test;
using namespace std::chrono_literals;
using detail::TurnLimit;

namespace {

// The kernel, but its clock stands still unless a step moves it.
struct SteppedClock final : KernelSystem {
  TimePoint now() noexcept override {
    ++reads;
    return time;
  }
  TimePoint time{1h};
  int reads = 0;
};

LoopOptions with(SteppedClock& clock, std::string_view selector = "default") {
  LoopOptions options;
  options.selector = selector;
  options.system = &clock;
  return options;
}

struct Turn {
  int steps;
  int reads;
  Duration time;
};

// A turn with steps that take `cost` each; there are `ready` of them, in rounds of so many.
Turn take_turn(TurnLimit& limit, TimePoint& clock, int ready, int round,
               const std::function<Duration()>& cost) {
  const TimePoint began = clock;
  Turn turn{0, 0, {}};
  int granted = limit.begin(clock);
  int in_round = 0;
  while (granted > 0 && turn.steps < ready) {
    if (in_round == 0 && turn.steps > 0 && limit.waits_for_round()) {
      limit.end_round(turn.steps);
      ++turn.reads;
      granted = limit.more(clock);
      if (granted == 0) break;
    }
    if (turn.steps + granted > TurnLimit::most_steps) return {-1, 0, {}};
    clock += cost();
    ++turn.steps;
    in_round = (in_round + 1) % round;
    if (--granted > 0) continue;
    if (turn.steps == ready || limit.is_full()) break;
    if (in_round != 0 && !limit.measures_each()) {
      granted = limit.until_round();
    } else {
      ++turn.reads;
      granted = in_round == 0 ? limit.more(clock) : limit.more_within_round(clock);
    }
  }
  limit.end(turn.steps, turn.steps < ready);
  turn.time = clock - began;
  return turn;
}

}  // namespace

TEST_CASE("a turn of short steps has 64 of them, and soon the clock is read no more") {
  const auto short_steps = [] { return Duration(1us); };
  TimePoint clock{1h};
  TurnLimit limit;
  CHECK(take_turn(limit, clock, 100, 1, short_steps).reads == 6);  // after 1, 2, 4, 8, 16 and 32
  TurnLimit other;
  CHECK(take_turn(other, clock, 100, 100, short_steps).reads == 0);  // within a round
  for (int i = 0; i < 10; ++i) {
    const Turn turn = take_turn(limit, clock, 100, 1, short_steps);
    CHECK(turn.steps == 64);
    CHECK(turn.reads == 0);
  }
}

TEST_CASE("a turn of long steps ends when a millisecond has passed, but for the first of them") {
  const auto steps_of = [](Duration cost) { return [cost] { return cost; }; };
  TurnLimit limit;
  TimePoint clock{1h};
  CHECK(take_turn(limit, clock, 100, 1, steps_of(10ms)).steps == 1);
  CHECK(take_turn(limit, clock, 100, 1, steps_of(10ms)).steps == 1);
  CHECK(take_turn(limit, clock, 100, 1, steps_of(600us)).steps == 2);
  // Within a round as well, if they are long themselves.
  CHECK(take_turn(limit, clock, 100, 100, steps_of(10ms)).steps == 1);
  CHECK(take_turn(limit, clock, 100, 100, steps_of(300us)).steps == 4);
  CHECK(take_turn(limit, clock, 100, 100, steps_of(100us)).steps == 64);
  for (int i = 0; i < 3; ++i) take_turn(limit, clock, 100, 1, steps_of(1us));
  CHECK(take_turn(limit, clock, 100, 1, steps_of(10ms)).steps == 64);
  CHECK(take_turn(limit, clock, 100, 1, steps_of(10ms)).steps == 1);
}

TEST_CASE("after a turn that has left nothing the clock is read within no round: it may have been a wait") {
  TurnLimit limit;
  TimePoint clock{1h};
  for (int i = 0; i < 10; ++i) {
    clock += 1s;
    const Turn turn = take_turn(limit, clock, 50, 50, [] { return Duration(100us); });
    CHECK(turn.steps == 50);
    CHECK(turn.reads == 0);
  }
}

TEST_CASE("random turns never have more steps than allowed, nor go on for long once they are measured") {
  for (unsigned seed = 1; seed <= 200; ++seed) {
    std::mt19937 random(seed);
    TurnLimit limit;
    TimePoint clock{1h};
    Duration before = 2ms;  // that the last turn took, and the pause behind it
    int proved = 0;
    bool left = false;
    for (int i = 0; i < 200; ++i) {
      const int ready = std::uniform_int_distribution<int>(0, 150)(random);
      const int round = std::uniform_int_distribution<int>(1, 3)(random);
      const Duration longest = random() % 4 == 0 ? Duration(3ms) : Duration(2us);
      std::uniform_int_distribution<Duration::rep> cost(0, longest.count());
      const TimePoint began = clock;
      const Turn turn = take_turn(limit, clock, ready, round, [&] { return Duration(cost(random)); });
      INFO("seed " << seed << ", turn " << i);
      REQUIRE(turn.steps >= std::min(ready, 1));
      REQUIRE(turn.steps <= std::min(ready, 64));
      // What hasn't been measured is at most what proved short before, twice over, and the rest of a round.
      if (before >= 1ms) proved = 0;
      const bool each = before >= 1ms && left;
      const bool ended_early = turn.steps < std::min(ready, 64);
      if (ended_early) REQUIRE(turn.time >= 1ms);
      const int unmeasured = (each ? 1 : std::max(2 * proved + 1, turn.steps / 2 + 1)) + round;
      REQUIRE(turn.time <= 1ms + unmeasured * longest);
      if (random() % 3 == 0) clock += std::chrono::microseconds(random() % 5000);
      before = clock - began;
      proved = std::max(turn.steps, proved / 2);
      left = turn.steps < ready;
    }
  }
}

ON_SELECTORS("a loop whose steps are long fires its timers and polls after each of them") {
  SteppedClock clock;
  int ticks = 0;
  int events = 0;
  const Pair pair = Pair::sockets();
  pair.b.write("x");
  EventLoop loop(with(clock, selector));
  std::function<void()> tick = [&] {
    ++ticks;
    loop.call_later(1ms, [&] { tick(); });
  };
  loop.call_later(1ms, [&] { tick(); });
  loop.add_reader(pair.a.fileno(), [&] { ++events; });
  auto computes = [](SteppedClock& its_clock) -> Task<void> {
    for (int i = 0; i < 100; ++i) {
      its_clock.time += 10ms;
      co_await yield();
    }
  };
  auto task = spawn_for(loop, computes(clock), std::source_location());
  loop.run_until_complete(task.state());
  CHECK(ticks >= 95);
  CHECK(events >= 95);
}

TEST_CASE("a task whose steps are long has one turn for each of many others' that are short") {
  SteppedClock clock;
  EventLoop loop(with(clock));
  int ticks = 0;
  std::function<void()> tick = [&] {
    ++ticks;
    loop.call_later(1ms, [&] { tick(); });
  };
  for (int i = 0; i < 30; ++i) tick();
  auto computes = [](SteppedClock& its_clock) -> Task<void> {
    for (int i = 0; i < 100; ++i) {
      its_clock.time += 10ms;
      co_await yield();
    }
  };
  auto task = spawn_for(loop, computes(clock), std::source_location());
  loop.run_until_complete(task.state());
  CHECK(ticks >= 30 * 90);
}

TEST_CASE("what was queued before a timer was set has its turn before that is due, however long steps take") {
  SteppedClock clock;
  LoopOptions options = with(clock);
  for (const bool timed : {false, true}) {
    if (timed) options.slow_turn = 1h;
    EventLoop loop(options);
    std::string order;
    const auto child = [](std::string& out) -> Task<void> {
      out += 'c';
      co_return;
    };
    const auto parent = [&]() -> Task<void> {
      for (int i = 0; i < 20; ++i) {
        spawn(child(order));
        if (i % 2 == 0) clock.time += 10ms;
        co_await sleep(1ms);
        order += 'p';
      }
    };
    const auto computes = [&]() -> Task<void> {
      for (int i = 0; i < 100; ++i) {
        clock.time += 10ms;
        co_await yield();
      }
    };
    auto first = spawn_for(loop, parent(), std::source_location());
    auto second = spawn_for(loop, computes(), std::source_location());
    loop.run_until_complete(first.state());
    std::string expected;
    for (int i = 0; i < 20; ++i) expected += "cp";
    CHECK(order == expected);
  }
}

TEST_CASE("long callbacks, and those that other threads have posted, leave turns to timers as well") {
  for (const bool posted : {false, true}) {
    SteppedClock clock;
    EventLoop loop(with(clock));
    int made = 0;
    int made_at_timer = -1;
    std::function<void()> step = [&] {
      clock.time += 10ms;
      if (++made == 100) return loop.stop();
      if (posted)
        loop.call_soon_threadsafe([&] { step(); });
      else
        loop.call_soon([&] { step(); });
    };
    loop.call_soon([&] { step(); });
    loop.call_later(5ms, [&] { made_at_timer = made; });
    loop.run_forever();
    CHECK(made_at_timer >= 1);
    CHECK(made_at_timer <= 3);
  }
}

TEST_CASE("callbacks of timers that are due together and take long let others in between") {
  SteppedClock clock;
  EventLoop loop(with(clock));
  std::string order;
  for (int i = 0; i < 10; ++i)
    loop.call_at(clock.time, [&] {
      clock.time += 10ms;
      order += 'l';
    });
  loop.call_at(clock.time + 15ms, [&] { order += 'o'; });
  loop.call_at(clock.time + 25ms, [&] {
    order += 'e';
    loop.stop();
  });
  loop.run_forever();
  CHECK(order ==
        std::string(10, 'l') + "oe");  // first in, first out: they are queued behind what was due before
}

TEST_CASE("a turn that is timed by a slow turn's monitor is bounded as well") {
  SteppedClock clock;
  LoopOptions options = with(clock);
  options.slow_turn = 1h;
  EventLoop loop(options);
  int steps = 0;
  std::function<void()> step = [&] {
    clock.time += 10ms;
    ++steps;
    loop.call_soon([&] { step(); });
  };
  loop.call_soon([&] { step(); });
  for (int i = 1; i <= 3; ++i) {
    loop.run_once(Duration(0));
    CHECK(steps == i);
  }
}

TEST_CASE("in virtual time a turn has 64 steps, however long they take") {
  LoopOptions options;
  options.virtual_time = true;
  EventLoop loop(options);
  int steps = 0;
  for (int i = 0; i < 100; ++i) loop.call_soon([&] { ++steps; });
  loop.run_once(Duration(0));
  CHECK(steps == 64);
}

TEST_CASE("a loop whose steps are short reads its clock no more than once or twice a turn") {
  SteppedClock clock;
  EventLoop loop(with(clock));
  for (int i = 0; i < 64 * 110; ++i) loop.call_soon([&] { clock.time += 1us; });
  for (int i = 0; i < 10; ++i) loop.run_once(Duration(0));
  const int before = clock.reads;
  for (int i = 0; i < 90; ++i) loop.run_once(Duration(0));
  CHECK(clock.reads - before <= 2 * 90);
  CHECK(loop.counters().resumes == 64 * 100);
}
