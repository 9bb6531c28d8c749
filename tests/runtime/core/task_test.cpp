// Task: lazy, owned once, and awaited in constant stack.
// SPDX-License-Identifier: MIT
#include "../../../runtime/core/task.hpp"

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../../runtime/core/report.hpp"
#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/task_group.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using heddle::test::run_here;
using namespace std::chrono_literals;

namespace {

// Says when it is destroyed, by any path.
struct Flag {
  explicit Flag(int& destroyed) : count(&destroyed) {}
  Flag(Flag&& other) noexcept : count(std::exchange(other.count, nullptr)) {}
  Flag& operator=(Flag&&) = delete;
  ~Flag() {
    if (count != nullptr) ++*count;
  }
  int* count;
};

// Where the stack stands; not inlined, so that there is a frame.
[[gnu::noinline]] std::uintptr_t stack_here() {
  return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
}

std::uintptr_t distance(std::uintptr_t a, std::uintptr_t b) { return a < b ? b - a : a - b; }

Task<int> value(int n) { co_return n; }

Task<void> mark(bool& ran) {
  ran = true;
  co_return;
}

}  // namespace

TEST_CASE("a task does nothing until it is awaited") {
  run_here([]() -> Task<void> {
    bool ran = false;
    Task<void> task = mark(ran);
    CHECK_FALSE(ran);
    CHECK(task.valid());
    co_await task;
    CHECK(ran);
    CHECK_FALSE(task.valid());
  });
}

TEST_CASE("a task that is never awaited is destroyed with its parameters") {
  int destroyed = 0;
  bool ran = false;
  {
    auto coroutine = [](Flag, bool& entered) -> Task<void> {
      entered = true;
      co_return;
    };
    const Task<void> task = coroutine(Flag(destroyed), ran);
    CHECK(destroyed == 0);
  }
  CHECK(destroyed == 1);
  CHECK_FALSE(ran);
}

TEST_CASE("a move-only result comes out of a co_await and out of run") {
  const auto made = run_here([]() -> Task<std::unique_ptr<std::string>> {
    auto make = []() -> Task<std::unique_ptr<std::string>> {
      co_return std::make_unique<std::string>("made");
    };
    std::unique_ptr<std::string> inner = co_await make();
    *inner += " here";
    co_return inner;
  });
  CHECK(*made == "made here");
}

TEST_CASE("a result without a default constructor comes out of run") {
  struct Value {
    explicit Value(int number) : n(number) {}
    int n;
  };
  CHECK(run_here([]() -> Task<Value> { co_return Value(7); }).n == 7);
}

TEST_CASE("an exception keeps its type and message through three coroutines") {
  struct Unusual : std::runtime_error {
    explicit Unusual(int the_code) : std::runtime_error("unusual 42"), code(the_code) {}
    int code;
  };
  struct Chain {
    static Task<int> bottom() {
      co_await yield();
      throw Unusual(42);
    }
    static Task<int> middle() { co_return 1 + co_await bottom(); }
    static Task<int> top() { co_return 1 + co_await middle(); }
  };
  int code = 0;
  std::string message;
  try {
    run(Chain::top());
  } catch (const Unusual& error) {
    code = error.code;
    message = error.what();
  }
  CHECK(code == 42);
  CHECK(message == "unusual 42");
}

TEST_CASE("an exception that is no std::exception comes out of a co_await") {
  run_here([]() -> Task<void> {
    auto throws = []() -> Task<void> {
      throw 42;
      co_return;
    };
    int caught = 0;
    try {
      co_await throws();
    } catch (int number) {
      caught = number;
    }
    CHECK(caught == 42);
  });
}

TEST_CASE("the locals of a coroutine are destroyed before the one that awaits it goes on") {
  run_here([]() -> Task<void> {
    int destroyed = 0;
    auto holds = [](Flag flag) -> Task<int> {
      const Flag local = std::move(flag);
      co_await yield();
      throw std::runtime_error("out");
    };
    int seen = -1;
    try {
      co_await holds(Flag(destroyed));
    } catch (const std::runtime_error&) {
      seen = destroyed;
    }
    CHECK(seen == 1);
  });
}

TEST_CASE("awaiting a task twice is an error that says so") {
  run_here([]() -> Task<void> {
    Task<int> task = value(1);
    const int first = co_await task;
    CHECK(first == 1);
    std::string message;
    try {
      co_await task;
    } catch (const std::logic_error& error) {
      message = error.what();
    }
    CHECK_THAT(message, Catch::Matchers::Contains("awaited, spawned or run once"));
  });
}

