// as_completed, AsCompleted: tasks in the order in which they are done.
// SPDX-License-Identifier: MIT
#include "../../../runtime/task/as_completed.hpp"

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../../runtime/task/gather.hpp"
#include "../../../runtime/task/race.hpp"
#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/task_group.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../../runtime/task/wait.hpp"
#include "../../../runtime/testing/allocation_faults.hpp"
#include "../../../runtime/testing/testing.hpp"
#include "../../support/on_selectors.hpp"
#include "../../support/turns.hpp"

using namespace heddle;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

Task<int> after(int turns, int value) {
  for (int i = 0; i < turns; ++i) co_await yield();
  if (value < 0) throw std::runtime_error("negative");
  co_return value;
}

Task<int> counted(int& running) {
  ++running;
  try {
    co_await sleep(std::nullopt);
  } catch (const Cancelled&) {
    --running;
    throw;
  }
  co_return 0;
}

}  // namespace

TEST_CASE("as_completed yields the tasks in the order in which they are done") {
  run_here([]() -> Task<void> {
    std::vector<Task<int>> tasks;
    for (const int turns : {9, 2, 5, 0}) tasks.push_back(after(turns, turns));
    const auto order =
        co_await as_completed(std::move(tasks), [](AsCompleted<int>& results) -> Task<std::vector<int>> {
          std::vector<int> seen;
          while (auto done = co_await results.next()) seen.push_back(done.result());
          co_return seen;
        });
    CHECK(order == std::vector<int>{0, 2, 5, 9});
  });
}

TEST_CASE("a failed task among those of as_completed stops nobody") {
  run_here([]() -> Task<void> {
    std::vector<Task<int>> tasks;
    tasks.push_back(after(1, -1));
    tasks.push_back(after(3, 3));
    co_await as_completed(std::move(tasks), [](AsCompleted<int>& results) -> Task<void> {
      auto first = co_await results.next();
      CHECK(first.error() != nullptr);
      auto second = co_await results.next();
      CHECK(second.result() == 3);
      CHECK(results.empty());
      const auto none = co_await results.next();
      CHECK_FALSE(none);
    });
  });
}

TEST_CASE("what is not done when the body of as_completed ends is cancelled and joined") {
  run_here([]() -> Task<void> {
    int running = 0;
    std::vector<Task<int>> tasks;
    for (int i = 0; i < 3; ++i) tasks.push_back(counted(running));
    tasks.push_back(after(2, 7));
    auto body = [&](AsCompleted<int>& results) -> Task<int> {
      auto first = co_await results.next();
      CHECK(running == 3);
      CHECK(results.size() == 3);
      co_return first.result();
    };
    const int first = co_await as_completed(std::move(tasks), body);
    CHECK(first == 7);
    CHECK(running == 0);

    std::vector<Task<int>> more;
    more.push_back(counted(running));
    std::string what;
    try {
      co_await as_completed(std::move(more), [](AsCompleted<int>&) -> Task<void> {
        co_await yield();
        throw std::runtime_error("enough");
      });
    } catch (const std::runtime_error& error) {
      what = error.what();
    }
    CHECK(what == "enough");
    CHECK(running == 0);
  });
}

ON_SELECTORS("a timeout around next loses no task") {
  run_on(selector, []() -> Task<void> {
    auto sleeps = []() -> Task<int> {
      co_await sleep(5ms);
      co_return 5;
    };
    AsCompleted<int> results;
    results.add(spawn(sleeps()));
    int timeouts = 0;
    std::optional<int> value;
    while (!value) try {
        auto done = co_await timeout(1ms, results.next());
        value = done.result();
      } catch (const TimeoutError&) {
        ++timeouts;
      }
    CHECK(timeouts > 0);
    CHECK(value == 5);
    CHECK(results.empty());
  });
}

TEST_CASE("AsCompleted watches the tasks of a group, and more may be added") {
  run_here([]() -> Task<void> {
    std::vector<int> order;
    co_await task_group([&](TaskGroup& group) -> Task<void> {
      AsCompleted<int> results;
      results.add(group.spawn(after(1, 0)));
      while (auto done = co_await results.next()) {
        const int value = done.result();
        order.push_back(value);
        if (value < 3) results.add(group.spawn(after(2, value + 1)));
      }
    });
    CHECK(order == std::vector<int>{0, 1, 2, 3});
  });
}

