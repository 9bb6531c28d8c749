// JoinHandle: who gets the result, where a request to stop goes from a join, and what shield(handle) is.
// SPDX-License-Identifier: MIT
#include "../../../runtime/task/join_handle.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../../runtime/sync/event.hpp"
#include "../../../runtime/sync/future.hpp"
#include "../../../runtime/task/gather.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/task_group.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../support/on_selectors.hpp"
#include "../../support/turns.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

template <class T>
Task<T> after(Duration delay, T value) {
  co_await sleep(delay);
  co_return value;
}

Task<void> join(JoinHandle<void>& handle) { co_await handle; }

// A task that waits for the end of each one before it, as many as `n`; the first sleeps.
std::vector<JoinHandle<void>> chain(std::size_t n) {
  std::vector<JoinHandle<void>> tasks;
  tasks.reserve(n);
  tasks.push_back(spawn([]() -> Task<void> { co_await sleep(1h); }()));
  while (tasks.size() < n) tasks.push_back(spawn(join(tasks.back())));
  return tasks;
}

Task<void> count_stops(int& stops) {
  for (;;) try {
      co_await sleep(1h);
      co_return;
    } catch (const Cancelled&) {
      if (++stops == 3) throw;
    }
}

}  // namespace

TEST_CASE("a result is given once, and who takes it again gets a logic_error") {
  run_here([]() -> Task<void> {
    auto handle = spawn(after(1ms, std::make_unique<int>(7)));
    const std::unique_ptr<int> result = co_await handle;
    CHECK(*result == 7);
    CHECK_THROWS_AS(handle.result(), std::logic_error);
    const std::string again = co_await end_of(handle.shielded());
    CHECK(again == "the result of a task is given once, and this one was taken already");
  });
}

TEST_CASE("of two that wait for a result the first gets it, and the other a logic_error") {
  run_here([]() -> Task<void> {
    auto handle = spawn(after(1ms, std::string("result")));
    std::vector<std::string> got;
    const auto take = [](const JoinHandle<std::string>& from, std::vector<std::string>& out) -> Task<void> {
      try {
        out.push_back(co_await from);
      } catch (const std::logic_error&) {
        out.push_back("logic_error");
      }
    };
    co_await gather(take(handle, got), take(handle, got));
    CHECK(got == std::vector<std::string>{"result", "logic_error"});
  });
}

