// Sharded: an object on each loop, and calls from one loop to another's.
// SPDX-License-Identifier: MIT
#include "../../../runtime/threads/sharded.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <random>
#include <source_location>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../../../runtime/core/exception_group.hpp"
#include "../../../runtime/seeing/dump.hpp"
#include "../../../runtime/sync/event.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../../selector/errors.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

// CHECK() is for one thread at a time.
void check(bool right, std::source_location where = std::source_location::current()) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  INFO("line " << where.line());
  CHECK(right);
}

// Under TSan not looked into: the count of an exception_ptr's references is in libstdc++, which isn't
// instrumented.
bool says([[maybe_unused]] const std::exception& error, [[maybe_unused]] const char* text) {
#ifdef __SANITIZE_THREAD__
  return true;
#else
  return error.what() == std::string(text);
#endif
}

// Of one thread, from its beginning to its end.
class Counter {
 public:
  explicit Counter(std::size_t index = 0) : value(static_cast<int>(index)) {}
  Counter(const Counter&) = delete;
  ~Counter() { check(is_here()); }

  bool is_here() const { return thread_ == std::this_thread::get_id(); }
  int add(int n) {
    if (!is_here()) throw std::logic_error("on another thread");
    return value += n;
  }

  int value;

 private:
  std::thread::id thread_ = std::this_thread::get_id();
};

struct CounterOf {
  Counter operator()(std::size_t index) const { return Counter(100 * index); }
};

}  // namespace

ON_SELECTORS("each loop has an object of its own, which is made, called and destroyed there") {
  Sharded<Counter> counters{CounterOf()};
  std::atomic<int> right = 0;
  run_on_threads(
      3, counters,
      [&](std::size_t index) -> Task<void> {
        check(counters.size() == 3);
        check(counters.index() == index);
        check(counters.local().value >= static_cast<int>(100 * index));
        for (std::size_t other = 0; other < 3; ++other) {
          auto call = counters.invoke_on(other, &Counter::add, 1);
          const int value = co_await std::move(call);
          right += value > static_cast<int>(100 * other) && value <= static_cast<int>(100 * other) + 3;
        }
      },
      loop_options(selector));
  check(right == 9);
  check(counters.size() == 0);
}

TEST_CASE("a call may be a coroutine, takes arguments and returns what can only be moved") {
  Sharded<Counter> counters;
  run_on_threads(2, counters, [&](std::size_t index) -> Task<void> {
    auto slow = [](Counter& theirs, std::unique_ptr<int> more) -> Task<std::unique_ptr<int>> {
      co_await sleep(1ms);
      co_return std::make_unique<int>(theirs.add(*more));
    };
    auto call = counters.invoke_on(1 - index, slow, std::make_unique<int>(5));
    const std::unique_ptr<int> result = co_await std::move(call);
    check(*result == 5);
  });
}

TEST_CASE("what a call throws comes out where it is awaited") {
  Sharded<Counter> counters;
  run_on_threads(2, counters, [&](std::size_t index) -> Task<void> {
    for (const std::size_t where : {index, 1 - index}) {
      bool said = false;
      try {
        auto fail = [](Counter&) -> int { throw std::runtime_error("not today"); };
        co_await counters.invoke_on(where, fail);
      } catch (const std::runtime_error& error) {
        said = says(error, "not today");
      }
      check(said);
    }
  });
}

TEST_CASE("a call to one's own loop is made at once, within the calling task") {
  Sharded<Counter> counters;
  run_on_threads(2, counters, [&](std::size_t index) -> Task<void> {
    const auto* const task = detail::current.task;
    auto where = [](Counter&) { return detail::current.task; };
    auto* const own = co_await counters.invoke_on(index, where);
    check(own == task);
    auto* const other = co_await counters.invoke_on(1 - index, where);
    check(other != task);
  });
}

TEST_CASE(
    "all objects may be called at once, and what they yield be put together in the order of the loops") {
  Sharded<Counter> counters{CounterOf()};
  run_on_threads(4, counters, [&](std::size_t index) -> Task<void> {
    if (index != 2) co_return;  // the objects of the others are called all the same
    co_await counters.invoke_on_all(&Counter::add, 7);
    auto value = [](Counter& each) { return std::to_string(each.value); };
    auto join = [](std::string all, const std::string& each) { return all + " " + each; };
    const std::string all = co_await counters.map_reduce(value, std::string("all:"), join);
    check(all == "all: 7 107 207 307");
  });
}

