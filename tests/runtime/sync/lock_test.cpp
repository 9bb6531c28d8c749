// Lock: one task at a time, in turn, and never lost.
// SPDX-License-Identifier: MIT
#include "../../../runtime/sync/lock.hpp"

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "../../../runtime/task/gather.hpp"
#include "../../../runtime/task/join_handle.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../../runtime/testing/testing.hpp"
#include "../../support/allocations.hpp"
#include "../../support/on_selectors.hpp"
#include "../../support/turns.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

Task<void> hold(Lock& lock, std::vector<int>& log, int id) {
  auto guard = co_await lock.scoped();
  log.push_back(id);
  co_await yield();
  log.push_back(id);
}

}  // namespace

ON_SELECTORS("a lock is held by one task at a time, in the order in which they asked") {
  run_on(selector, []() -> Task<void> {
    Lock lock;
    std::vector<int> log;
    co_await gather(hold(lock, log, 1), hold(lock, log, 2), hold(lock, log, 3));
    CHECK(log == std::vector<int>{1, 1, 2, 2, 3, 3});
    CHECK_FALSE(lock.locked());
  });
}

TEST_CASE("a lock that is released goes to who waits, not to who asks next") {
  run_here([]() -> Task<void> {
    Lock lock;
    std::vector<int> log;
    co_await lock.acquire();
    auto waits = spawn(hold(lock, log, 1));
    co_await yield();
    lock.release();
    CHECK(lock.locked());
    CHECK_FALSE(lock.try_acquire());
    {
      auto guard = co_await lock.scoped();
      log.push_back(2);
    }
    CHECK(log == std::vector<int>{1, 1, 2});
    CHECK(waits.done());
  });
}

TEST_CASE("a guard releases the lock when it goes, earlier if asked, and holds it when it moves") {
  run_here([]() -> Task<void> {
    Lock lock;
    Guard<Lock> outer;
    CHECK_FALSE(outer);
    {
      Guard<Lock> inner = co_await lock.scoped();
      outer = std::move(inner);
    }
    CHECK(lock.locked());
    CHECK(outer);
    outer.release();
    CHECK_FALSE(lock.locked());
    outer.release();
    outer = co_await lock.scoped();
    outer = Guard<Lock>();
    CHECK_FALSE(lock.locked());
  });
}

TEST_CASE("a lock works with the guards of the standard library") {
  Lock lock;
  {
    const std::unique_lock guard(lock, std::try_to_lock);
    CHECK(guard.owns_lock());
    CHECK_FALSE(std::unique_lock(lock, std::try_to_lock).owns_lock());
  }
  CHECK(lock.try_acquire());
  {
    const std::lock_guard guard(lock, std::adopt_lock);
  }
  CHECK_FALSE(lock.locked());
}

TEST_CASE("releasing a lock that nobody holds is an error") {
  Lock lock;
  CHECK(thrown<std::logic_error>([&] { lock.release(); }) == "Lock.release(): nobody holds the lock");
  CHECK(lock.try_acquire());
  lock.release();
  CHECK_THROWS_AS(lock.release(), std::logic_error);
}

TEST_CASE("a cancelled wait for a lock leaves the others in their order") {
  run_here([]() -> Task<void> {
    Lock lock;
    std::vector<int> log;
    co_await lock.acquire();
    auto first = spawn(hold(lock, log, 1));
    auto second = spawn(hold(lock, log, 2));
    auto third = spawn(hold(lock, log, 3));
    co_await yield();
    first.cancel();
    third.cancel();
    co_await yield();
    CHECK(first.cancelled());
    CHECK(third.cancelled());
    lock.release();
    co_await second;
    CHECK(log == std::vector<int>{2, 2});
    CHECK_FALSE(lock.locked());
  });
}

TEST_CASE("a lock that was handed to a task which is cancelled before its turn is not lost") {
  run_here([]() -> Task<void> {
    Lock lock;
    std::vector<int> log;
    co_await lock.acquire();
    auto first = spawn(hold(lock, log, 1));
    auto second = spawn(hold(lock, log, 2));
    co_await yield();
    lock.release();
    first.cancel();
    co_await second;
    CHECK(first.cancelled());
    CHECK(log == std::vector<int>{1, 2, 2});  // it got it, and was stopped at its next co_await
    CHECK_FALSE(lock.locked());
  });
}

TEST_CASE("a request to stop comes out of the acquiring of a free lock, which stays free") {
  run_here([]() -> Task<void> {
    Lock lock;
    current.task->cancel();
    bool cancelled = false;
    try {
      co_await lock.acquire();
    } catch (const Cancelled&) {
      cancelled = true;
    }
    current.task->uncancel();
    CHECK(cancelled);
    CHECK_FALSE(lock.locked());
  });
}

TEST_CASE("who waits for a lock that is destroyed is told so") {
  run_here([]() -> Task<void> {
    auto lock = std::make_unique<Lock>();
    co_await lock->acquire();
    auto waits = spawn(end_of(lock->acquire()));
    auto waits_scoped = spawn(end_of(lock->scoped()));
    co_await yield();
    lock.reset();
    const std::string end = co_await waits;
    const std::string scoped_end = co_await waits_scoped;
    CHECK(end == "Lock.acquire(): the Lock was destroyed");
    CHECK(scoped_end == "Lock.scoped(): the Lock was destroyed");
  });
}

TEST_CASE("a task that acquires a free lock again and again lets the others run") {
  run_here([]() -> Task<void> {
    Lock lock;
    bool other_ran = false;
    auto other = [](bool& ran) -> Task<void> {
      ran = true;
      co_return;
    };
    spawn(other(other_ran));
    int rounds = 0;
    for (; !other_ran && rounds < 1000; ++rounds) auto guard = co_await lock.scoped();
    CHECK(rounds < 200);
    CHECK(rounds > 1);
    CHECK_FALSE(lock.locked());
  });
}

TEST_CASE("wherever a task that wants a lock is cancelled, the others get it, and it is free in the end") {
  bool locked = false;
  std::vector<int> log;
  const auto scenario = [&]() -> Task<void> {
    Lock lock;
    log.clear();
    auto before = spawn(hold(lock, log, 1));
    std::exception_ptr error;
    try {
      co_await yield();
      auto behind = spawn(hold(lock, log, 3));
      co_await hold(lock, log, 2);
    } catch (...) {
      error = std::current_exception();
    }
    while (lock.locked()) co_await shield(yield());
    co_await shield(std::move(before));
    locked = lock.locked();
    if (error) std::rethrow_exception(error);
  };
  const auto check = [&](const DisturbedRun& run) {
    CHECK_FALSE(locked);
    if (run.returned()) CHECK(log == std::vector<int>{1, 1, 2, 2, 3, 3});
  };
  DisturbOptions options;
  options.main_only = true;
  const DisturbCount count = cancel_everywhere(scenario, check, options);
  CHECK(count.places >= 10);
  CHECK(count.failed >= 5);
}

TEST_CASE("waiting for a lock allocates nothing") {
  run_here([]() -> Task<void> {
    Lock lock;
    auto contend = [](Lock& l, int rounds) -> Task<void> {
      for (int i = 0; i < rounds; ++i) {
        auto guard = co_await l.scoped();
        co_await yield();
      }
    };
    auto first = spawn(contend(lock, 1000));
    auto second = spawn(contend(lock, 1000));
    co_await turns(10);
    const auto before = allocations();
    co_await first;
    co_await second;
    if (allocations_are_counted) CHECK(allocations() == before);
  });
}