TEST_CASE("an AsCompleted that is dropped leaves its tasks running") {
  run_here([]() -> Task<void> {
    auto first = spawn(after(3, 1));
    {
      std::vector<JoinHandle<int>> handles;
      handles.push_back(spawn(after(5, 2)));
      AsCompleted<int> results(std::move(handles));
    }
    CHECK_FALSE(first.done());
    const int value = co_await first;
    CHECK(value == 1);
    for (int i = 0; i < 5; ++i) co_await yield();
  });
}

TEST_CASE("several may wait for the next task, first come first served, and the rest get nothing") {
  run_here([]() -> Task<void> {
    auto results = std::make_unique<AsCompleted<int>>();
    for (int i = 0; i < 2; ++i) results->add(spawn(after(4 + i, i)));
    std::vector<std::string> log;
    auto takes = [](AsCompleted<int>& from, char name, std::vector<std::string>& out) -> Task<void> {
      auto done = co_await from.next();
      out.push_back(std::string(1, name) + (done ? std::to_string(done.result()) : "-"));
    };
    std::vector<JoinHandle<void>> takers;
    for (const char name : {'a', 'b', 'c', 'd'}) takers.push_back(spawn(takes(*results, name, log)));
    co_await yield();
    takers[1].cancel();
    for (auto& taker : takers)
      if (!taker.state().cancel_requests()) co_await taker;
    CHECK(log == std::vector<std::string>{"a0", "c1", "d-"});

    results->add(spawn(after(5, 9)));
    auto last = spawn(end_of(results->next()));
    co_await yield();
    results.reset();
    const std::string end = co_await last;
    CHECK(end == "AsCompleted.next(): the AsCompleted was destroyed");
  });
}

TEST_CASE("as_completed that is cancelled at any point leaves nobody running") {
  int running = 0;
  auto runner = [&](int turns) -> Task<int> {
    for (int i = 0; i < turns; ++i) co_await yield();
    co_return turns;
  };
  const auto scenario = [&]() -> Task<void> {
    std::vector<Task<int>> tasks;
    for (const int turns : {4, 2, 7}) tasks.push_back(runner(turns));
    tasks.push_back(counted(running));
    auto body = [](AsCompleted<int>& results) -> Task<void> {
      for (int i = 0; i < 3; ++i) {
        const int result = (co_await results.next()).result();
        CHECK((result == 2 || result == 4 || result == 7));
      }
    };
    co_await as_completed(std::move(tasks), body);
  };
  const auto check = [&](const DisturbedRun& run) {
    check_usual_end(run);
    CHECK(running == 0);
  };
  CHECK(cancel_everywhere(scenario, check).failed >= 20);
  if (allocations_are_observed()) CHECK(fail_allocations(scenario, check).failed >= 10);
}

namespace {

// Takes its time after the first request to stop.
Task<void> slow_to_stop() {
  std::exception_ptr stop;
  try {
    co_await sleep(1h);
  } catch (const Cancelled&) {
    stop = std::current_exception();
  }
  for (int i = 0; i < 5; ++i) co_await yield();
  std::rethrow_exception(stop);
}

Task<void> awaits_all_as_completed() {
  std::vector<Task<void>> tasks;
  tasks.push_back(slow_to_stop());
  auto body = [](AsCompleted<void>& results) -> Task<void> { co_await results.next(); };
  co_await as_completed(std::move(tasks), body);
}
Task<void> awaits_settled() { co_await gather_settled(slow_to_stop()); }
Task<void> awaits_gathered() { co_await gather(slow_to_stop()); }
Task<void> awaits_race() { co_await race(slow_to_stop(), sleep(1h)); }
Task<void> awaits_group() {
  auto body = [](TaskGroup& group) -> Task<void> {
    group.spawn(slow_to_stop());
    co_return;
  };
  co_await task_group(body);
}

}  // namespace

TEST_CASE("requests to stop who waits for several tasks make one Cancelled, if they come before it") {
  const auto cancelled_once = [](Task<void> waits, bool* went_on) -> Task<void> {
    try {
      co_await std::move(waits);
    } catch (const Cancelled&) {
    }
    co_await sleep(1ms);
    *went_on = true;
  };
  LoopOptions options;
  options.virtual_time = true;
  for (const auto waits :
       {&awaits_all_as_completed, &awaits_settled, &awaits_gathered, &awaits_race, &awaits_group}) {
    bool went_on = false;
    const auto main = [&]() -> Task<void> {
      auto task = spawn(cancelled_once(waits(), &went_on));
      co_await sleep(1ms);
      task.cancel();
      co_await yield();
      co_await yield();
      task.cancel();
      co_await wait(ReturnWhen::ALL_COMPLETED, {}, task);
    };
    run(main(), options);
    CHECK(went_on);
  }
}
