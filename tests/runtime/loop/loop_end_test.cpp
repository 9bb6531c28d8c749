// How a loop ends, and what must not keep it from that; and how it fails to begin.
// SPDX-License-Identifier: MIT
#include <signal.h>
#include <sys/resource.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../../../runtime/loop/event_loop.hpp"
#include "../../../runtime/loop/ready.hpp"
#include "../../../runtime/loop/signals.hpp"
#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../../runtime/testing/allocation_faults.hpp"
#include "../../../runtime/threads/remote_task.hpp"
#include "../../selector/files.hpp"
#include "../../support/counting_selector.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

LoopOptions over(BaseSelector& selector) {
  LoopOptions options;
  options.custom_selector = &selector;
  return options;
}

// Goes on after its Cancelled for so many turns.
Task<void> says_goodbye(int turns, bool& done) {
  try {
    co_await sleep(std::nullopt);
  } catch (const Cancelled&) {
  }
  for (int i = 0; i < turns; ++i) co_await yield();
  done = true;
}
Task<void> nothing() { co_return; }

// Threads that post to a loop as fast as they can.
class Flood {
 public:
  Flood(EventLoop& loop, int threads, void (*post)(EventLoop&)) {
    for (int i = 0; i < threads; ++i)
      threads_.emplace_back([this, &loop, post] {
        while (!ends_) {
          post(loop);
          ++posted_;
        }
      });
    while (posted_ < 1000) std::this_thread::yield();
  }
  ~Flood() { ends_ = true; }

 private:
  std::atomic<bool> ends_ = false;
  std::atomic<int> posted_ = 0;
  std::vector<std::jthread> threads_;
};

}  // namespace

TEST_CASE("close ends while other threads keep spawning and calling") {
  const auto spawns = [](EventLoop& loop) { static_cast<void>(spawn_threadsafe(loop, nothing())); };
  const auto calls = [](EventLoop& loop) { loop.call_soon_threadsafe([] {}); };
  const auto calls_what_spawns = [](EventLoop& loop) { loop.call_soon_threadsafe([] { spawn(nothing()); }); };
  for (void (*const post)(EventLoop&) : {+spawns, +calls, +calls_what_spawns}) {
    EventLoop loop;
    bool done = false;
    auto task = spawn_for(loop, says_goodbye(100, done), std::source_location());
    loop.run_once(Duration(0));
    const Flood flood(loop, 3, post);
    loop.close();
    CHECK(done);
  }
}

TEST_CASE("what a task needs as its loop closes still comes from other threads") {
  EventLoop loop;
  bool came = false;
  auto waits = [](EventLoop& its_loop, bool& flag) -> Task<void> {
    try {
      co_await sleep(std::nullopt);
    } catch (const Cancelled&) {
    }
    const std::jthread other([&] { its_loop.call_soon_threadsafe([&] { flag = true; }); });
    while (!flag) co_await sleep(1ms);
  };
  auto task = spawn_for(loop, waits(loop, came), std::source_location());
  loop.run_once(Duration(0));
  loop.close();
  CHECK(task.done());
  CHECK(came);
}

TEST_CASE("a task that catches its Cancelled and goes on is told when its loop waits for it to close") {
  const auto goes_on = [](Duration time) -> Task<void> {
    const TimePoint until = EventLoop::running().time() + time;
    while (EventLoop::running().time() < until) {
      try {
        co_await sleep(100ms);
      } catch (...) {
      }
    }
  };
  for (const Duration time : {Duration(4s), Duration(8s)}) {
    std::vector<std::string> told;
    EventLoop loop(in_virtual_time());
    loop.set_report_handler(
        [](EventLoop&, const Report& report, void* to) {
          static_cast<std::vector<std::string>*>(to)->emplace_back(report.message);
        },
        &told);
    auto task = spawn_for(loop, goes_on(time), std::source_location());
    task.set_name("stubborn");
    loop.run_once(Duration(0));
    loop.close();
    CHECK(task.done());
    if (time < 5s) {
      CHECK(told.empty());
      continue;
    }
    REQUIRE(told.size() == 1);
    CHECK(told[0].find("these tasks haven't ended, though they were asked to stop") != std::string::npos);
    CHECK(told[0].find("\"stubborn\"") != std::string::npos);
  }
}

TEST_CASE("close is refused from within the loop, and changes nothing") {
  EventLoop loop;
  EventLoop other;
  std::string in_callback;
  std::string in_task;
  std::string in_other;
  loop.call_soon([&] { in_callback = thrown<std::logic_error>([&] { loop.close(); }); });
  auto tries = [](EventLoop& its_loop, std::string& text) -> Task<void> {
    text = thrown<std::logic_error>([&] { its_loop.close(); });
    co_await yield();
  };
  auto task = spawn_for(loop, tries(loop, in_task), std::source_location());
  // A task of another loop that is closed meanwhile runs within this one, too.
  auto nested = spawn_for(other, tries(loop, in_other), std::source_location());
  loop.call_soon([&] { other.close(); });
  loop.run_until_complete(task.state());
  CHECK_THAT(in_callback, Catch::Matchers::Contains("close() of an event loop from within it"));
  CHECK(in_task == in_callback);
  CHECK(in_other.empty());  // it was cancelled before it began
  CHECK_FALSE(loop.closing());
  CHECK(other.closed());
  loop.close();
  CHECK(loop.closed());
}

