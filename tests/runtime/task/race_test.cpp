// race, when_any: the first of several, and the end of the others.
// SPDX-License-Identifier: MIT
#include "../../../runtime/task/race.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../../runtime/loop/descriptor_table.hpp"
#include "../../../runtime/loop/event_loop.hpp"
#include "../../../runtime/loop/ready.hpp"
#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/task_handle.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../../runtime/task/wait.hpp"
#include "../../../runtime/task/when_any.hpp"
#include "../../../runtime/testing/allocation_faults.hpp"
#include "../../../runtime/testing/testing.hpp"
#include "../../selector/files.hpp"
#include "../../support/on_selectors.hpp"
#include "../../support/turns.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

template <class T>
Task<T> after(int turns, T value) {
  for (int i = 0; i < turns; ++i) co_await yield();
  co_return value;
}

Task<int> fail_after(int turns, const char* message) {
  for (int i = 0; i < turns; ++i) co_await yield();
  throw std::runtime_error(message);
}

// Never done; its cleanup takes a few turns.
Task<int> for_ever(std::vector<std::string>& log) {
  bool stopped = false;
  try {
    co_await sleep(std::nullopt);
  } catch (const Cancelled&) {
    stopped = true;
  }
  for (int i = 0; i < 3; ++i) co_await yield();
  log.push_back("cleaned up");
  if (stopped) throw Cancelled();
  co_return 0;
}

void collect(EventLoop&, const Report& report, void* argument) {
  static_cast<std::vector<std::string>*>(argument)->push_back(
      thrown<std::exception>([&] { std::rethrow_exception(report.error); }));
}

}  // namespace

TEST_CASE("race yields the result of the first, once the others are cancelled and joined") {
  run_here([]() -> Task<void> {
    std::vector<std::string> log;
    const int first = co_await race(for_ever(log), after(2, 7), after(1000000, 8));
    CHECK(first == 7);
    CHECK(log == std::vector<std::string>{"cleaned up"});
    CHECK(current.task->cancel_requests() == 0);
  });
}

ON_SELECTORS("race takes any awaitable, and yields nothing if none of them does") {
  run_on(selector, []() -> Task<void> {
    const Pair pair = Pair::sockets();
    pair.b.write("x");
    co_await race(sleep(1h), sleep(1ms), yield());
    const EventMask events = co_await race(readable(pair.a.fileno()), ready(pair.b.fileno(), EVENT_READ));
    CHECK(events == EVENT_READ);
    CHECK(EventLoop::running().descriptors().find(pair.b.fileno()) == nullptr);
    CHECK(EventLoop::running().timers().empty());
  });
}

TEST_CASE("race yields the common type of the results") {
  run_here([]() -> Task<void> {
    auto result = co_await race(after(0, 1), after(5, 2.5));
    static_assert(std::is_same_v<decltype(result), double>);
    CHECK(result == 1.0);
    auto unique = []() -> Task<std::unique_ptr<int>> { co_return std::make_unique<int>(5); };
    const std::unique_ptr<int> only = co_await race(unique());
    CHECK(*only == 5);
  });
}

TEST_CASE("race joins spawned tasks, and the losers among them are cancelled") {
  run_here([]() -> Task<void> {
    std::vector<std::string> log;
    auto slow = spawn(for_ever(log));
    auto fast = spawn(after(1, 3));
    const int first = co_await race(slow, fast);
    CHECK(first == 3);
    CHECK(slow.cancelled());
    CHECK(log.size() == 1);
  });
}

TEST_CASE("when the winner of a race threw, that is thrown after the losers are joined") {
  run_here([]() -> Task<void> {
    std::vector<std::string> log;
    std::string what;
    try {
      co_await race(for_ever(log), fail_after(2, "first"), fail_after(3, "second"));
    } catch (const std::runtime_error& error) {
      what = error.what();
      log.push_back("thrown");
    }
    CHECK(what == "first");
    CHECK(log == std::vector<std::string>{"cleaned up", "thrown"});
  });
}

TEST_CASE("what a loser throws while it is stopped is reported, and the winner's result is kept") {
  run_here([]() -> Task<void> {
    std::vector<std::string> reported;
    EventLoop::running().set_report_handler(&collect, &reported);
    auto spiteful = []() -> Task<int> {
      try {
        co_await sleep(std::nullopt);
      } catch (const Cancelled&) {
      }
      throw std::runtime_error("a bad loser");
    };
    const int first = co_await race(spiteful(), after(1, 7));
    CHECK(first == 7);
    CHECK(reported == std::vector<std::string>{"a bad loser"});
  });
}

TEST_CASE("who is cancelled from elsewhere has won the race with Cancelled") {
  run_here([]() -> Task<void> {
    std::vector<std::string> log;
    auto victim = spawn(for_ever(log));
    auto racing = spawn([](JoinHandle<int>& a, std::vector<std::string>& l) -> Task<int> {
      co_return co_await race(a, for_ever(l));
    }(victim, log));
    co_await yield();
    victim.cancel();
    bool cancelled = false;
    try {
      co_await racing;
    } catch (const Cancelled&) {
      cancelled = true;
    }
    CHECK(cancelled);
    CHECK(log.size() == 2);
    CHECK(current.task->cancel_requests() == 0);
  });
}

TEST_CASE("cancelling who waits for a race cancels and joins all who run in it") {
  run_here([]() -> Task<void> {
    std::vector<std::string> log;
    auto racing = spawn([](std::vector<std::string>& l) -> Task<int> {
      co_return co_await race(for_ever(l), for_ever(l), for_ever(l));
    }(log));
    co_await yield();
    co_await yield();
    racing.cancel();
    const auto joined = co_await wait(ReturnWhen::ALL_COMPLETED, {}, racing);
    CHECK(joined == 1);
    CHECK(racing.cancelled());
    CHECK(log.size() == 3);
  });
}

