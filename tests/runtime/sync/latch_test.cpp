// Latch: down to zero, once.
// SPDX-License-Identifier: MIT
#include "../../../runtime/sync/latch.hpp"

#include <memory>
#include <string>

#include "../../../runtime/task/join_handle.hpp"
#include "../../../selector/errors.hpp"
#include "../../support/on_selectors.hpp"
#include "../../support/turns.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;

ON_SELECTORS("a latch wakes all who wait when it has been counted down") {
  run_on(selector, []() -> Task<void> {
    Latch latch(3);
    auto first = spawn(end_of(latch.wait()));
    auto second = spawn(end_of(latch.wait()));
    co_await yield();
    latch.count_down(2);
    CHECK(latch.count() == 1);
    CHECK_FALSE(latch.try_wait());
    co_await turns(2);
    CHECK_FALSE(first.done());
    latch.count_down();
    CHECK(latch.try_wait());
    co_await first;
    co_await second;
    co_await latch.wait();
  });
}

TEST_CASE("tasks that arrive at a latch and wait go on together") {
  run_here([]() -> Task<void> {
    Latch latch(3);
    auto first = spawn(end_of(latch.arrive_and_wait()));
    auto second = spawn(end_of(latch.arrive_and_wait()));
    co_await turns(2);
    CHECK(latch.count() == 1);
    CHECK_FALSE(first.done());
    co_await latch.arrive_and_wait();
    co_await first;
    co_await second;
  });
}

TEST_CASE("who is cancelled while it waits at a latch has arrived all the same, but not who was before") {
  run_here([]() -> Task<void> {
    Latch latch(2);
    auto waits = spawn(end_of(latch.arrive_and_wait()));
    co_await yield();
    waits.cancel();
    const std::string end = co_await waits;
    CHECK(end == "cancelled");
    CHECK(latch.count() == 1);
    current.task->cancel();
    const std::string not_begun = co_await end_of(latch.arrive_and_wait());
    current.task->uncancel();
    CHECK(not_begun == "cancelled");
    CHECK(latch.count() == 1);
  });
}

TEST_CASE("counting a latch down below zero is an error that changes nothing") {
  run_here([]() -> Task<void> {
    Latch latch(1);
    CHECK(thrown<ValueError>([&] { latch.count_down(2); }) == "Latch.count_down(): counted down below zero");
    CHECK(latch.count() == 1);
    const std::string end = co_await end_of(latch.arrive_and_wait(2));
    CHECK(end == "Latch.count_down(): counted down below zero");
    latch.count_down();
  });
}

TEST_CASE("who waits for a latch that is destroyed is told so") {
  run_here([]() -> Task<void> {
    auto latch = std::make_unique<Latch>(1);
    auto waits = spawn(end_of(latch->wait()));
    co_await yield();
    latch.reset();
    const std::string end = co_await waits;
    CHECK(end == "Latch.wait(): the Latch was destroyed");
  });
}