TEST_CASE("a task of a loop that is closed from within another can't close that one") {
  EventLoop outer;
  EventLoop inner;
  std::string text;
  auto tries = [](EventLoop& loop, std::string& result) -> Task<void> {
    try {
      co_await sleep(std::nullopt);
    } catch (const Cancelled&) {
    }
    result = thrown<std::logic_error>([&] { loop.close(); });
  };
  auto task = spawn_for(inner, tries(outer, text), std::source_location());
  inner.run_once(Duration(0));
  outer.call_soon([&] { inner.close(); });
  outer.run_once(Duration(0));
  CHECK_THAT(text, Catch::Matchers::Contains("from within it"));
  CHECK_FALSE(outer.closing());
}

TEST_CASE("stop before a run ends that run after one turn, which doesn't wait") {
  EventLoop loop;
  int called = 0;
  loop.call_soon([&] {
    ++called;
    loop.call_later(0s, [&] { ++called; });
  });
  loop.stop();
  loop.run_forever();
  CHECK(called == 1);
  loop.stop();
  loop.run_once(Duration(0));  // not concerned
  CHECK(called == 2);
  loop.run_forever();
  // With nothing to do, too; and the stop that was heeded is over.
  loop.stop();
  loop.run_forever();
  auto task = spawn_for(loop, nothing(), std::source_location());
  loop.run_until_complete(task.state());
  CHECK(task.done());
  auto longer = [](int turns) -> Task<void> {
    for (int i = 0; i < turns; ++i) co_await yield();
  };
  auto unfinished = spawn_for(loop, longer(1000), std::source_location());
  loop.stop();
  loop.run_until_complete(unfinished.state());
  CHECK_FALSE(unfinished.done());
  loop.run_until_complete(unfinished.state());
  CHECK(unfinished.done());
}

TEST_CASE("a loop doesn't run until a task of another one is done") {
  EventLoop loop;
  EventLoop other;
  auto task = spawn_for(other, nothing(), std::source_location());
  CHECK_THROWS_AS(loop.run_until_complete(task.state()), std::logic_error);
  other.run_until_complete(task.state());
  loop.run_until_complete(task.state());
}

// Selectors.

TEST_CASE("what somebody else has registered with the loop's selector is dropped once it is ready") {
  for (const std::string_view name : available_selectors()) {
    INFO(name);
    const auto selector = make_selector(name);
    const Pair pair = Pair::sockets();
    const Pair other = Pair::sockets();
    selector->register_(pair.a.fileno(), EVENT_READ, 5);
    EventLoop loop(over(*selector));
    selector->register_(other.a.fileno(), EVENT_READ);
    std::vector<std::string> reports;
    loop.set_report_handler(
        [](EventLoop&, const Report& report, void* argument) {
          static_cast<std::vector<std::string>*>(argument)->emplace_back(report.message);
        },
        &reports);
    loop.run_once(Duration(0));
    CHECK(reports.empty());
    CHECK(selector->find(pair.a.fileno()) != nullptr);
    CHECK_THROWS_AS(loop.add_reader(pair.a.fileno(), [] {}), KeyError);
    pair.b.write("x");
    loop.run_once(Duration(0));
    loop.run_once(Duration(0));
    REQUIRE(reports.size() == 1);
    CHECK_THAT(reports[0], Catch::Matchers::Contains("fd " + std::to_string(pair.a.fileno())));
    CHECK(selector->find(pair.a.fileno()) == nullptr);
    CHECK(selector->find(other.a.fileno()) != nullptr);
    CHECK(loop.counters().wake_ups == 0);
    const std::uint64_t polls = loop.counters().polls;
    loop.run_once(5ms);
    CHECK(loop.counters().polls == polls + 1);
    int read = 0;
    loop.add_reader(pair.a.fileno(), [&] { ++read; });  // now it is free
    loop.run_once(Duration(0));
    CHECK(read == 1);
    loop.close();
    CHECK(selector->get_map().size() == 1);  // other's
  }
}