TEST_CASE("a request goes along 300,000 tasks that each join the one before, without a stack") {
  run_here([]() -> Task<void> {
    std::vector<JoinHandle<void>> tasks = chain(300'000);
    co_await yield();
    tasks.back().cancel();
    for (auto& task : tasks) {
      const std::string end = co_await end_of(task.shielded());
      REQUIRE(end == "cancelled");
    }
    for (const auto& task : tasks) REQUIRE(task.task().cancelling() == 1);
  });
}

TEST_CASE("a loop closes with 100,000 tasks that each join the one before, and asks each once") {
  std::vector<JoinHandle<void>> tasks;
  run_here([&]() -> Task<void> {
    tasks = chain(100'000);
    co_await yield();
  });
  for (const auto& task : tasks) {
    REQUIRE(task.cancelled());
    REQUIRE(task.task().cancelling() == 1);
  }
}

TEST_CASE("a group that is cancelled asks each child once, whoever joins whom") {
  run_here([]() -> Task<void> {
    int stops = 0;
    std::vector<JoinHandle<void>> joiners;
    co_await task_group([&](TaskGroup& group) -> Task<void> {
      auto target = group.spawn(count_stops(stops));
      for (int i = 0; i < 5; ++i) joiners.push_back(group.spawn(join(target)));
      co_await yield();
      group.cancel();
      co_await turns(3);
      CHECK(stops == 1);
      target.cancel();
      co_await turns(3);
      CHECK(stops == 2);
      joiners.front().cancel();
    });
    CHECK(stops == 3);
    for (const auto& joiner : joiners) CHECK(joiner.cancelled());
  });
}

TEST_CASE("tasks that join each other in a circle end when one of them, or all, are asked to stop") {
  for (const std::size_t size : {2u, 3u, 7u})
    for (const bool all : {false, true})
      run_here([&]() -> Task<void> {
        std::vector<JoinHandle<void>> circle(size);
        const auto wait_for_next = [](std::vector<JoinHandle<void>>& tasks, std::size_t next) -> Task<void> {
          co_await yield();
          co_await tasks[next];
        };
        for (std::size_t i = 0; i < size; ++i) circle[i] = spawn(wait_for_next(circle, (i + 1) % size));
        auto outside = spawn(join(circle[0]));
        co_await turns(3);
        if (all)
          for (auto& task : circle) task.cancel();
        else
          outside.cancel();
        for (auto& task : circle) {
          const std::string end = co_await end_of(task.shielded());
          CHECK(end == "cancelled");
        }
        const std::string end = co_await end_of(outside.shielded());
        CHECK(end == "cancelled");
      });
}

TEST_CASE("a task that was asked to stop while it ran passes that on to the task that it joins next") {
  run_here([]() -> Task<void> {
    auto target = spawn(after(1h, 1));
    co_await yield();
    current_task().cancel();
    const std::string end = co_await end_of(std::move(target));
    CHECK(end == "cancelled");
    CHECK(current_task().uncancel() == 0);
    co_await sleep(1ms);
  });
}

TEST_CASE(
    "a task that was asked to stop gets Cancelled from a join of one that is done, and no result is lost") {
  run_here([]() -> Task<void> {
    auto target = spawn(after(0ms, 1));
    while (!target.done()) co_await yield();
    const auto join_it = [](const JoinHandle<int>& handle) -> Task<void> {
      static_cast<void>(co_await handle);
    };
    current_task().cancel();
    const std::string end = co_await end_of(join_it(target));
    CHECK(end == "cancelled");
    CHECK(target.result() == 1);
  });
}

TEST_CASE("the wait for a shielded task ends at its deadline, and the task goes on") {
  run_in_virtual_time([]() -> Task<void> {
    auto handle = spawn(after(10s, 5));
    const TimePoint start = EventLoop::running().time();
    const std::string end = co_await end_of(timeout(1s, shield(handle)));
    CHECK(end == TimeoutError().what());
    CHECK(EventLoop::running().time() - start == 1s);
    CHECK(!handle.done());
    const int result = co_await handle;
    CHECK(result == 5);
    CHECK(EventLoop::running().time() - start == 10s);
  });
}

TEST_CASE("a task that only a shield refers to goes on when the wait is stopped") {
  run_in_virtual_time([]() -> Task<void> {
    bool done = false;
    const auto work = [](bool& out) -> Task<void> {
      co_await sleep(10s);
      out = true;
    };
    const std::string late = co_await end_of(timeout(1s, shield(spawn(work(done)))));
    CHECK(late == TimeoutError().what());
    co_await sleep(10s);
    CHECK(done);
    auto waiting = spawn(end_of(shield(spawn(work(done)))));
    co_await sleep(1s);
    waiting.cancel();
    const std::string end = co_await waiting;
    CHECK(end == "cancelled");
  });
}

TEST_CASE("who was asked to stop while it ran gets Cancelled from a shielded task, which goes on") {
  run_here([]() -> Task<void> {
    auto task = spawn(after(0ms, 3));
    current_task().cancel();
    const std::string end = co_await end_of(shield(task));
    CHECK(end == "cancelled");
    const int result = co_await shield(task);
    CHECK(result == 3);
  });
}

TEST_CASE("a shielded task that fails, or is cancelled by another, gives that to who waits") {
  run_here([]() -> Task<void> {
    const auto fail = []() -> Task<void> {
      co_await yield();
      throw std::runtime_error("failed");
    };
    auto failing = spawn(fail());
    const std::string failure = co_await end_of(shield(failing));
    CHECK(failure == "failed");
    auto stopped = spawn(after(1h, 1));
    auto waiting = spawn(end_of(shield(stopped)));
    co_await yield();
    stopped.cancel();
    const std::string end = co_await waiting;
    CHECK(end == "cancelled");
  });
}

TEST_CASE("the wait for a shielded Future ends at its deadline, and the Future is waited for on") {
  run_in_virtual_time([]() -> Task<void> {
    Promise<std::string> promise;
    Future<std::string> future = promise.future();
    const std::string late = co_await end_of(timeout(1s, shield(future)));
    CHECK(late == TimeoutError().what());
    CHECK(!future.done());
    promise.set_result("value");
    std::string& value = co_await shield(future);
    CHECK(value == "value");
    const std::string moved = co_await shield(std::move(future));
    CHECK(moved == "value");
  });
}

TEST_CASE("shield of a handle that refers to nothing is a logic_error") {
  const JoinHandle<int> empty;
  CHECK_THROWS_AS(shield(empty), std::logic_error);
}
