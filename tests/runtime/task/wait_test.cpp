// wait: until some or all of several tasks are done.
// SPDX-License-Identifier: MIT
#include "../../../runtime/task/wait.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>
#include <vector>

#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../../runtime/testing/testing.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

Task<int> after(int turns, int value) {
  for (int i = 0; i < turns; ++i) co_await yield();
  if (value < 0) throw std::runtime_error("negative");
  co_return value;
}

std::vector<JoinHandle<int>> spawn_each(std::vector<std::pair<int, int>> turns_and_values) {
  std::vector<JoinHandle<int>> handles;
  for (const auto& [turns, value] : turns_and_values) handles.push_back(spawn(after(turns, value)));
  return handles;
}

}  // namespace

TEST_CASE("wait comes back when all are done, and the results stay in the handles") {
  run_here([]() -> Task<void> {
    auto handles = spawn_each({{3, 1}, {1, -1}, {5, 3}});
    const std::size_t done = co_await wait(handles);
    CHECK(done == 3);
    CHECK(handles[0].result() == 1);
    CHECK(handles[1].error() != nullptr);
    CHECK(handles[2].result() == 3);
  });
}

TEST_CASE("wait for the first comes back with the others still running") {
  run_here([]() -> Task<void> {
    auto handles = spawn_each({{5, 1}, {1, 2}, {9, 3}});
    const std::size_t done = co_await wait(handles, ReturnWhen::FIRST_COMPLETED);
    CHECK(done == 1);
    CHECK(handles[1].done());
    CHECK_FALSE(handles[0].done());
    const std::size_t again = co_await wait(handles, ReturnWhen::FIRST_COMPLETED);
    CHECK(again == 1);
    const std::size_t all = co_await wait(handles);
    CHECK(all == 3);
  });
}

TEST_CASE("wait for the first exception ignores results and cancelled tasks") {
  run_here([]() -> Task<void> {
    auto handles = spawn_each({{1, 1}, {50, 2}, {3, -1}, {50, 4}});
    handles[3].cancel();
    const std::size_t done = co_await wait(handles, ReturnWhen::FIRST_EXCEPTION);
    CHECK(done == 3);
    CHECK_FALSE(handles[1].done());
    CHECK(handles[2].error() != nullptr);
    auto fine = spawn_each({{1, 1}, {5, 2}});
    const std::size_t all = co_await wait(fine, ReturnWhen::FIRST_EXCEPTION);
    CHECK(all == 2);
  });
}

ON_SELECTORS("wait with a timeout comes back with what is done by then, and cancels nobody") {
  run_on(selector, []() -> Task<void> {
    auto quick = spawn([]() -> Task<void> { co_await yield(); }());
    auto slow = spawn([]() -> Task<int> {
      co_await sleep(std::nullopt);
      co_return 1;
    }());
    const std::size_t done = co_await wait(ReturnWhen::ALL_COMPLETED, 2ms, quick, slow);
    CHECK(done == 1);
    CHECK_FALSE(slow.done());
    CHECK(slow.state().cancel_requests() == 0);
    const std::size_t look = co_await wait(ReturnWhen::ALL_COMPLETED, 0s, quick, slow);
    CHECK(look == 1);
    slow.cancel();
    const std::size_t both = co_await wait(ReturnWhen::ALL_COMPLETED, 1h, quick, slow);
    CHECK(both == 2);
    CHECK(EventLoop::running().timers().empty());
  });
}

TEST_CASE("wait for nothing is done at once, and an empty handle is refused") {
  run_here([]() -> Task<void> {
    const std::vector<JoinHandle<int>> none;
    const std::size_t done = co_await wait(none, ReturnWhen::FIRST_COMPLETED);
    CHECK(done == 0);
    CHECK_THROWS_AS(wait(ReturnWhen::ALL_COMPLETED, {}, JoinHandle<int>()), std::logic_error);
    co_return;
  });
}

TEST_CASE("cancelling who waits leaves the tasks running, and several may wait for one task") {
  run_here([]() -> Task<void> {
    auto handles = spawn_each({{20, 1}, {30, 2}});
    auto waits = [](const std::vector<JoinHandle<int>>& which, ReturnWhen when) -> Task<std::size_t> {
      co_return co_await wait(which, when);
    };
    auto a = spawn(waits(handles, ReturnWhen::ALL_COMPLETED));
    auto b = spawn(waits(handles, ReturnWhen::FIRST_COMPLETED));
    auto c = spawn(waits(handles, ReturnWhen::ALL_COMPLETED));
    co_await yield();
    a.cancel();
    const std::size_t first = co_await b;
    CHECK(a.cancelled());
    CHECK(first == 1);
    const std::size_t all = co_await c;
    CHECK(all == 2);
    CHECK(handles[0].result() == 1);
    CHECK(handles[1].result() == 2);
  });
}

TEST_CASE("the handles may be dropped while somebody waits") {
  run_here([]() -> Task<void> {
    auto handles = spawn_each({{3, 1}, {4, 2}});
    auto waiting = wait(handles);
    handles.clear();
    const std::size_t done = co_await timeout(1h, std::move(waiting));
    CHECK(done == 2);
  });
}

TEST_CASE("wait that is cancelled at any point is on no task's list") {
  const DisturbCount count = cancel_everywhere([]() -> Task<void> {
    auto handles = spawn_each({{3, 1}, {6, 2}});
    co_await wait(handles, ReturnWhen::FIRST_COMPLETED);
    co_await wait(handles, ReturnWhen::ALL_COMPLETED, 1h);
    co_await wait(handles);
  });
  CHECK(count.places >= 20);
}

TEST_CASE("a thousand tasks that wait for one are told in the order in which they came") {
  run_here([]() -> Task<void> {
    std::vector<int> order;
    auto target = spawn(after(3, 1));
    auto joins = [](const JoinHandle<int>& which, int id, std::vector<int>& log) -> Task<void> {
      co_await wait(ReturnWhen::ALL_COMPLETED, {}, which);
      log.push_back(id);
    };
    std::vector<JoinHandle<void>> joiners;
    for (int i = 0; i < 1000; ++i) joiners.push_back(spawn(joins(target, i, order)));
    co_await yield();
    joiners[0].cancel();
    joiners[500].cancel();
    joiners[999].cancel();
    co_await wait(joiners);
    REQUIRE(order.size() == 997);
    CHECK(std::is_sorted(order.begin(), order.end()));
  });
}
