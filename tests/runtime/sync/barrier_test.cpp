// Barrier: all of them, or none.
// SPDX-License-Identifier: MIT
#include "../../../runtime/sync/barrier.hpp"

#include <memory>
#include <string>
#include <vector>

#include "../../../runtime/task/join_handle.hpp"
#include "../../../selector/errors.hpp"
#include "../../support/on_selectors.hpp"
#include "../../support/turns.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

Task<void> pass(Barrier& barrier, std::vector<std::size_t>& indices) {
  indices.push_back(co_await barrier.wait());
}

}  // namespace

ON_SELECTORS("a barrier opens when the last has arrived, and closes for the next round") {
  run_on(selector, []() -> Task<void> {
    Barrier barrier(3);
    CHECK(barrier.parties() == 3);
    for (int round = 0; round < 3; ++round) {
      std::vector<std::size_t> indices;
      auto first = spawn(pass(barrier, indices));
      auto second = spawn(pass(barrier, indices));
      co_await turns(3);
      CHECK(barrier.n_waiting() == 2);
      CHECK(indices.empty());
      const std::size_t mine = co_await barrier.wait();
      CHECK(mine == 2);
      CHECK(barrier.n_waiting() == 0);
      co_await first;
      co_await second;
      CHECK(indices == std::vector<std::size_t>{0, 1});
    }
  });
}

TEST_CASE("those who come to a barrier while others leave it are of the next round") {
  run_here([]() -> Task<void> {
    Barrier barrier(2);
    std::vector<std::size_t> indices;
    std::vector<std::size_t> next;
    spawn(pass(barrier, indices));
    spawn(pass(barrier, indices));
    spawn(pass(barrier, next));
    co_await turns(3);
    CHECK(indices == std::vector<std::size_t>{1, 0});  // the last doesn't wait
    CHECK(barrier.n_waiting() == 1);
    co_await barrier.wait();
    co_await turns(2);
    CHECK(next == std::vector<std::size_t>{0});
  });
}

TEST_CASE("a barrier for one is always open, and for none is an error") {
  run_here([]() -> Task<void> {
    Barrier barrier(1);
    const std::size_t index = co_await barrier.wait();
    CHECK(index == 0);
    CHECK(thrown<ValueError>([] { Barrier none(0); }) == "Barrier: parties must be at least 1");
  });
}

TEST_CASE("who is cancelled at a barrier has not arrived") {
  run_here([]() -> Task<void> {
    Barrier barrier(3);
    std::vector<std::size_t> indices;
    auto first = spawn(pass(barrier, indices));
    auto second = spawn(pass(barrier, indices));
    co_await yield();
    first.cancel();
    co_await yield();
    CHECK(first.cancelled());
    CHECK(barrier.n_waiting() == 1);
    CHECK_FALSE(barrier.broken());
    auto third = spawn(pass(barrier, indices));
    co_await yield();
    const std::size_t mine = co_await barrier.wait();
    co_await second;
    co_await third;
    CHECK(mine == 2);
    CHECK(indices == std::vector<std::size_t>{0, 1});
  });
}

TEST_CASE("who is cancelled after the barrier has opened has passed it") {
  run_here([]() -> Task<void> {
    Barrier barrier(2);
    std::vector<std::size_t> indices;
    auto first = spawn(pass(barrier, indices));
    co_await yield();
    co_await barrier.wait();
    first.cancel();
    co_await yield();
    CHECK(indices == std::vector<std::size_t>{0});
    CHECK(barrier.n_waiting() == 0);
  });
}

TEST_CASE("an aborted barrier is broken until it is reset") {
  run_here([]() -> Task<void> {
    Barrier barrier(3);
    auto first = spawn(end_of(barrier.wait()));
    auto second = spawn(end_of(barrier.wait()));
    co_await yield();
    barrier.abort();
    CHECK(barrier.broken());
    CHECK(barrier.n_waiting() == 0);
    const std::string first_end = co_await first;
    const std::string second_end = co_await second;
    const std::string late_end = co_await end_of(barrier.wait());
    for (const std::string& end : {first_end, second_end, late_end})
      CHECK(end == "Barrier.wait(): the barrier was aborted or reset");
    barrier.reset();
    CHECK_FALSE(barrier.broken());
    auto third = spawn(end_of(barrier.wait()));
    co_await yield();
    CHECK(barrier.n_waiting() == 1);
    barrier.reset();
    const std::string third_end = co_await third;
    CHECK(third_end == "Barrier.wait(): the barrier was aborted or reset");
    CHECK_FALSE(barrier.broken());
    CHECK(barrier.n_waiting() == 0);
  });
}

TEST_CASE("who waits for a barrier that is destroyed is told so") {
  run_here([]() -> Task<void> {
    auto barrier = std::make_unique<Barrier>(2);
    auto waits = spawn(end_of(barrier->wait()));
    co_await yield();
    barrier.reset();
    const std::string end = co_await waits;
    CHECK(end == "Barrier.wait(): the Barrier was destroyed");
  });
}
