// Condition: the lock is given up while a task waits, and held again afterwards, come what may.
// SPDX-License-Identifier: MIT
#include "../../../runtime/sync/condition.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../../../runtime/task/join_handle.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../../runtime/testing/testing.hpp"
#include "../../support/on_selectors.hpp"
#include "../../support/turns.hpp"

using namespace heddle;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

Task<void> log_when_notified(Condition& condition, std::vector<int>& log, int id) {
  auto guard = co_await condition.scoped();
  co_await condition.wait();
  log.push_back(id);
}

Task<void> notify(Condition& condition, std::size_t count) {
  auto guard = co_await condition.scoped();
  condition.notify(count);
}

}  // namespace

ON_SELECTORS("a condition wakes as many as it is told to, in the order in which they came") {
  run_on(selector, []() -> Task<void> {
    Condition condition;
    std::vector<int> log;
    for (int id = 1; id <= 5; ++id) spawn(log_when_notified(condition, log, id));
    co_await turns(3);
    CHECK_FALSE(condition.locked());
    co_await notify(condition, 1);
    co_await turns(3);
    CHECK(log == std::vector<int>{1});
    co_await notify(condition, 2);
    co_await turns(4);
    CHECK(log == std::vector<int>{1, 2, 3});
    co_await notify(condition, 0);
    {
      auto guard = co_await condition.scoped();
      condition.notify_all();
      co_await turns(3);
      CHECK(log.size() == 3);  // they wait for the lock
    }
    co_await turns(4);
    CHECK(log == std::vector<int>{1, 2, 3, 4, 5});
    CHECK_FALSE(condition.locked());
  });
}

TEST_CASE("a notification that nobody waits for is not kept") {
  run_here([]() -> Task<void> {
    Condition condition;
    co_await notify(condition, 5);
    std::vector<int> log;
    auto handle = spawn(log_when_notified(condition, log, 1));
    co_await turns(3);
    CHECK_FALSE(handle.done());
    co_await notify(condition, 1);
    co_await handle;
  });
}

TEST_CASE("wait_for waits until its predicate holds, and yields what that said") {
  run_here([]() -> Task<void> {
    Condition condition;
    int stock = 0;
    int asked = 0;
    auto take = [](Condition& c, int& items, int& calls) -> Task<int> {
      auto guard = co_await c.scoped();
      auto two = [&]() -> std::optional<int> {
        ++calls;
        if (items < 2) return std::nullopt;
        return items * 10;
      };
      const std::optional<int> result = co_await c.wait_for(two);
      CHECK(c.locked());
      co_return *result;
    };
    auto handle = spawn(take(condition, stock, asked));
    co_await turns(3);
    for (int i = 0; i < 2; ++i) {
      auto guard = co_await condition.scoped();
      ++stock;
      condition.notify();
    }
    const int result = co_await handle;
    CHECK(result == 20);
    CHECK(asked == 3);
    auto guard = co_await condition.scoped();
    const bool at_once = co_await condition.wait_for([] { return true; });
    CHECK(at_once);
  });
}

TEST_CASE("two conditions may share a lock") {
  run_here([]() -> Task<void> {
    Lock lock;
    Condition filled(lock);
    Condition emptied(lock);
    std::vector<int> log;
    auto first = spawn(log_when_notified(filled, log, 1));
    auto second = spawn(log_when_notified(emptied, log, 2));
    co_await turns(2);
    CHECK(&filled.lock() == &lock);
    co_await notify(emptied, 1);
    co_await second;
    CHECK_FALSE(first.done());
    co_await notify(filled, 1);
    co_await first;
    CHECK(log == std::vector<int>{2, 1});
  });
}

TEST_CASE("waiting for a condition or notifying it without its lock is an error") {
  run_here([]() -> Task<void> {
    Condition condition;
    const std::string end = co_await end_of(condition.wait());
    CHECK(end == "Condition.wait(): nobody holds the lock");
    CHECK(thrown<std::logic_error>([&] { condition.notify(); }) ==
          "Condition.notify(): nobody holds the lock");
    CHECK_THROWS_AS(condition.notify_all(), std::logic_error);
  });
}

TEST_CASE("a wait for a condition that is cancelled ends with the lock held, though that takes a while") {
  run_here([]() -> Task<void> {
    Condition condition;
    std::string end;
    auto waits = [](Condition& c, std::string& out) -> Task<void> {
      auto guard = co_await c.scoped();
      out = co_await end_of(c.wait());
      if (!c.locked()) out += ", and the lock not held";
    };
    auto at_once = spawn(waits(condition, end));
    co_await yield();
    at_once.cancel();
    CHECK(condition.locked());  // nobody gets it before the task's turn
    co_await turns(2);
    CHECK(end == "cancelled");
    CHECK_FALSE(condition.locked());

    end.clear();
    auto later = spawn(waits(condition, end));
    co_await yield();
    co_await condition.acquire();
    later.cancel();
    later.cancel();
    co_await turns(3);
    CHECK(end.empty());
    condition.notify();  // is not for one who has been stopped
    condition.release();
    co_await turns(2);
    CHECK(end == "cancelled");
    CHECK(later.done());
    CHECK_FALSE(condition.locked());
  });
}

