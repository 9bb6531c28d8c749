// AsyncGenerator: item by item, waiting in between, and an end at any point.
// SPDX-License-Identifier: MIT
#include "../../../runtime/task/async_generator.hpp"

#include <memory>
#include <optional>
#include <source_location>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../../runtime/sync/event.hpp"
#include "../../../runtime/sync/queue.hpp"
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

AsyncGenerator<int> count_to(int end) {
  for (int i = 0; i < end; ++i) {
    if (i % 3 == 1) co_await yield();
    co_yield i;
  }
}

// Notes when it goes.
struct Mark {
  explicit Mark(std::vector<std::string>& out) : log(out) {}
  Mark(const Mark&) = delete;
  ~Mark() { log.push_back("gone"); }
  std::vector<std::string>& log;
};

AsyncGenerator<int> marked(std::vector<std::string>& log, Event* event = nullptr) {
  const Mark mark(log);
  log.push_back("begun");
  try {
    co_yield 1;
    if (event != nullptr) co_await event->wait();
    co_yield 2;
  } catch (const Cancelled&) {
    log.push_back("cancelled");
    throw;
  }
  log.push_back("ended");
}

}  // namespace

ON_SELECTORS("a generator yields its items one by one, waits in between, and comes to an end") {
  run_on(selector, []() -> Task<void> {
    std::vector<int> got;
    auto numbers = count_to(10);
    while (auto number = co_await numbers.next()) got.push_back(*number);
    CHECK(got == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
    const auto none = co_await numbers.next();
    CHECK_FALSE(none);
  });
}

TEST_CASE("what is yielded may be a name, a temporary, or only movable") {
  run_here([]() -> Task<void> {
    auto make = []() -> AsyncGenerator<std::string> {
      const std::string constant = "a constant that is long enough to be on the heap";
      std::string name = "a name that is long enough to be on the heap";
      co_yield constant;
      co_yield name;
      co_yield name;  // it was copied
      co_yield std::move(name);
      co_yield std::string("a temporary that is long enough to be on the heap");
      co_yield "converted";
    };
    std::vector<std::string> got;
    auto texts = make();
    while (auto text = co_await texts.next()) got.push_back(std::move(*text));
    CHECK(got == std::vector<std::string>{"a constant that is long enough to be on the heap",
                                          "a name that is long enough to be on the heap",
                                          "a name that is long enough to be on the heap",
                                          "a name that is long enough to be on the heap",
                                          "a temporary that is long enough to be on the heap", "converted"});
    auto make_unique = []() -> AsyncGenerator<std::unique_ptr<int>> {
      co_yield std::make_unique<int>(1);
      auto second = std::make_unique<int>(2);
      co_yield std::move(second);
    };
    int sum = 0;
    auto pointers = make_unique();
    while (auto pointer = co_await pointers.next()) sum += **pointer;
    CHECK(sum == 3);
  });
}

TEST_CASE("an exception of the body comes out of next, and then the generator has ended") {
  run_here([]() -> Task<void> {
    auto make = []() -> AsyncGenerator<int> {
      co_yield 1;
      co_await yield();
      throw std::runtime_error("broken");
    };
    auto numbers = make();
    const auto first = co_await numbers.next();
    CHECK(first == 1);
    const std::string end = co_await end_of(numbers.next());
    CHECK(end == "broken");
    const auto none = co_await numbers.next();
    CHECK_FALSE(none);
  });
}

TEST_CASE("a generator that is dropped early destroys what its body holds") {
  run_here([]() -> Task<void> {
    std::vector<std::string> log;
    {
      auto never_begun = marked(log);
    }
    CHECK(log.empty());
    {
      auto numbers = marked(log);
      co_await numbers.next();
      CHECK(log == std::vector<std::string>{"begun"});
    }
    CHECK(log == std::vector<std::string>{"begun", "gone"});
    auto first = marked(log);
    co_await first.next();
    first = marked(log);
    CHECK(log == std::vector<std::string>{"begun", "gone", "begun", "gone"});
    const auto item = co_await first.next();
    CHECK(item == 1);
  });
}

TEST_CASE("a request to stop whoever waits for an item comes out of the co_await in the body") {
  run_here([]() -> Task<void> {
    std::vector<std::string> log;
    Event event;
    auto consume = [](std::vector<std::string>& out, Event& e) -> Task<void> {
      auto numbers = marked(out, &e);
      while (auto number = co_await numbers.next()) out.push_back(std::to_string(*number));
    };
    auto handle = spawn(consume(log, event));
    co_await yield();
    handle.cancel();
    co_await yield();
    CHECK(handle.cancelled());
    CHECK(log == std::vector<std::string>{"begun", "1", "cancelled", "gone"});
  });
}

TEST_CASE("an item can be waited for with a timeout") {
  run_here([]() -> Task<void> {
    std::vector<std::string> log;
    Event never;
    auto numbers = marked(log, &never);
    const auto first = co_await timeout(1h, numbers.next());
    CHECK(first == 1);
    bool late = false;
    try {
      co_await timeout(1ms, numbers.next());
    } catch (const TimeoutError&) {
      late = true;
    }
    CHECK(late);
    CHECK(log == std::vector<std::string>{"begun", "cancelled", "gone"});
  });
}

TEST_CASE("generators feed each other, and a dump sees through all of them") {
  run_here([]() -> Task<void> {
    auto doubled = [](AsyncGenerator<int> source) -> AsyncGenerator<int> {
      while (auto number = co_await source.next()) co_yield 2 * *number;
    };
    std::vector<int> got;
    auto numbers = doubled(doubled(count_to(4)));
    while (auto number = co_await numbers.next()) got.push_back(*number);
    CHECK(got == std::vector<int>{0, 4, 8, 12});

    Event event;
    auto waits = [](Event& e) -> AsyncGenerator<int> {
      co_await e.wait();
      co_yield 1;
    };
    auto consume = [&doubled, &waits](Event& e) -> Task<int> {
      auto chain = doubled(waits(e));
      const auto number = co_await chain.next();
      co_return *number;
    };
    auto handle = spawn(consume(event));
    co_await yield();
    int depth = 0;
    for (const AsyncFrame* frame = handle.state().leaf(); frame != nullptr; frame = frame->parent()) {
      CHECK(std::string(frame->where.file_name()).find("async_generator_test.cpp") != std::string::npos);
      ++depth;
    }
    CHECK(depth >= 3);
    event.set();
    const int result = co_await handle;
    CHECK(result == 2);
  });
}

TEST_CASE("next of a generator that runs, or was moved from, is an error") {
  run_here([]() -> Task<void> {
    Event event;
    std::vector<std::string> log;
    auto numbers = marked(log, &event);
    co_await numbers.next();
    auto waits = spawn(end_of(numbers.next()));
    co_await yield();
    std::string end = co_await end_of(numbers.next());
    CHECK(end == "AsyncGenerator.next(): another task waits for it already");
    event.set();
    co_await waits;
    auto moved = std::move(numbers);
    end = co_await end_of(numbers.next());
    CHECK(end == "AsyncGenerator.next(): it was moved from, or never had a coroutine");
    const auto none = co_await moved.next();
    CHECK_FALSE(none);
  });
}

TEST_CASE(
    "a generator that is destroyed while a task waits for it runs on to its next item, and no further") {
  run_here([]() -> Task<void> {
    Event event;
    std::vector<std::string> log;
    auto numbers = std::make_unique<AsyncGenerator<int>>(marked(log, &event));
    co_await numbers->next();
    auto waits = spawn(end_of(numbers->next()));
    co_await yield();
    numbers.reset();
    co_await turns(2);
    CHECK(log == std::vector<std::string>{"begun"});
    event.set();
    std::string end = co_await waits;
    CHECK(end == "AsyncGenerator.next(): the AsyncGenerator was destroyed");
    CHECK(log == std::vector<std::string>{"begun", "gone"});

    log.clear();
    event.clear();
    numbers = std::make_unique<AsyncGenerator<int>>(marked(log, &event));
    co_await numbers->next();
    waits = spawn(end_of(numbers->next()));
    co_await yield();
    numbers.reset();
    waits.cancel();
    end = co_await waits;
    CHECK(end == "cancelled");
    CHECK(log == std::vector<std::string>{"begun", "cancelled", "gone"});
  });
}

TEST_CASE("wherever the consumer of a generator is cancelled, nothing that the body holds is left") {
  std::vector<std::string> log;
  long items = 0;
  const auto scenario = [&]() -> Task<void> {
    log.clear();
    items = 0;
    auto make = [](std::vector<std::string>& out) -> AsyncGenerator<std::string> {
      const Mark mark(out);
      for (int i = 0; i < 3; ++i) {
        co_await yield();
        co_yield std::string(40, 'x');
      }
    };
    auto texts = make(log);
    while (auto text = co_await texts.next()) {
      ++items;
      co_await yield();
    }
  };
  const auto check = [&](const DisturbedRun& run) {
    check_usual_end(run);
    CHECK(log.size() <= 1);
    if (run.returned()) CHECK(items == 3);
  };
  CHECK(cancel_everywhere(scenario, check).failed >= 12);
  const auto broken = std::make_exception_ptr(std::runtime_error("broken"));
  CHECK(throw_everywhere(scenario, broken, check).failed >= 6);
}

TEST_CASE("a million items don't grow the stack, nor allocate") {
  run_here([]() -> Task<void> {
    auto endless = []() -> AsyncGenerator<int> {
      for (int i = 0;; ++i) co_yield i;
    };
    auto numbers = endless();
    co_await numbers.next();
    const auto before = allocations();
    int last = 0;
    while (last < 1'000'000) last = *co_await numbers.next();
    if (allocations_are_counted) CHECK(allocations() == before);
  });
}