TEST_CASE("awaiting a task that was moved from is an error") {
  run_here([]() -> Task<void> {
    Task<int> task = value(2);
    Task<int> other = std::move(task);
    bool refused = false;
    try {
      co_await task;  // NOLINT
    } catch (const std::logic_error&) {
      refused = true;
    }
    CHECK(refused);
    const int result = co_await other;
    CHECK(result == 2);
  });
}

TEST_CASE("assigning to a task destroys what it held") {
  int destroyed = 0;
  auto coroutine = [](Flag) -> Task<void> { co_return; };
  Task<void> task = coroutine(Flag(destroyed));
  task = Task<void>();
  CHECK(destroyed == 1);
  CHECK_FALSE(task.valid());
}

TEST_CASE("running or spawning a task that was awaited is an error") {
  Task<int> spent = value(1);
  CHECK(run(std::move(spent)) == 1);
  CHECK_THROWS_AS(run(std::move(spent)), std::logic_error);  // NOLINT
  run_here([]() -> Task<void> {
    Task<int> task = value(1);
    co_await task;
    bool refused = false;
    try {
      spawn(std::move(task));
    } catch (const std::logic_error&) {
      refused = true;
    }
    CHECK(refused);
  });
}

TEST_CASE("a million co_awaits that don't suspend take no stack") {
  run_here([]() -> Task<void> {
    auto child = [](int n, std::uintptr_t& stack) -> Task<int> {
      stack = stack_here();
      co_return n;
    };
    std::uintptr_t first = 0;
    std::uintptr_t last = 0;
    long sum = 0;
    sum += co_await child(1, first);
    for (int i = 1; i < 1'000'000; ++i) sum += co_await child(1, last);
    CHECK(sum == 1'000'000);
    CHECK(distance(first, last) < 4096);
  });
}

TEST_CASE("a million exceptions' worth of stack is not needed either") {
  run_here([]() -> Task<void> {
    auto child = [](std::uintptr_t& stack) -> Task<void> {
      stack = stack_here();
      throw std::runtime_error("again");
      co_return;
    };
    std::uintptr_t first = 0;
    std::uintptr_t last = 0;
    for (int i = 0; i < 10'000; ++i) {
      try {
        co_await child(i == 0 ? first : last);
      } catch (const std::runtime_error&) {
      }
    }
    CHECK(distance(first, last) < 4096);
  });
}

TEST_CASE("coroutines may await each other a hundred thousand deep") {
  struct Deep {
    static Task<int> down(int left, std::uintptr_t& deepest) {
      if (left == 0) {
        deepest = stack_here();
        co_await yield();
        co_return 0;
      }
      co_return 1 + co_await down(left - 1, deepest);
    }
  };
  std::uintptr_t top = 0;
  std::uintptr_t bottom = 0;
  CHECK(run_here([&]() -> Task<int> {
          co_await Deep::down(0, top);
          co_return co_await Deep::down(100'000, bottom);
        }) == 100'000);
  CHECK(distance(top, bottom) < 4096);
}

TEST_CASE("an exception and a request to stop come up through a hundred thousand coroutines") {
  struct Deep {
    static Task<void> down(int left, bool fails) {
      if (left > 0) {
        co_await down(left - 1, fails);
      } else {
        if (fails) throw std::runtime_error("from below");
        co_await sleep(std::nullopt);
      }
    }
  };
  CHECK_THROWS_WITH(run(Deep::down(100'000, true)), "from below");
  run_here([]() -> Task<void> {
    auto handle = spawn(Deep::down(100'000, false));
    co_await yield();
    handle.cancel();
    co_await yield();
    CHECK(handle.cancelled());
  });
}

namespace {

// A coroutine that is not heddle's.
struct Foreign {
  struct promise_type {
    Foreign get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { throw; }
  };
};

template <class Awaitable>
Foreign await_outside(Awaitable awaitable, std::string& message) {
  try {
    co_await awaitable;
  } catch (const std::logic_error& error) {
    message = error.what();
  }
}

}  // namespace

TEST_CASE("a co_await outside of a task is an error that says what to do") {
  const auto outside = [] {
    std::string message;
    await_outside(sleep(1s), message);
    CHECK_THAT(message, Catch::Matchers::Contains("outside of a task"));
    message.clear();
    await_outside(yield(), message);
    CHECK_THAT(message, Catch::Matchers::Contains("outside of a task"));
  };
  SECTION("where no loop runs") { outside(); }
  SECTION("in a callback of a loop") {
    EventLoop loop;
    bool called = false;
    loop.call_soon([&] {
      outside();
      called = true;
    });
    loop.run_once(Duration(0));
    CHECK(called);
  }
}