TEST_CASE("a notification that came before the request to stop is delivered") {
  run_here([]() -> Task<void> {
    Condition condition;
    std::vector<int> log;
    auto first = spawn(log_when_notified(condition, log, 1));
    auto second = spawn(log_when_notified(condition, log, 2));
    co_await turns(2);
    co_await condition.acquire();
    condition.notify();
    first.cancel();
    co_await turns(2);
    condition.release();
    co_await turns(2);
    CHECK(log == std::vector<int>{1});
    CHECK(first.done());
    CHECK_FALSE(second.done());
    co_await notify(condition, 1);
    co_await second;
  });
}

TEST_CASE("waiting for a condition can time out, which leaves the lock held") {
  run_here([]() -> Task<void> {
    Condition condition;
    auto guard = co_await condition.scoped();
    bool late = false;
    try {
      co_await timeout(1ms, condition.wait());
    } catch (const TimeoutError&) {
      late = true;
    }
    CHECK(late);
    CHECK(condition.locked());
    guard.release();
    CHECK_FALSE(condition.locked());
  });
}

TEST_CASE("who waits for a condition that is destroyed gets an error, with a shared lock held again") {
  for (const bool held : {false, true}) {
    run_here([held]() -> Task<void> {
      Lock lock;
      auto condition = std::make_unique<Condition>(lock);
      std::vector<std::string> ends;
      auto waits = [](Condition& on, Lock& shared, std::vector<std::string>& out) -> Task<void> {
        const auto guard = co_await shared.scoped();
        const std::string end = co_await end_of(on.wait());
        CHECK(shared.locked());
        out.push_back(end);
      };
      auto first = spawn(waits(*condition, lock, ends));
      auto second = spawn(waits(*condition, lock, ends));
      auto third = spawn(waits(*condition, lock, ends));
      auto notified = spawn(waits(*condition, lock, ends));
      co_await turns(4);
      if (held) CHECK(lock.try_acquire());
      condition.reset();
      second.cancel();
      co_await turns(4);
      CHECK(ends.size() == (held ? 0 : 4));
      if (held) third.cancel();
      if (held) lock.release();
      co_await turns(5);
      CHECK_FALSE(lock.locked());
      const std::string error = "Condition.wait(): the Condition was destroyed";
      if (held)
        CHECK(ends == std::vector<std::string>{error, "cancelled", "cancelled", error});
      else
        CHECK(ends == std::vector<std::string>{error, "cancelled", error, error});
    });
  }
}

TEST_CASE("who was notified and waits for the lock learns that the condition, or the lock, was destroyed") {
  for (const bool lock_too : {false, true}) {
    run_here([lock_too]() -> Task<void> {
      auto lock = std::make_unique<Lock>();
      auto condition = std::make_unique<Condition>(*lock);
      auto waits = [](Condition& on) -> Task<std::string> {
        const auto guard = co_await on.scoped();
        co_return co_await end_of(on.wait());
      };
      auto waiting = spawn(waits(*condition));
      co_await turns(2);
      CHECK(lock->try_acquire());
      condition->notify();
      condition.reset();
      if (lock_too)
        lock.reset();
      else
        lock->release();
      const std::string end = co_await waiting;
      CHECK(end == "Condition.wait(): the Condition was destroyed");
      if (lock) CHECK_FALSE(lock->locked());
    });
  }
}

TEST_CASE("wherever tasks that wait for a condition are cancelled, no notification and no lock is lost") {
  bool locked = true;
  std::vector<int> log;
  const auto scenario = [&]() -> Task<void> {
    log.clear();
    Condition condition;
    auto other = spawn(log_when_notified(condition, log, 2));
    std::exception_ptr error;
    try {
      co_await yield();
      auto notifier = spawn(notify(condition, 2));
      co_await log_when_notified(condition, log, 1);
    } catch (...) {
      error = std::current_exception();
    }
    co_await shield(turns(4));
    while (!other.done()) {
      co_await shield(notify(condition, 1));
      co_await shield(turns(4));
    }
    locked = condition.locked();
    if (error) std::rethrow_exception(error);
  };
  const auto check = [&](const DisturbedRun& run) {
    check_usual_end(run);
    if (run.returned() || !run.place.ends_with("not started")) {
      CHECK_FALSE(locked);
      CHECK(std::count(log.begin(), log.end(), 2) == 1);
    }
  };
  DisturbOptions options;
  options.main_only = true;
  CHECK(cancel_everywhere(scenario, check, options).places >= 10);
}
