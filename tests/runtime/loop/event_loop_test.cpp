// EventLoop: its order, its callbacks, other threads, and its end.
// SPDX-License-Identifier: MIT
#include "../../../runtime/loop/event_loop.hpp"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../../../runtime/loop/ready.hpp"
#include "../../../runtime/task/gather.hpp"
#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../selector/files.hpp"
#include "../../support/counting_selector.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

using Clock = std::chrono::steady_clock;

// The kernel, but its clock stands still: no turn ends early because the machine is busy.
struct StillClock final : KernelSystem {
  TimePoint now() noexcept override { return TimePoint(1h); }
};

void look(EventLoop& loop, int turns = 1) {
  for (int i = 0; i < turns; ++i) loop.run_once(Duration(0));
}

}  // namespace

TEST_CASE("call_soon calls on the next turn, first in, first out") {
  EventLoop loop;
  std::vector<int> log;
  for (int i = 0; i < 5; ++i) loop.call_soon([&log, i] { log.push_back(i); });
  CHECK(log.empty());
  look(loop);
  CHECK(log == std::vector<int>{0, 1, 2, 3, 4});
}

TEST_CASE("what a callback asks for is called after what was asked for before") {
  EventLoop loop;
  std::vector<int> log;
  loop.call_soon([&] {
    log.push_back(1);
    loop.call_soon([&] { log.push_back(3); });
  });
  loop.call_soon([&] { log.push_back(2); });
  look(loop, 2);
  CHECK(log == std::vector<int>{1, 2, 3});
}

TEST_CASE("callbacks own their arguments and get them as lvalues") {
  EventLoop loop;
  int sum = 0;
  {
    auto add = [&sum](std::unique_ptr<int>& a, const std::string& b) {
      sum = *a + static_cast<int>(b.size());
    };
    loop.call_soon(add, std::make_unique<int>(40), std::string("ab"));
  }
  look(loop);
  CHECK(sum == 42);
}

TEST_CASE("a call that is cancelled isn't made, and its function is destroyed") {
  EventLoop loop;
  const auto watched = std::make_shared<int>(0);
  auto count = [watched] { ++*watched; };
  CallHandle soon = loop.call_soon(count);
  CallHandle later = loop.call_later(1ms, count);
  CallHandle copy = later;
  soon.cancel();
  copy.cancel();
  CHECK(soon.cancelled());
  CHECK(later.cancelled());
  CHECK_FALSE(CallHandle().cancelled());
  std::this_thread::sleep_for(2ms);
  look(loop, 2);
  CHECK(*watched == 0);
  soon = later = copy = CallHandle();
  CHECK(watched.use_count() == 2);
}

TEST_CASE("cancelling a call that was made or never was is nothing") {
  EventLoop loop;
  int called = 0;
  CallHandle handle = loop.call_soon([&] { ++called; });
  look(loop);
  handle.cancel();
  handle.cancel();
  CallHandle().cancel();
  look(loop);
  CHECK(called == 1);
}

ON_SELECTORS("call_later and call_at call in the order of their deadlines and never early") {
  EventLoop loop(loop_options(selector));
  std::vector<int> log;
  const TimePoint now = loop.time();
  const auto note = [&](int n, TimePoint due) {
    if (loop.time() < due) FAIL("called early");
    log.push_back(n);
  };
  loop.call_at(now + 3ms, note, 4, now + 3ms);
  CallHandle handle = loop.call_at(now + 1ms, note, 1, now + 1ms);
  loop.call_at(now + 2ms, note, 2, now + 2ms);
  loop.call_at(now + 2ms, note, 3, now + 2ms);
  CHECK(handle.when() == now + 1ms);
  loop.call_later(4ms, [&] { loop.stop(); });
  loop.run_forever();
  CHECK(log == std::vector<int>{1, 2, 3, 4});
}

TEST_CASE("a call at a time that has passed is made on the next turn") {
  EventLoop loop;
  int called = 0;
  loop.call_later(-1h, [&] { ++called; });
  loop.call_at(TimePoint::min(), [&] { ++called; });
  loop.call_at(TimePoint(), [&] { ++called; });
  look(loop);
  CHECK(called == 3);
  loop.call_at(TimePoint::max(), [&] { ++called; });
  loop.call_later(Duration::max(), [&] { ++called; });
  look(loop);
  CHECK(called == 3);
}

