// gather: all results, or the first failure.
// SPDX-License-Identifier: MIT
#include "../../../runtime/task/gather.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::detail;
using heddle::test::run_here;
using namespace std::chrono_literals;

namespace {

template <class T>
Task<T> after(int turns, T value) {
  for (int i = 0; i < turns; ++i) co_await yield();
  co_return value;
}

Task<int> fail_after(int turns, const char* message) {
  for (int i = 0; i < turns; ++i) co_await yield();
  throw std::runtime_error(message);
}

Task<void> count_cancelled(int& count) {
  try {
    co_await sleep(std::nullopt);
  } catch (const Cancelled&) {
    ++count;
    throw;
  }
}

}  // namespace

TEST_CASE("gather yields the results in the order of the tasks, whichever is done first") {
  run_here([]() -> Task<void> {
    const auto [a, b, c] = co_await gather(after(3, 1), after(1, std::string("two")), after(0, 3.0));
    CHECK(a == 1);
    CHECK(b == "two");
    CHECK(c == 3.0);
  });
}

TEST_CASE("gathered tasks run at the same time") {
  run_here([]() -> Task<void> {
    std::vector<int> log;
    auto turns = [](std::vector<int>& out, int id) -> Task<void> {
      out.push_back(id);
      co_await yield();
      out.push_back(id);
    };
    co_await gather(turns(log, 1), turns(log, 2));
    CHECK(log == std::vector<int>{1, 2, 1, 2});
  });
}

TEST_CASE("gather takes void and move-only results") {
  run_here([]() -> Task<void> {
    auto nothing = []() -> Task<void> { co_await yield(); };
    auto unique = []() -> Task<std::unique_ptr<int>> { co_return std::make_unique<int>(5); };
    auto results = co_await gather(nothing(), unique());
    CHECK(std::get<0>(results) == Nothing());
    CHECK(*std::get<1>(results) == 5);
  });
}

TEST_CASE("gather of no tasks is done at once") {
  run_here([]() -> Task<void> {
    const std::tuple<> none = co_await gather();
    static_cast<void>(none);
    std::vector<Task<int>> tasks;
    const std::vector<int> empty = co_await gather(std::move(tasks));
    CHECK(empty.empty());
  });
}

TEST_CASE("gather of a vector yields as many results, in order") {
  run_here([]() -> Task<void> {
    std::vector<Task<int>> tasks;
    for (int i = 0; i < 50; ++i) tasks.push_back(after(50 - i, i));
    const std::vector<int> results = co_await gather(std::move(tasks));
    REQUIRE(results.size() == 50);
    for (int i = 0; i < 50; ++i) CHECK(results[static_cast<std::size_t>(i)] == i);
  });
}

TEST_CASE("the first failure is thrown after the others were cancelled and joined") {
  run_here([]() -> Task<void> {
    int cancelled = 0;
    std::string message;
    try {
      co_await gather(count_cancelled(cancelled), fail_after(3, "third turn"), fail_after(1, "first turn"),
                      count_cancelled(cancelled));
    } catch (const std::runtime_error& error) {
      message = error.what();
    }
    CHECK(message == "first turn");
    CHECK(cancelled == 2);
    CHECK(current.task->cancel_requests() == 0);
    co_await yield();
  });
}

TEST_CASE("the first failure of a vector is thrown after the others were joined") {
  run_here([]() -> Task<void> {
    int cancelled = 0;
    std::vector<Task<void>> tasks;
    tasks.push_back(count_cancelled(cancelled));
    auto fails = []() -> Task<void> {
      co_await yield();
      throw std::runtime_error("broken");
    };
    tasks.push_back(fails());
    tasks.push_back(count_cancelled(cancelled));
    std::string message;
    try {
      co_await gather(std::move(tasks));
    } catch (const std::runtime_error& error) {
      message = error.what();
    }
    CHECK(message == "broken");
    CHECK(cancelled == 2);
  });
}

TEST_CASE("cancelling the caller of gather cancels all of it") {
  run_here([]() -> Task<void> {
    int cancelled = 0;
    auto gathers = [](int& count) -> Task<void> {
      co_await gather(count_cancelled(count), count_cancelled(count));
    };
    auto handle = spawn(gathers(cancelled));
    co_await yield();
    co_await yield();
    handle.cancel();
    for (int i = 0; i < 4; ++i) co_await yield();
    CHECK(handle.cancelled());
    CHECK(cancelled == 2);
  });
}

