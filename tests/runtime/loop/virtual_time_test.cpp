// Virtual time: hours in microseconds, and a report instead of a hang.
// SPDX-License-Identifier: MIT
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "../../../runtime/loop/event_loop.hpp"
#include "../../../runtime/loop/outside_work.hpp"
#include "../../../runtime/loop/ready.hpp"
#include "../../../runtime/task/gather.hpp"
#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../../runtime/threads/to_thread.hpp"
#include "../../selector/files.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

LoopOptions virtual_time(std::string_view selector) {
  LoopOptions options;
  options.selector = selector;
  options.virtual_time = true;
  return options;
}

Task<void> for_ever() { co_await sleep(std::nullopt); }

}  // namespace

ON_SELECTORS("in virtual time a year of sleep takes no time, and each deadline comes in its order") {
  const auto began = std::chrono::steady_clock::now();
  std::vector<int> order;
  auto main = [&]() -> Task<void> {
    EventLoop& loop = EventLoop::running();
    auto sleeper = [](std::vector<int>& log, int n, Duration time) -> Task<void> {
      co_await sleep(time);
      log.push_back(n);
    };
    const TimePoint start = loop.time();
    co_await gather(sleeper(order, 3, 24h * 365), sleeper(order, 1, 1ns), sleeper(order, 2, 1h));
    CHECK(loop.time() - start == 24h * 365);
    bool expired = false;
    try {
      co_await timeout(1h, for_ever());
    } catch (const TimeoutError&) {
      expired = true;
    }
    CHECK(expired);
    CHECK(loop.time() - start == 24h * 365 + 1h);
  };
  run(main(), virtual_time(selector));
  CHECK(order == std::vector<int>{1, 2, 3});
  CHECK(std::chrono::steady_clock::now() - began < 10s);
}

ON_SELECTORS("in virtual time what is ready comes before any deadline") {
  Pair pair = Pair::sockets();
  auto main = [&]() -> Task<void> {
    auto writer = [&]() -> Task<void> {
      co_await sleep(1h);
      CHECK(::write(pair.b.fileno(), "x", 1) == 1);
    };
    auto writing = spawn(writer());
    co_await timeout(1h + 1ns, readable(pair.a.fileno()));
    co_await writing;
  };
  run(main(), virtual_time(selector));
}

TEST_CASE("virtual time waits for calls on other threads, really") {
  auto main = []() -> Task<void> {
    EventLoop& loop = EventLoop::running();
    const TimePoint start = loop.time();
    auto work = [] {
      std::this_thread::sleep_for(20ms);
      return 7;
    };
    const int result = co_await timeout(1ms, to_thread(work));
    CHECK(result == 7);
    CHECK(loop.time() == start);
  };
  run(main(), virtual_time("default"));
}

TEST_CASE("virtual time waits for a thread of one's own that has announced itself") {
  bool called = false;
  auto main = [&]() -> Task<void> {
    EventLoop& loop = EventLoop::running();
    std::optional<OutsideWork> work(std::in_place);
    std::thread thread([&] {
      std::this_thread::sleep_for(10ms);
      loop.call_soon_threadsafe([&] {
        called = true;
        work.reset();
      });
    });
    const TimePoint start = loop.time();
    while (!called) co_await sleep(1h);
    CHECK(loop.time() - start == 1h);
    thread.join();
  };
  run(main(), virtual_time("default"));
  CHECK(called);
}

ON_SELECTORS("a program that nothing can wake any more is told so, with the tasks, and comes to its end") {
  bool cleaned_up = false;
  auto waits = [&]() -> Task<void> {
    try {
      co_await for_ever();
    } catch (const Cancelled&) {
      cleaned_up = true;
      throw;
    }
  };
  auto main = [&]() -> Task<void> {
    co_await sleep(1h);
    auto stuck = spawn(waits()).set_name("stuck");
    co_await stuck;
  };
  const std::string text = thrown<Deadlock>([&] { run(main(), virtual_time(selector)); });
  INFO(text);
  CHECK(text.find("deadlock: nothing can happen any more") == 0);
  CHECK(text.find("\"stuck\": waits for sleep") != std::string::npos);
  CHECK(text.find("virtual_time_test.cpp:") != std::string::npos);
  CHECK(cleaned_up);
}

TEST_CASE(
    "a deadlock can be looked out for in real time too, and isn't seen where a descriptor may wake "
    "somebody") {
  LoopOptions options;
  options.detect_deadlock = true;
  auto hopeless = []() -> Task<void> {
    co_await sleep(1ms);
    co_await for_ever();
  };
  CHECK(thrown<Deadlock>([&] { run(hopeless(), options); }) != "nothing");

  Pair pair = Pair::sockets();
  std::thread other([&] {
    std::this_thread::sleep_for(10ms);
    static_cast<void>(::write(pair.b.fileno(), "x", 1));
  });
  auto hopeful = [&]() -> Task<void> {
    const auto start = std::chrono::steady_clock::now();
    co_await readable(pair.a.fileno());
    CHECK(std::chrono::steady_clock::now() - start < 10s);
  };
  run(hopeful(), options);
  other.join();
}

TEST_CASE("virtual time goes along to another selector") {
  auto main = []() -> Task<void> {
    EventLoop::running().set_selector("poll");
    co_await sleep(1000h);
  };
  run(main(), virtual_time("default"));
}
