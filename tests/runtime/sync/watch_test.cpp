// Watch: the latest value, and nobody misses that there is one.
// SPDX-License-Identifier: MIT
#include "../../../runtime/sync/watch.hpp"

#include <optional>
#include <string>
#include <vector>

#include "../../../runtime/task/join_handle.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../support/on_selectors.hpp"
#include "../../support/turns.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;

namespace {

Task<std::vector<int>> follow(WatchReader<int> reader) {
  std::vector<int> seen;
  while (co_await reader.changed()) seen.push_back(reader.value());
  co_return seen;
}

}  // namespace

ON_SELECTORS("readers of a watch see each value, or the last of those that came at once") {
  run_on(selector, []() -> Task<void> {
    std::optional<Watch<int>> watch(1);
    auto first = spawn(follow(watch->subscribe()));
    auto second = spawn(follow(watch->subscribe()));
    co_await turns(2);  // 1 they have seen
    watch->set(2);
    co_await turns(2);
    watch->set(3);
    watch->set(4);
    co_await turns(2);
    watch->set(4);
    co_await turns(2);
    watch->modify([](int& value) { ++value; });
    CHECK(watch->value() == 5);
    watch.reset();
    const std::vector<int> seen = co_await first;
    const std::vector<int> seen_too = co_await second;
    CHECK(seen == std::vector<int>{2, 4, 4, 5});
    CHECK(seen_too == seen);
  });
}

TEST_CASE("a value that came while nobody waited is seen by the next look, once") {
  run_here([]() -> Task<void> {
    Watch<std::string> watch("a");
    auto reader = watch.subscribe();
    CHECK_FALSE(reader.has_changed());
    watch.set("b");
    CHECK(reader.has_changed());
    CHECK(reader.value() == "b");
    const bool changed = co_await reader.changed();
    CHECK(changed);
    CHECK_FALSE(reader.has_changed());
    CHECK_FALSE(reader.closed());
  });
}

TEST_CASE("the reader of a watch that has gone keeps its last value") {
  run_here([]() -> Task<void> {
    std::optional<Watch<std::string>> watch("a");
    auto reader = watch->subscribe();
    auto waits = spawn(end_of(reader.changed()));
    co_await yield();
    watch.reset();
    co_await waits;
    CHECK(reader.closed());
    CHECK(reader.value() == "a");
    const bool changed = co_await reader.changed();
    CHECK_FALSE(changed);
  });
}

TEST_CASE("a reader waits for a value it wants") {
  run_here([]() -> Task<void> {
    std::optional<Watch<int>> watch(1);
    auto waits = [](WatchReader<int> reader, int least) -> Task<bool> {
      const bool came = co_await reader.wait_for([least](int value) { return value >= least; });
      CHECK_FALSE(reader.has_changed());
      co_return came;
    };
    const bool at_once = co_await waits(watch->subscribe(), 1);
    CHECK(at_once);
    auto comes = spawn(waits(watch->subscribe(), 3));
    auto never = spawn(waits(watch->subscribe(), 9));
    for (int value = 2; value <= 4; ++value) {
      co_await turns(2);
      watch->set(value);
    }
    const bool came = co_await comes;
    CHECK(came);
    co_await yield();
    watch.reset();
    const bool never_came = co_await never;
    CHECK_FALSE(never_came);
  });
}

TEST_CASE("a change that came before the request to stop is delivered, one that didn't is left to see") {
  run_here([]() -> Task<void> {
    Watch<int> watch(1);
    auto reader = watch.subscribe();
    auto stopped = spawn(end_of(reader.changed()));
    co_await yield();
    stopped.cancel();
    watch.set(2);
    std::string end = co_await stopped;
    CHECK(end == "cancelled");
    CHECK(reader.has_changed());
    co_await reader.changed();
    auto delivered = spawn(end_of(reader.changed()));
    co_await yield();
    watch.set(3);
    delivered.cancel();
    end = co_await delivered;
    CHECK(end == "done");
    CHECK_FALSE(reader.has_changed());
  });
}

TEST_CASE("the reader of a watch is for one task at a time, and says so when it goes") {
  run_here([]() -> Task<void> {
    Watch<int> watch(1);
    std::optional<WatchReader<int>> reader(watch.subscribe());
    auto waits = spawn(end_of(reader->changed()));
    co_await yield();
    std::string end = co_await end_of(reader->changed());
    CHECK(end == "WatchReader.changed(): another task waits for it already");
    reader.reset();
    end = co_await waits;
    CHECK(end == "WatchReader.changed(): the WatchReader was destroyed");
  });
}