TEST_CASE("a race that has its winner when it is cancelled yields it, and the request is not lost") {
  run_here([]() -> Task<void> {
    int result = 0;
    bool went_on = false;
    auto racing = spawn([](int& out, bool& after_it) -> Task<void> {
      std::vector<std::string> log;
      out = co_await race(for_ever(log), after(0, 5));
      co_await yield();
      after_it = true;
    }(result, went_on));
    co_await yield();  // the race begins
    co_await yield();  // its tasks run
    racing.cancel();
    co_await wait(ReturnWhen::ALL_COMPLETED, {}, racing);
    CHECK(result == 5);
    CHECK_FALSE(went_on);
    CHECK(racing.cancelled());
  });
}

TEST_CASE("a timeout around a race stops the race, and one inside it stops one runner") {
  run_here([]() -> Task<void> {
    std::vector<std::string> log;
    std::string end;
    try {
      co_await timeout(1ms, race(for_ever(log), for_ever(log)));
    } catch (const TimeoutError&) {
      end = "outer";
    }
    CHECK(end == "outer");
    CHECK(log.size() == 2);
    try {
      co_await race(for_ever(log), timeout(1ms, for_ever(log)));
    } catch (const TimeoutError&) {
      end = "inner";
    }
    CHECK(end == "inner");
    CHECK(log.size() == 4);
    CHECK(current.task->cancel_requests() == 0);
  });
}

TEST_CASE("a race of many tasks yields the first, and a race of none is refused") {
  run_here([]() -> Task<void> {
    std::vector<Task<int>> tasks;
    for (int i = 0; i < 100; ++i) tasks.push_back(after(i == 42 ? 1 : 1000000, i));
    const int first = co_await race(std::move(tasks));
    CHECK(first == 42);
    std::string refused;
    try {
      co_await race(std::vector<Task<int>>());
    } catch (const ValueError& error) {
      refused = error.what();
    }
    CHECK(refused == "a race of no tasks has no winner");
  });
}

TEST_CASE("when_any tells which it was, also between equal types and nothing") {
  run_here([]() -> Task<void> {
    auto result = co_await when_any(after(9, 1), after(1, 2), sleep(1h), after(9, std::string("text")));
    static_assert(std::is_same_v<decltype(result), std::variant<int, int, Nothing, std::string>>);
    CHECK(result.index() == 1);
    CHECK(std::get<1>(result) == 2);
    const auto other = co_await when_any(after(9, 1), yield());
    CHECK(other.index() == 1);
    auto unique = []() -> Task<std::unique_ptr<int>> { co_return std::make_unique<int>(5); };
    const auto only_moves = co_await when_any(unique(), sleep(1h));
    CHECK(*std::get<0>(only_moves) == 5);
  });
}

TEST_CASE("when_any of many tasks yields the winner and its place") {
  run_here([]() -> Task<void> {
    std::vector<Task<std::string>> tasks;
    for (int i = 0; i < 10; ++i) tasks.push_back(after(i == 3 ? 0 : 1000000, std::to_string(i)));
    const Winner<std::string> winner = co_await when_any(std::move(tasks));
    CHECK(winner.index == 3);
    CHECK(winner.value == "3");
    std::vector<Task<void>> sleepers;
    sleepers.push_back([]() -> Task<void> { co_await sleep(1h); }());
    sleepers.push_back([]() -> Task<void> { co_await yield(); }());
    const Winner<void> awake = co_await when_any(std::move(sleepers));
    CHECK(awake.index == 1);
  });
}

TEST_CASE("a race whose tasks are all cancelled at the same time as who awaits it is one Cancelled") {
  run_here([]() -> Task<void> {
    int cancelled = 0;
    auto races = [](int& count) -> Task<void> {
      for (int i = 0; i < 2; ++i) try {
          if (i == 0)
            co_await race(sleep(1h), sleep(1h));
          else
            co_await yield();
        } catch (const Cancelled&) {
          ++count;
        }
    };
    auto racer = spawn(races(cancelled));
    co_await turns(3);
    const auto tasks = all_tasks();
    CHECK(tasks.size() == 4);
    for (std::size_t i = tasks.size(); i > 1; --i) tasks[i - 1].cancel();
    co_await racer;
    CHECK(cancelled == 1);
  });
}

TEST_CASE("a race that is cancelled at any point leaves nobody running") {
  int running = 0;
  struct Counted {
    explicit Counted(int& n) : count(n) { ++count; }
    Counted(const Counted&) = delete;
    ~Counted() { --count; }
    int& count;
  };
  auto runner = [&](int turns) -> Task<int> {
    const Counted counted(running);
    for (int i = 0; i < turns; ++i) co_await yield();
    co_return turns;
  };
  const auto scenario = [&]() -> Task<void> {
    const int first = co_await race(runner(4), runner(2), runner(9));
    CHECK((first == 2 || first == 4));
    CHECK(running == 0);
    co_await race(sleep(1ms), sleep(1h));
  };
  const auto check = [&](const DisturbedRun& run) {
    check_usual_end(run);
    CHECK(running == 0);
  };
  DisturbOptions options;
  options.loop.virtual_time = true;
  for (const bool from_outside : {false, true}) {
    options.from_outside = from_outside;
    CHECK(cancel_everywhere(scenario, check, options).failed >= 10);
  }
  if (allocations_are_observed()) CHECK(fail_allocations(scenario, check, options).failed >= 10);
}