TEST_CASE("invoke_on_all throws what fails, and asks the other calls to stop") {
  Sharded<Counter> counters{CounterOf()};
  std::atomic<int> stopped = 0;
  run_on_threads(3, counters, [&](std::size_t index) -> Task<void> {
    if (index != 0) co_return;
    bool said = false;
    try {
      auto call = [&stopped](Counter& each) -> Task<void> {
        if (each.value == 100) throw std::runtime_error("one of them");
        try {
          co_await sleep(std::nullopt);
        } catch (const Cancelled&) {
          ++stopped;
          throw;
        }
      };
      co_await counters.invoke_on_all(call);
    } catch (const std::runtime_error& error) {
      said = says(error, "one of them");
    }
    check(said);
  });
  check(stopped <= 2);
}

TEST_CASE("a request to stop is passed on to the call") {
  Sharded<Counter> counters;
  std::atomic<bool> begun = false;
  std::atomic<bool> stopped = false;
  run_on_threads(2, counters, [&](std::size_t index) -> Task<void> {
    if (index != 0) co_return;
    auto for_ever = [&](Counter&) -> Task<void> {
      begun = true;
      try {
        co_await sleep(std::nullopt);
      } catch (const Cancelled&) {
        stopped = true;
        throw;
      }
    };
    auto call = spawn(counters.invoke_on(1, for_ever));
    while (!begun) co_await sleep(1ms);  // a call that is cancelled before is never made
    bool timed_out = false;
    try {
      co_await timeout(5ms, call);
    } catch (const TimeoutError&) {
      timed_out = true;
    }
    check(timed_out);
  });
  check(stopped);
}

TEST_CASE("when one function fails the objects end, and who calls one that has ended gets ShardEnded") {
  Sharded<Counter> counters;
  std::atomic<int> ended = 0;
  std::atomic<int> called = 0;
  auto main = [&](std::size_t index) -> Task<void> {
    if (index == 1) {
      while (called < 1) co_await sleep(1ms);
      throw std::runtime_error("no more");
    }
    auto for_ever = [&called](Counter&) -> Task<void> {
      ++called;
      co_await sleep(std::nullopt);
    };
    try {
      co_await shield(counters.invoke_on(1, for_ever));
    } catch (const ShardEnded& error) {
      check(error.what() == std::string("the object of a Sharded on loop 1 has ended"));
      ++ended;
    } catch (const Cancelled&) {
    }
    try {
      auto nothing = [](Counter&) {};
      co_await shield(counters.invoke_on(1, nothing));
    } catch (const ShardEnded&) {
      ++ended;
    }
  };
  CHECK_THROWS_AS(run_on_threads(2, counters, main), ExceptionGroup);
  check(ended >= 1);
}

TEST_CASE("a task that calls its own loop's object is stopped before that is destroyed") {
  Sharded<Counter> counters;
  std::atomic<int> stopped = 0;
  run_on_threads(2, counters, [&](std::size_t index) -> Task<void> {
    auto call = [&counters, &stopped, index]() -> Task<void> {
      auto for_ever = [&stopped](Counter& mine) -> Task<void> {
        try {
          co_await sleep(std::nullopt);
        } catch (const Cancelled&) {
          mine.add(1);
          ++stopped;
          throw;
        }
      };
      co_await counters.invoke_on(index, for_ever);
    };
    spawn(call);
    co_await yield();
  });
  check(stopped == 2);
}

TEST_CASE("an object that can't be made ends them all") {
  auto make = [](std::size_t index) -> Counter {
    if (index == 1) throw std::runtime_error("no room");
    return Counter(index);
  };
  Sharded<Counter> counters(make);
  std::atomic<int> begun = 0;
  auto main = [&](std::size_t) -> Task<void> {
    ++begun;
    co_return;
  };
  CHECK_THROWS_AS(run_on_threads(3, counters, main), ExceptionGroup);
  check(begun == 0);
  check(counters.size() == 0);
}

TEST_CASE("wrong uses of a Sharded are refused by name") {
  Sharded<Counter> counters;
  CHECK_THROWS_AS(counters.local(), std::logic_error);
  run_on_threads(2, counters, [&](std::size_t index) -> Task<void> {
    if (index != 0) co_return;
    auto nothing = [](Counter&) {};
    std::string what;
    try {
      co_await counters.invoke_on(2, nothing);
    } catch (const ValueError& error) {
      what = error.what();
    }
    check(what == "Sharded.invoke_on(): there are 2 loops, and no loop 2");
    std::thread([&] { CHECK_THROWS_AS(counters.local(), std::logic_error); }).join();
  });
  auto late = [&]() -> Task<void> {
    auto nothing = [](Counter&) {};
    CHECK_THROWS_AS(counters.index(), std::logic_error);
    bool refused = false;
    try {
      co_await counters.invoke_on(0, nothing);
    } catch (const std::logic_error&) {
      refused = true;
    }
    check(refused);
  };
  run_here(late);
}