TEST_CASE("close comes to an end though no selector works, and who waits for a descriptor gets the error") {
  for (const bool poll_too : {false, true}) {
    CountingSelector failing("default");
    const Pair pair = Pair::sockets();
    std::error_code code;
    bool slept = false;
    EventLoop loop(over(failing));
    auto reads = [](int fd, std::error_code& error) -> Task<void> {
      try {
        co_await sleep(std::nullopt);
      } catch (const Cancelled&) {
      }
      try {
        co_await readable(fd);
      } catch (const std::system_error& failure) {
        error = failure.code();
      }
    };
    auto sleeps = [](bool& done) -> Task<void> {
      try {
        co_await sleep(std::nullopt);
      } catch (const Cancelled&) {
      }
      co_await sleep(3ms);
      done = true;
    };
    auto reader = spawn_for(loop, reads(pair.a.fileno(), code), std::source_location());
    auto sleeper = spawn_for(loop, sleeps(slept), std::source_location());
    for (int i = 0; i < 3; ++i) loop.run_once(Duration(0));
    failing.fail_wait_with = EPERM;
    // poll(2) refuses more descriptors than a process may have open: here the loop's own, and one more.
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    rlimit low = before;
    low.rlim_cur = 1;
    if (poll_too) REQUIRE(::setrlimit(RLIMIT_NOFILE, &low) == 0);
    if (!poll_too) pair.b.write("x");
    loop.close();
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK(reader.done());
    CHECK(slept);
    if (poll_too)
      CHECK(code == std::errc::invalid_argument);
    else
      CHECK_FALSE(code);
  }
}

TEST_CASE("a loop closes though its caller has closed the selector before") {
  CountingSelector selector("default");
  const Pair pair = Pair::sockets();
  EventLoop loop(over(selector));
  loop.add_reader(pair.a.fileno(), [] {});
  selector.close();
  loop.close();
  CHECK(loop.closed());
}

TEST_CASE("a loop that can't be made leaves nothing in the caller's selector, nor its clock") {
  struct Clock final : KernelSystem {
    TimePoint now() noexcept override {
      ++reads;
      return KernelSystem::now();
    }
    int reads = 0;
  };
  for (const auto& selector_name : available_selectors()) {
    INFO(selector_name);
    const auto selector = make_selector(selector_name);
    Clock clock;
    LoopOptions options = over(*selector);
    options.system = &clock;
    options.dump_on_sigquit = true;
    options.shuffle_seed = 1;
    options.slow_turn = 1h;
    bool made = false;
    int failures = 0;
    for (std::uint64_t n = 1; !made && n < 100; ++n) {
      const detail::FrameCacheBypass bypass;
      const detail::AllocationFault fault(n);
      try {
        const EventLoop loop(options);
        made = true;
      } catch (const std::bad_alloc&) {
        ++failures;
      }
      CHECK(selector->get_map().empty());
      const int reads = clock.reads;
      selector->select(Duration(1000));
      CHECK(clock.reads == reads);
    }
    CHECK(made);
    if (allocations_are_observed()) CHECK(failures >= 3);
  }
  CountingSelector refusing("default");
  refusing.fail_register_with = ENOSPC;
  CHECK_THROWS_AS(EventLoop(over(refusing)), std::system_error);
  CHECK(refusing.get_map().empty());
}

TEST_CASE("what is handed to a closed loop is dropped with its arguments") {
  const auto watched = std::make_shared<int>(0);
  EventLoop loop;
  loop.close();
  const Pair pair = Pair::sockets();
  const auto holds = [](std::shared_ptr<int>) -> Task<void> { co_return; };
  CHECK(thrown<std::logic_error>([&] { loop.call_soon([watched] {}); }) == "the event loop is closed");
  CHECK_THROWS_AS(loop.call_later(1ms, [watched] {}), std::logic_error);
  CHECK_THROWS_AS(loop.call_at(TimePoint(), [watched] {}), std::logic_error);
  CHECK_THROWS_AS(loop.add_reader(pair.a.fileno(), [watched] {}), std::logic_error);
  CHECK_THROWS_AS(loop.add_writer(pair.a.fileno(), [watched] {}), std::logic_error);
  CHECK_THROWS_AS(loop.add_signal_handler(SIGUSR1, [watched] {}), std::logic_error);
  CHECK_THROWS_AS(spawn_for(loop, holds(watched), std::source_location()), std::logic_error);
  CHECK(watched.use_count() == 1);
}

TEST_CASE("destructors may ask for more while their loop closes, over and over, and all is dropped") {
  const auto watched = std::make_shared<int>(0);
  {
    struct Chain {
      Chain(EventLoop& its_loop, std::shared_ptr<int> token, int how_often)
          : loop(its_loop), watched(std::move(token)), left(how_often) {}
      ~Chain() {
        if (left == 0) return;
        auto next = std::make_shared<Chain>(loop, watched, left - 1);
        const auto call = [next] { ++*next->watched; };
        auto body = [](std::shared_ptr<Chain> held) -> Task<void> {
          ++*held->watched;
          co_return;
        };
        if (left % 5 == 0) loop.call_soon(call);
        if (left % 5 == 1) loop.call_later(1h, call);
        if (left % 5 == 2) loop.add_signal_handler(SIGUSR1, call);
        if (left % 5 == 3) loop.call_soon_threadsafe(call);
        if (left % 5 == 4) spawn_for(loop, body(std::move(next)), std::source_location());
      }
      EventLoop& loop;
      std::shared_ptr<int> watched;
      int left;
    };
    EventLoop loop;
    auto first = std::make_shared<Chain>(loop, watched, 20);
    loop.call_later(1h, [chain = std::move(first)] {});
    loop.close();
  }
  CHECK(*watched == 0);
  CHECK(watched.use_count() == 1);
}