TEST_CASE("who is ready doesn't stand behind all timers that are due") {
  EventLoop loop;
  std::vector<int> order;
  for (int i = 0; i < 1'000; ++i) loop.call_at(TimePoint(), [&order, i] { order.push_back(i); });
  loop.call_soon([&] { loop.call_soon([&] { order.push_back(-1); }); });
  while (order.size() < 1'001) loop.run_once(Duration(0));
  CHECK(std::find(order.begin(), order.end(), -1) - order.begin() <= 128);
  order.erase(std::find(order.begin(), order.end(), -1));
  CHECK(std::is_sorted(order.begin(), order.end()));
}

TEST_CASE("thousands of timers that are due close together share the loop's sleeps") {
  EventLoop loop;
  int left = 6'000;
  const TimePoint start = loop.time() + 200ms;
  const auto call = [&](Duration after) { loop.call_at(start + after, [&left] { --left; }); };
  for (int i = 0; i < 2'000; ++i) call(i * 1ns);  // more than are sorted from the start
  for (int i = 0; i < 4'000; ++i) call(i * 20us);
  while (left > 0) loop.run_once();
  CHECK(loop.counters().waits <= 160);  // 80 and some; if each woke the loop, more than a thousand
}

TEST_CASE("next_deadline says when the loop has to be run again") {
  EventLoop loop;
  CHECK_FALSE(loop.next_deadline().has_value());
  const TimePoint later = loop.time() + 1h;
  CallHandle timer = loop.call_at(later, [] {});
  CHECK(loop.next_deadline() == later);
  loop.call_soon([] {});
  CHECK(*loop.next_deadline() <= loop.time());
  look(loop);
  CHECK(loop.next_deadline() == later);
  timer.cancel();
  CHECK_FALSE(loop.next_deadline().has_value());
  loop.call_soon_threadsafe([] {});
  CHECK(*loop.next_deadline() <= loop.time());
  look(loop);
  CHECK_FALSE(loop.next_deadline().has_value());
}

ON_SELECTORS("run_once waits no longer than its limit, and not at all when there is work") {
  EventLoop loop(loop_options(selector));
  auto began = Clock::now();
  loop.run_once(3ms);
  CHECK(Clock::now() - began >= 3ms);
  int called = 0;
  loop.call_soon([&] { ++called; });
  began = Clock::now();
  loop.run_once();
  CHECK(Clock::now() - began < 1s);
  CHECK(called == 1);
  // A timer ends the wait before the limit.
  loop.call_later(1ms, [&] { ++called; });
  began = Clock::now();
  loop.run_once(1h);
  CHECK(Clock::now() - began < 10s);
  CHECK(called == 2);
}

TEST_CASE("stop ends run_forever after the turn that runs now, and what is left runs next time") {
  EventLoop loop;
  std::vector<int> log;
  loop.call_soon([&] {
    log.push_back(1);
    loop.stop();
    loop.call_later(0s, [&] {
      log.push_back(3);
      loop.stop();
    });
  });
  loop.call_soon([&] { log.push_back(2); });
  loop.run_forever();
  CHECK(log == std::vector<int>{1, 2});
  loop.run_forever();
  CHECK(log == std::vector<int>{1, 2, 3});
}

TEST_CASE("a loop runs on one thread at a time and one loop runs on a thread") {
  CHECK_THROWS_AS(EventLoop::running(), std::logic_error);
  EventLoop loop;
  EventLoop other;
  CHECK_FALSE(loop.is_running());
  std::string nested;
  std::string inner;
  loop.call_soon([&] {
    CHECK(loop.is_running());
    CHECK(&EventLoop::running() == &loop);
    nested = thrown<std::logic_error>([&] { loop.run_once(Duration(0)); });
    inner = thrown<std::logic_error>([&] { other.run_forever(); });
  });
  look(loop);
  CHECK_FALSE(loop.is_running());
  CHECK_THAT(nested, Catch::Matchers::Contains("running on this thread already"));
  CHECK_THAT(inner, Catch::Matchers::Contains("running on this thread already"));
  loop.close();
  CHECK(thrown<std::logic_error>([&] { look(loop); }) == "the event loop is closed");
}

TEST_CASE("run_until_complete runs until the task is done and leaves the others for later") {
  EventLoop loop;
  JoinHandle<void> quick;
  JoinHandle<void> slow;
  auto sleeps = [](Timeout time) -> Task<void> { co_await sleep(time); };
  loop.call_soon([&] {
    slow = spawn(sleeps(std::nullopt));
    quick = spawn(sleeps(1ms));
  });
  look(loop);
  loop.run_until_complete(quick.state());
  CHECK(quick.done());
  CHECK_FALSE(slow.done());
}

TEST_CASE("a wake-up that comes when its call was made already doesn't end run_until_complete") {
  // A thread that posts wakes the loop a moment later; by then the loop may have found the call by itself.
  EventLoop loop;
  int wake_up = -1;
  for (const SelectorKey& key : loop.selector().get_map()) wake_up = key.fd;
  REQUIRE(wake_up >= 0);
  JoinHandle<void> handle;
  auto sleeps = []() -> Task<void> { co_await sleep(5ms); };
  loop.call_soon([&] {
    handle = spawn(sleeps());
    const std::uint64_t one = 1;
    must(static_cast<int>(::write(wake_up, &one, sizeof one)));
  });
  look(loop);
  loop.run_until_complete(handle.state());
  CHECK(handle.done());
}

// Other threads.

ON_SELECTORS("call_soon_threadsafe wakes a loop that sleeps") {
  EventLoop loop(loop_options(selector));
  std::thread::id ran_on;
  std::jthread other([&] {
    std::this_thread::sleep_for(5ms);
    loop.call_soon_threadsafe([&] {
      ran_on = std::this_thread::get_id();
      loop.stop();
    });
  });
  loop.run_forever();
  CHECK(ran_on == std::this_thread::get_id());
}

ON_SELECTORS("calls from several threads are all made, those of one thread in their order") {
  constexpr int threads = 4;
  constexpr int calls = 5000;
  EventLoop loop(loop_options(selector));
  int next[threads] = {};
  int made = 0;
  bool in_order = true;
  {
    std::vector<std::jthread> posters;
    for (int t = 0; t < threads; ++t)
      posters.emplace_back([&, t] {
        for (int i = 0; i < calls; ++i)
          loop.call_soon_threadsafe([&, t, i] {
            in_order = in_order && next[t]++ == i;
            if (++made == threads * calls) loop.stop();
          });
      });
    loop.run_forever();
  }
  CHECK(in_order);
  CHECK(made == threads * calls);
}

TEST_CASE("one wake-up serves all that was posted while the loop slept") {
  CountingSelector counting("default");
  StillClock clock;
  LoopOptions options;
  options.custom_selector = &counting;
  options.system = &clock;
  EventLoop loop(options);
  for (int i = 0; i < 1000; ++i) loop.call_soon_threadsafe([] {});
  int made = 0;
  loop.call_soon_threadsafe([&] {
    ++made;
    loop.stop();
  });
  const int before = counting.waits;
  loop.run_forever();
  CHECK(made == 1);
  CHECK(counting.waits - before <= 1000 / 64 + 3);
  // Nobody wrote to the descriptor, since the loop was not asleep.
  CHECK(counting.select(Duration(0)).empty());
}

TEST_CASE("a call that is posted to a closed loop is dropped with its arguments") {
  EventLoop loop;
  const auto watched = std::make_shared<int>(1);
  loop.call_soon_threadsafe([watched] { FAIL("called"); });
  loop.close();
  CHECK(watched.use_count() == 1);
  loop.call_soon_threadsafe([watched] { FAIL("called"); });
  CHECK(watched.use_count() == 1);
}

TEST_CASE("threads may post while the loop closes") {
  for (int round = 0; round < 50; ++round) {
    EventLoop loop;
    std::atomic<bool> go = false;
    std::atomic<int> posted = 0;
    std::jthread poster([&] {
      while (!go) {
      }
      for (int i = 0; i < 100; ++i) {
        loop.call_soon_threadsafe([] {});
        ++posted;
      }
    });
    go = true;
    while (posted < 10) {
    }
    look(loop);
    loop.close();
  }
  SUCCEED("nothing was touched after it was gone");
}

// Descriptors with callbacks.

ON_SELECTORS("add_reader calls as long as there is something to read, until it is removed") {
  EventLoop loop(loop_options(selector));
  const Pair pair = Pair::sockets();
  int called = 0;
  loop.add_reader(pair.a.fileno(), [&] { ++called; });
  look(loop, 2);
  CHECK(called == 0);
  pair.b.write("ab");
  look(loop, 3);
  CHECK(called == 3);
  CHECK(pair.a.read() == "ab");
  look(loop, 2);
  CHECK(called == 3);
  pair.b.write("c");
  CHECK(loop.remove_reader(pair.a.fileno()));
  CHECK_FALSE(loop.remove_reader(pair.a.fileno()));
  look(loop, 2);
  CHECK(called == 3);
  CHECK(loop.selector().get_map().size() == 1);
}

ON_SELECTORS("add_writer calls while there is room, beside a reader of the same descriptor") {
  EventLoop loop(loop_options(selector));
  const Pair pair = Pair::sockets();
  int read = 0;
  int written = 0;
  loop.add_writer(pair.a.fileno(), [&] { ++written; });
  loop.add_reader(pair.a.fileno(), [&] { ++read; });
  look(loop, 2);
  CHECK(written == 2);
  CHECK(read == 0);
  pair.a.fill();
  look(loop);
  CHECK(written == 2);
  pair.b.write("x");
  look(loop);
  CHECK(read == 1);
  CHECK(loop.remove_writer(pair.a.fileno()));
  look(loop);
  CHECK(read == 2);
  CHECK(loop.remove_reader(pair.a.fileno()));
}

ON_SELECTORS("adding a reader again replaces the one before") {
  EventLoop loop(loop_options(selector));
  const Pair pair = Pair::sockets();
  const auto watched = std::make_shared<int>(0);
  int second = 0;
  loop.add_reader(pair.a.fileno(), [watched] { ++*watched; });
  loop.add_reader(pair.a.fileno(), [&second] { ++second; });
  CHECK(watched.use_count() == 1);
  pair.b.write("x");
  look(loop);
  CHECK(*watched == 0);
  CHECK(second == 1);
}

ON_SELECTORS("a reader may remove itself, and is not called again though it was queued") {
  EventLoop loop(loop_options(selector));
  const Pair a = Pair::sockets();
  const Pair b = Pair::sockets();
  int called = 0;
  const auto removes_both = [&] {
    ++called;
    loop.remove_reader(a.a.fileno());
    loop.remove_reader(b.a.fileno());
  };
  loop.add_reader(a.a.fileno(), removes_both);
  loop.add_reader(b.a.fileno(), removes_both);
  a.b.write("x");
  b.b.write("x");
  look(loop, 3);
  CHECK(called == 1);
}

ON_SELECTORS("a bad descriptor for a reader is an error that leaves nothing behind") {
  EventLoop loop(loop_options(selector));
  const auto watched = std::make_shared<int>(0);
  CHECK_THROWS_AS(loop.add_reader(-1, [watched] {}), ValueError);
  int closed = 0;
  {
    const Pair pair = Pair::sockets();
    closed = pair.a.fileno();
  }
  std::error_code code;
  try {
    loop.add_reader(closed, [watched] {});
  } catch (const std::system_error& error) {
    code = error.code();
  }
  CHECK(code == std::errc::bad_file_descriptor);
  CHECK(watched.use_count() == 1);
  CHECK(loop.selector().get_map().size() == 1);
  CHECK_FALSE(loop.remove_reader(closed));
}

TEST_CASE("a regular file for a reader is refused on epoll with EPERM") {
  if (make_selector()->name() != std::string("epoll")) return;
  EventLoop loop(loop_options("epoll"));
  const File file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  CHECK_THAT(thrown<std::system_error>([&] { loop.add_reader(file.fileno(), [] {}); }),
             Catch::Matchers::Contains("epoll_ctl on fd " + std::to_string(file.fileno())));
  CHECK(loop.selector().get_map().size() == 1);
}

ON_SELECTORS("a descriptor that is closed behind the loop's back doesn't stop the others") {
  EventLoop loop(loop_options(selector));
  Pair doomed = Pair::sockets();
  const Pair other = Pair::sockets();
  int called = 0;
  loop.add_reader(doomed.a.fileno(), [&] { loop.remove_reader(doomed.a.fileno()); });
  loop.add_reader(other.a.fileno(), [&] {
    ++called;
    other.a.read();
  });
  doomed.a.close();
  other.b.write("x");
  look(loop, 3);
  CHECK(called == 1);
  other.b.write("x");
  look(loop, 3);
  CHECK(called == 2);
}

// Exceptions.

TEST_CASE("an exception in a callback goes to the handler, and the others are called") {
  EventLoop loop;
  struct Seen {
    std::vector<std::string> all;
  } seen;
  loop.set_report_handler(
      [](EventLoop&, const Report& report, void* argument) {
        try {
          std::rethrow_exception(report.error);
        } catch (const std::exception& exception) {
          static_cast<Seen*>(argument)->all.push_back(exception.what());
        } catch (int) {
          static_cast<Seen*>(argument)->all.push_back("int");
        }
      },
      &seen);
  int called = 0;
  loop.call_soon([] { throw std::runtime_error("one"); });
  loop.call_soon([&] { ++called; });
  loop.call_later(0s, [] { throw 2; });
  loop.call_soon([&] { ++called; });
  look(loop, 2);
  CHECK(called == 2);
  CHECK(seen.all == std::vector<std::string>{"one", "int"});
}

// Fairness.

ON_SELECTORS("tasks that never suspend by themselves let a timer and the others have their turn") {
  run_on(selector, []() -> Task<void> {
    bool stop = false;
    long spins = 0;
    auto finished = []() -> Task<void> { co_return; };
    auto done = spawn(finished());
    co_await done;
    // Joining what is done succeeds at once, always.
    auto spin = [](JoinHandle<void>& target, bool& end, long& count) -> Task<void> {
      while (!end) {
        co_await target;
        ++count;
      }
    };
    auto spinner = spawn(spin(done, stop, spins));
    co_await yield();
    CHECK(spins <= 128);
    CHECK(spins >= 64);
    co_await sleep(1ms);
    stop = true;
    co_await spinner;
  });
}

ON_SELECTORS("ready on a descriptor that always is lets the others have their turn") {
  run_on(selector, []() -> Task<void> {
    const Pair pair = Pair::sockets();
    bool stop = false;
    long spins = 0;
    // Somebody waits for the other direction, so the descriptor is watched already.
    auto waits = [](int fd) -> Task<void> { co_await readable(fd); };
    auto reader = spawn(waits(pair.a.fileno()));
    auto spin = [](int fd, bool& end, long& count) -> Task<void> {
      while (!end && count < 1'000'000) {
        co_await ready(fd, EVENT_READ | EVENT_WRITE);
        ++count;
      }
    };
    auto spinner = spawn(spin(pair.a.fileno(), stop, spins));
    co_await yield();
    co_await yield();
    CHECK(spins <= 256);
    co_await sleep(1ms);
    CHECK(spins < 1'000'000);
    stop = true;
    co_await spinner;
    reader.cancel();
  });
}

ON_SELECTORS("while there is work the selector is looked at at least every 64 steps") {
  CountingSelector counting(selector);
  StillClock clock;
  LoopOptions options;
  options.custom_selector = &counting;
  options.system = &clock;
  EventLoop loop(options);
  const Pair pair = Pair::sockets();
  int steps = 0;
  int steps_at_event = -1;
  std::function<void()> busy = [&] {
    ++steps;
    if (steps == 100) pair.b.write("x");
    if (steps < 1000) loop.call_soon([&] { busy(); });
  };
  for (int i = 0; i < 8; ++i) loop.call_soon([&] { busy(); });
  loop.add_reader(pair.a.fileno(), [&] {
    if (steps_at_event < 0) steps_at_event = steps;
  });
  const int waits = counting.waits;
  while (steps < 1000) loop.run_once(Duration(0));
  CHECK(counting.waits - waits >= 1000 / 64);
  CHECK(counting.waits - waits <= 1000 / 64 + 2);
  CHECK(steps_at_event >= 100);
  CHECK(steps_at_event <= 100 + 64 + 8);
}

TEST_CASE(
    "while steps take no time the kernel is asked no more than every 5 us, and posted calls still come "
    "soon") {
  EventLoop loop;
  constexpr int steps = 20'000;
  int made = 0;
  int made_at_post = -1;
  const auto step = [&] {
    if (++made == steps) loop.stop();
    if (made == 1000) loop.call_soon_threadsafe([&] { made_at_post = made; });
  };
  for (int i = 0; i < steps; ++i) loop.call_soon(step);
  loop.call_later(0s, [&loop] { loop.call_soon([] {}); });
  const TimePoint start = loop.time();
  loop.run_forever();
  const auto looks = static_cast<std::uint64_t>((loop.time() - start) / 5us);
  CHECK(loop.counters().polls <= looks + 2);
  CHECK(loop.counters().timers_fired == 1);
  CHECK(loop.counters().turns >= steps / 64);
  loop.run_once(Duration(0));
  CHECK(made_at_post == steps);  // behind all that was queued before it
}

// The end.

ON_SELECTORS("close cancels live tasks, drops timers and callbacks, and gives every descriptor back") {
  const Pair pair = Pair::sockets();
  const int before = open_descriptors();
  const auto watched = std::make_shared<int>(0);
  CallHandle timer;
  {
    EventLoop loop(loop_options(selector));
    auto holds = [](std::shared_ptr<int> value, int fd) -> Task<void> {
      try {
        co_await readable(fd);
      } catch (const Cancelled&) {
        ++*value;
        throw;
      }
    };
    loop.call_soon([&] { spawn(holds(watched, pair.a.fileno())); });
    timer = loop.call_later(1h, [watched] { *watched += 100; });
    loop.add_reader(pair.b.fileno(), [watched] { *watched += 100; });
    look(loop, 2);
    loop.close();
    loop.close();
    CHECK(loop.closed());
    timer = CallHandle();
    CHECK(watched.use_count() == 1);
  }
  CHECK(*watched == 1);
  CHECK(open_descriptors() <= before);  // fewer when a thread of the pool has let go of a loop
}

TEST_CASE("a call handle may outlive its loop") {
  CallHandle soon;
  CallHandle later;
  {
    EventLoop loop;
    soon = loop.call_soon([] {});
    later = loop.call_later(1h, [] {});
  }
  soon.cancel();
  later.cancel();
  CHECK(later.cancelled());
}

TEST_CASE("a callback that was queued by a task that has ended may spawn") {
  EventLoop loop;
  int ran = 0;
  auto child = [](int& count) -> Task<void> {
    ++count;
    co_return;
  };
  auto ends_at_once = [](EventLoop& its_loop, auto make, int& count) -> Task<void> {
    its_loop.call_soon([&count, make] { spawn(make(count)); });
    co_return;
  };
  loop.call_soon([&] { spawn(ends_at_once(loop, child, ran)); });
  look(loop, 3);
  CHECK(ran == 1);
}

namespace {

// The order in which 200 tasks that are ready at the same time have their turns, three each.
std::vector<int> order_of_turns(std::uint64_t seed) {
  LoopOptions options;
  options.shuffle_seed = seed;
  std::vector<int> order;
  auto takes_turns = [](std::vector<int>& log, int id) -> Task<void> {
    for (int i = 0; i < 3; ++i) {
      log.push_back(id);
      co_await yield();
    }
  };
  auto main = [&]() -> Task<void> {
    std::vector<Task<void>> tasks;
    for (int id = 0; id < 200; ++id) tasks.push_back(takes_turns(order, id));
    co_await gather(std::move(tasks));
  };
  run(main(), options);
  return order;
}

}  // namespace

TEST_CASE("a seed shuffles what is ready at the same time, the same way each time, and loses nobody's turn") {
  const std::vector<int> in_order = order_of_turns(0);
  for (int i = 0; i < 600; ++i) REQUIRE(in_order[static_cast<std::size_t>(i)] == i % 200);
  const std::vector<int> shuffled = order_of_turns(1);
  CHECK(shuffled != in_order);
  CHECK(shuffled == order_of_turns(1));
  CHECK(shuffled != order_of_turns(2));
  std::vector<int> sorted = shuffled;
  std::sort(sorted.begin(), sorted.end());
  for (int i = 0; i < 600; ++i) REQUIRE(sorted[static_cast<std::size_t>(i)] == i / 3);
  // No place in line is better than another: each is as often in the first half as in the second.
  std::array<int, 200> first_half{};
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const std::vector<int> order = order_of_turns(seed);
    for (std::size_t i = 0; i < 100; ++i) ++first_half[static_cast<std::size_t>(order[i])];
  }
  CHECK(*std::min_element(first_half.begin(), first_half.end()) > 60);
  CHECK(*std::max_element(first_half.begin(), first_half.end()) < 140);
}