TEST_CASE("a dump says that a task waits for a call to another loop, and a loop for the others") {
  Sharded<Counter> counters;
  std::string waits_for_call;
  std::string waits_for_end;
  run_on_threads(2, counters, [&](std::size_t index) -> Task<void> {
    if (index != 0) co_return;
    auto slow = [](Counter&) -> Task<std::string> {
      co_await sleep(5ms);
      co_return dump_tasks();
    };
    auto look = [&]() -> Task<void> {
      co_await sleep(1ms);
      waits_for_call = dump_tasks();
    };
    auto looks = spawn(look);
    waits_for_end = co_await counters.invoke_on(1, slow);
    co_await looks;
  });
  check(waits_for_call.find("a call on the object of another loop (Sharded)") != std::string::npos);
  check(waits_for_end.find("the ends of the other loops' functions (Sharded)") != std::string::npos);
}

TEST_CASE("waiting for another loop is no deadlock") {
  LoopOptions options;
  options.detect_deadlock = true;
  Sharded<Counter> counters;
  std::atomic<int> done = 0;
  run_on_threads(
      3, counters,
      [&](std::size_t index) -> Task<void> {
        if (index == 2) std::this_thread::sleep_for(10ms);
        auto slow = [](Counter&) { std::this_thread::sleep_for(1ms); };
        co_await counters.invoke_on((index + 1) % 3, slow);
        ++done;
      },
      options);
  check(done == 3);
}

#ifndef __SANITIZE_THREAD__  // refuses to fork where threads are
TEST_CASE(
    "in the child of a fork a call to another loop ends with ShardEnded, and one that was out can be "
    "cancelled") {
  Sharded<Counter> counters;
  std::atomic<bool> release = false;
  int status = -1;
  run_on_threads(2, counters, [&](std::size_t index) -> Task<void> {
    if (index != 0) co_return;
    auto block = [&release](Counter&) {
      while (!release) std::this_thread::sleep_for(1ms);
    };
    auto out = spawn(counters.invoke_on(1, block));
    co_await sleep(2ms);
    const ::pid_t child = ::fork();
    if (child == 0) {
      ::alarm(10);
      EventLoop::running().set_selector("default");
      int right = 0;
      auto nothing = [](Counter&) {};
      try {
        co_await counters.invoke_on(1, nothing);
      } catch (const ShardEnded&) {
        ++right;
      }
      co_await counters.invoke_on(0, nothing);
      out.cancel();
      try {
        co_await out;
      } catch (const Cancelled&) {
        ++right;
      }
      ::_exit(right);
    }
    ::waitpid(child, &status, 0);
    release = true;
    co_await out;
  });
  check(WIFEXITED(status));
  check(WEXITSTATUS(status) == 2);
}
#endif

TEST_CASE("random calls between loops that end at any time all come back") {
  for (unsigned seed = 1; seed <= 30; ++seed) {
    CAPTURE(seed);
    constexpr std::size_t loops = 3;
    Sharded<Counter> counters;
    std::atomic<int> out = 0;
    std::atomic<int> back = 0;
    const bool fails = seed % 3 == 0;
    auto main = [&](std::size_t index) -> Task<void> {
      std::mt19937 random(100 * seed + static_cast<unsigned>(index));
      std::vector<JoinHandle<void>> calls;
      for (int n = 0; n < 60; ++n) {
        auto one = [&](unsigned choice) -> Task<void> {
          ++out;
          try {
            auto call = [&counters, choice](Counter& theirs) -> Task<int> {
              theirs.add(1);
              if (choice % 5 == 0) co_await yield();
              if (choice % 7 == 0) co_await sleep(std::chrono::microseconds(choice % 300));
              if (choice % 11 == 0) {
                auto nested = counters.invoke_on(choice % loops, &Counter::add, 1);
                co_return co_await std::move(nested);
              }
              if (choice % 13 == 0) throw std::runtime_error("a call fails");
              co_return theirs.add(1);
            };
            auto made = counters.invoke_on(choice / 3 % loops, call);
            if (choice % 17 == 0)
              co_await timeout(std::chrono::microseconds(choice % 200), std::move(made));
            else
              co_await std::move(made);
          } catch (const std::runtime_error&) {
          } catch (const Cancelled&) {
            ++back;
            throw;
          }
          ++back;
        };
        const auto choice = static_cast<unsigned>(random());
        calls.push_back(spawn(one, choice));
        if (random() % 4 == 0) co_await yield();
        if (random() % 20 == 0) calls[random() % calls.size()].cancel();
        if (fails && index == seed % loops && n == 30) throw std::runtime_error("this loop ends early");
      }
      for (auto& call : calls) try {
          co_await call;
        } catch (const Cancelled&) {
          if (detail::current.task->cancel_due()) throw;
        }
    };
    if (fails)
      CHECK_THROWS_AS(run_on_threads(loops, counters, main), ExceptionGroup);
    else
      run_on_threads(loops, counters, main);
    check(out == back);
  }
}
