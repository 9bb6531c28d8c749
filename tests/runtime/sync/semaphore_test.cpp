// Semaphore: so many at a time, in turn, and no permit lost.
// SPDX-License-Identifier: MIT
#include "../../../runtime/sync/semaphore.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "../../../runtime/task/gather.hpp"
#include "../../../runtime/task/join_handle.hpp"
#include "../../../selector/errors.hpp"
#include "../../support/on_selectors.hpp"
#include "../../support/turns.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;

namespace {

Task<void> work(Semaphore& semaphore, std::vector<int>& log, int id) {
  auto permit = co_await semaphore.scoped();
  log.push_back(id);
  co_await yield();
}

}  // namespace

ON_SELECTORS("a semaphore lets as many in as it has permits, in the order in which they came") {
  run_on(selector, []() -> Task<void> {
    Semaphore semaphore(2);
    int inside = 0;
    int most = 0;
    std::vector<int> log;
    auto enter = [](Semaphore& s, int& now, int& peak, std::vector<int>& out, int id) -> Task<void> {
      auto permit = co_await s.scoped();
      out.push_back(id);
      peak = std::max(peak, ++now);
      co_await turns(2);
      --now;
    };
    std::vector<Task<void>> tasks;
    for (int id = 0; id < 6; ++id) tasks.push_back(enter(semaphore, inside, most, log, id));
    co_await gather(std::move(tasks));
    CHECK(most == 2);
    CHECK(log == std::vector<int>{0, 1, 2, 3, 4, 5});
    CHECK(semaphore.value() == 2);
  });
}

TEST_CASE("a semaphore counts what is acquired and released") {
  run_here([]() -> Task<void> {
    Semaphore semaphore(2);
    co_await semaphore.acquire();
    CHECK(semaphore.try_acquire());
    CHECK(semaphore.locked());
    CHECK_FALSE(semaphore.try_acquire());
    for (int i = 0; i < 3; ++i) semaphore.release();
    CHECK(semaphore.value() == 3);  // it isn't bounded
    CHECK_FALSE(semaphore.locked());
  });
}

TEST_CASE("a bounded semaphore that is released too often is an error") {
  run_here([]() -> Task<void> {
    BoundedSemaphore semaphore(1);
    CHECK(thrown<ValueError>([&] { semaphore.release(); }) ==
          "Semaphore.release(): released more often than acquired");
    co_await semaphore.acquire();
    std::vector<int> log;
    auto waits = spawn(work(semaphore, log, 1));
    co_await yield();
    semaphore.release();
    CHECK(semaphore.locked());
    co_await waits;
    CHECK(semaphore.value() == 1);
    CHECK_THROWS_AS(semaphore.release(), ValueError);
    CHECK(semaphore.value() == 1);
  });
}

TEST_CASE("a permit that is released goes to who waits, not to who asks next") {
  run_here([]() -> Task<void> {
    Semaphore semaphore(0);
    std::vector<int> log;
    auto waits = spawn(work(semaphore, log, 1));
    co_await yield();
    semaphore.release();
    CHECK(semaphore.locked());
    CHECK_FALSE(semaphore.try_acquire());
    co_await waits;
    CHECK(log == std::vector<int>{1});
    CHECK(semaphore.value() == 1);
  });
}

TEST_CASE("a permit that was given to a task which is cancelled before its turn is not lost") {
  run_here([]() -> Task<void> {
    Semaphore semaphore(0);
    std::vector<int> log;
    auto waiting = spawn(work(semaphore, log, 1));
    auto given = spawn(work(semaphore, log, 2));
    auto last = spawn(work(semaphore, log, 3));
    co_await yield();
    waiting.cancel();
    semaphore.release();
    given.cancel();
    co_await last;
    CHECK(waiting.cancelled());
    CHECK(given.cancelled());
    CHECK(log == std::vector<int>{2, 3});
    CHECK(semaphore.value() == 1);
  });
}

TEST_CASE("a request to stop comes out of the acquiring of a free semaphore, which keeps its permit") {
  run_here([]() -> Task<void> {
    Semaphore semaphore(1);
    current.task->cancel();
    const std::string end = co_await end_of(semaphore.acquire());
    current.task->uncancel();
    CHECK(end == "cancelled");
    CHECK(semaphore.value() == 1);
  });
}

TEST_CASE("who waits for a semaphore that is destroyed is told so") {
  run_here([]() -> Task<void> {
    auto semaphore = std::make_unique<Semaphore>(0);
    auto waits = spawn(end_of(semaphore->acquire()));
    auto waits_scoped = spawn(end_of(semaphore->scoped()));
    co_await yield();
    semaphore.reset();
    const std::string end = co_await waits;
    const std::string scoped_end = co_await waits_scoped;
    CHECK(end == "Semaphore.acquire(): the Semaphore was destroyed");
    CHECK(scoped_end == "Semaphore.scoped(): the Semaphore was destroyed");
  });
}