TEST_CASE("gather of a task that was awaited already is an error, and the others are joined") {
  run_here([]() -> Task<void> {
    int cancelled = 0;
    Task<int> spent = after(0, 1);
    co_await spent;
    bool refused = false;
    try {
      co_await gather(count_cancelled(cancelled), std::move(spent));
    } catch (const std::logic_error&) {
      refused = true;
    }
    CHECK(refused);
    CHECK(cancelled == 0);  // cancelled before its first turn
  });
}

TEST_CASE("a gather that is never awaited destroys its tasks") {
  const auto watched = std::make_shared<int>(1);
  {
    auto holds = [](std::shared_ptr<int>) -> Task<void> { co_return; };
    const auto never = gather(holds(watched), holds(watched));
    CHECK(watched.use_count() == 3);
  }
  CHECK(watched.use_count() == 1);
}

TEST_CASE("gather takes any awaitable") {
  run_here([]() -> Task<void> {
    auto handle = spawn(after(2, 4));
    const auto [slept, joined, value] = co_await gather(sleep(1ms), handle, after(1, 5));
    CHECK(slept == Nothing());
    CHECK(joined == 4);
    CHECK(value == 5);
  });
}

TEST_CASE("gather_settled waits for all, and the handles tell how each has ended") {
  run_here([]() -> Task<void> {
    auto throws_cancelled = []() -> Task<int> {
      co_await yield();
      throw Cancelled();
    };
    auto [good, bad, cancelled] =
        co_await gather_settled(after(3, 1), fail_after(1, "bad"), throws_cancelled());
    CHECK(good.result() == 1);
    CHECK_THROWS_WITH(bad.result(), "bad");
    CHECK(cancelled.cancelled());
    std::vector<Task<int>> tasks;
    tasks.push_back(fail_after(0, "first"));
    tasks.push_back(after(5, 5));
    auto handles = co_await gather_settled(std::move(tasks));
    CHECK(handles[0].error() != nullptr);
    CHECK(handles[1].result() == 5);
  });
}

TEST_CASE("cancelling who waits for gather_settled cancels and joins all") {
  run_here([]() -> Task<void> {
    int cancelled = 0;
    auto waits = [](int& count) -> Task<void> {
      co_await gather_settled(count_cancelled(count), count_cancelled(count));
    };
    auto handle = spawn(waits(cancelled));
    co_await yield();
    co_await yield();
    handle.cancel();
    bool stopped = false;
    try {
      co_await handle;
    } catch (const Cancelled&) {
      stopped = true;
    }
    CHECK(stopped);
    CHECK(cancelled == 2);
  });
}

TEST_CASE("gather ends when one of its own was cancelled by somebody else, after the others were joined") {
  run_here([]() -> Task<void> {
    int stopped = 0;
    TaskHandle victim;
    const auto sleeps = [](TaskHandle& self, int& count) -> Task<void> {
      self = current_task();
      co_await count_cancelled(count);
    };
    const auto gathers = [](Task<void> first, int& count) -> Task<void> {
      co_await gather(std::move(first), count_cancelled(count), count_cancelled(count));
    };
    auto gathering = spawn(gathers(sleeps(victim, stopped), stopped));
    for (int i = 0; i < 3; ++i) co_await yield();
    victim.cancel();
    bool cancelled = false;
    try {
      co_await gathering;
    } catch (const Cancelled&) {
      cancelled = true;
    }
    CHECK(cancelled);
    CHECK(stopped == 3);
    CHECK(gathering.task().cancelling() == 0);
  });
}

TEST_CASE("each request to stop who waits for gather goes to all of it") {
  const auto count_three = [](int& count) -> Task<void> {
    for (;;) try {
        co_await sleep(1h);
      } catch (const Cancelled&) {
        if (++count % 3 == 0) throw;
      }
  };
  for (const bool settled : {false, true})
    run_here([&]() -> Task<void> {
      int first = 0;
      int second = 0;
      const auto gathers = [&]() -> Task<void> {
        if (settled)
          co_await gather_settled(count_three(first), count_three(second));
        else
          co_await gather(count_three(first), count_three(second));
      };
      auto gathering = spawn(gathers());
      for (int request = 1; request <= 3; ++request) {
        for (int i = 0; i < 3; ++i) co_await yield();
        gathering.cancel();
        co_await yield();
        CHECK(first == request);
        CHECK(second == request);
      }
      while (!gathering.done()) co_await yield();
      CHECK(gathering.cancelled());
    });
}
