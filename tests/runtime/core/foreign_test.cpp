// Coroutines and awaitables that aren't heddle's: in a task, beside it, and awaited by it.
// SPDX-License-Identifier: MIT
#include "../../../runtime/core/foreign.hpp"

#include <unistd.h>

#include <coroutine>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../../../runtime/loop/event_loop.hpp"
#include "../../../runtime/loop/ready.hpp"
#include "../../../runtime/sync/event.hpp"
#include "../../../runtime/sync/future.hpp"
#include "../../../runtime/sync/lock.hpp"
#include "../../../runtime/sync/queue.hpp"
#include "../../../runtime/task/gather.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../support/on_selectors.hpp"
#include "../../support/turns.hpp"

using namespace heddle;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

// Begins at once, is awaited by nobody, and destroys itself.
struct Detached {
  struct promise_type {
    Detached get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

// Begins when it is awaited, and resumes who awaits it.
template <class T>
class Lazy {
 public:
  struct promise_type {
    struct Final {
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> self) noexcept {
        return self.promise().awaiting;
      }
      void await_resume() noexcept {}
    };
    Lazy get_return_object() { return Lazy(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    Final final_suspend() noexcept { return {}; }
    void return_value(T result) { value = std::move(result); }
    void unhandled_exception() { error = std::current_exception(); }

    std::coroutine_handle<> awaiting;
    std::optional<T> value;
    std::exception_ptr error;
  };

  explicit Lazy(std::coroutine_handle<promise_type> coroutine) : coroutine_(coroutine) {}
  Lazy(Lazy&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  ~Lazy() {
    if (coroutine_) coroutine_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) noexcept {
    coroutine_.promise().awaiting = awaiting;
    return coroutine_;
  }
  T await_resume() {
    if (coroutine_.promise().error) std::rethrow_exception(coroutine_.promise().error);
    return std::move(*coroutine_.promise().value);
  }

 private:
  std::coroutine_handle<promise_type> coroutine_;
};

// Hands the coroutine's handle to `function`, which has it resumed.
template <class Function>
struct Elsewhere {
  Function function;

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> coroutine) { function(coroutine); }
  int await_resume() const noexcept { return 7; }
};
template <class Function>
Elsewhere(Function) -> Elsewhere<Function>;

Detached note(std::vector<std::string>& log, std::string name, int steps) {
  try {
    for (int i = 0; i < steps; ++i) {
      co_await sleep(10ms);
      log.push_back(name);
    }
    log.push_back(name + " done");
  } catch (const Cancelled&) {
    log.push_back(name + " cancelled");
  }
}

Lazy<int> sleep_twice(int result) {
  co_await sleep(10ms);
  co_await yield();
  co_await sleep(10ms);
  co_return result;
}

Lazy<int> fail_later() {
  co_await sleep(10ms);
  throw std::runtime_error("failed");
}

}  // namespace

TEST_CASE("a coroutine of another type waits beside the task that has started it") {
  std::vector<std::string> log;
  run_in_virtual_time([&]() -> Task<void> {
    note(log, "a", 2);
    note(log, "b", 1);
    for (int i = 0; i < 3; ++i) {
      co_await sleep(15ms);
      log.push_back("task");
    }
  });
  CHECK(log == std::vector<std::string>{"a", "b", "b done", "task", "a", "a done", "task", "task"});
}

TEST_CASE("a coroutine of another type that still waits when its loop closes gets Cancelled") {
  std::vector<std::string> log;
  run_here([&]() -> Task<void> {
    note(log, "a", 1'000'000);
    co_await yield();
  });
  CHECK(log == std::vector<std::string>{"a cancelled"});
}

ON_SELECTORS("whatever a coroutine of another type waits for beside a task, both go on") {
  run_on(selector, []() -> Task<void> {
    Event event;
    Lock lock;
    Queue<int> queue;
    Promise<int> promise;
    Future<int> future = promise.future();
    auto task = spawn([]() -> Task<int> {
      co_await sleep(1ms);
      co_return 3;
    });
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    int sum = 0;
    const auto beside = [&]() -> Detached {
      co_await event.wait();
      ++sum;
      co_await lock.acquire();
      lock.release();
      ++sum;
      const int item = co_await queue.get();
      sum += item;
      const int value = co_await future;
      sum += value;
      const int result = co_await task;
      sum += result;
      co_await readable(ends[0]);
      ++sum;
      for (int i = 0; i < 300; ++i) co_await yield();
      ++sum;
    };
    co_await lock.acquire();
    beside();
    co_await turns(2);
    event.set();
    co_await turns(2);
    CHECK(sum == 1);
    lock.release();
    co_await turns(3);
    queue.put_nowait(10);
    co_await turns(3);
    promise.set_result(100);
    while (sum < 115) co_await sleep(1ms);
    CHECK(::write(ends[1], "x", 1) == 1);
    while (sum < 117) co_await sleep(1ms);
    ::close(ends[0]);
    ::close(ends[1]);
  });
}

TEST_CASE("a Task awaits a coroutine of another type that awaits operations, and gets what it ends with") {
  run_in_virtual_time([]() -> Task<void> {
    const int result = co_await sleep_twice(5);
    CHECK(result == 5);
    const std::string failure = co_await end_of(fail_later());
    CHECK(failure == "failed");
    const auto both = co_await gather(sleep_twice(1), sleep_twice(2));
    CHECK(both == std::tuple(1, 2));
  });
}

TEST_CASE("a request to stop reaches what an awaited coroutine of another type waits for") {
  run_in_virtual_time([]() -> Task<void> {
    const TimePoint start = EventLoop::running().time();
    const std::string late = co_await end_of(timeout(5ms, sleep_twice(5)));
    CHECK(late == TimeoutError().what());
    const std::string later = co_await end_of(timeout(15ms, sleep_twice(5)));
    CHECK(later == TimeoutError().what());
    CHECK(EventLoop::running().time() - start == 20ms);
    auto task = spawn(end_of(sleep_twice(5)));
    co_await turns(2);
    task.cancel();
    const std::string end = co_await task;
    CHECK(end == "cancelled");
  });
}

TEST_CASE("an awaitable may resume the task from a callback, from within, or from another thread") {
  run_here([]() -> Task<void> {
    Elsewhere by_callback{[](std::coroutine_handle<> coroutine) {
      EventLoop::running().call_later(1ms, [coroutine] { coroutine.resume(); });
    }};
    Elsewhere at_once{[](std::coroutine_handle<> coroutine) { coroutine.resume(); }};
    std::thread thread;
    Elsewhere by_thread{[&thread](std::coroutine_handle<> coroutine) {
      thread = std::thread([coroutine] {
        std::this_thread::sleep_for(5ms);
        coroutine.resume();
      });
    }};
    const TaskHandle self = current_task();
    const int first = co_await by_callback;
    const int second = co_await at_once;
    const int third = co_await by_thread;
    thread.join();
    CHECK(first + second + third == 21);
    CHECK(current_task() == self);
    co_await sleep(1ms);
  });
}

TEST_CASE("a task that waits for another thread by an awaitable of another kind is no deadlock") {
  LoopOptions options = in_virtual_time();
  options.detect_deadlock = true;
  std::thread thread;
  const auto waits = [](std::thread& out) -> Task<void> {
    Elsewhere by_thread{[&out](std::coroutine_handle<> coroutine) {
      out = std::thread([coroutine] {
        std::this_thread::sleep_for(20ms);
        coroutine.resume();
      });
    }};
    co_await by_thread;
  };
  run(waits(thread), options);
  thread.join();
}

TEST_CASE("a request to stop that an awaitable can't obey comes out of the next co_await") {
  run_here([]() -> Task<void> {
    std::coroutine_handle<> waiting;
    int got = 0;
    const auto waits = [&]() -> Task<void> {
      Elsewhere kept{[&waiting](std::coroutine_handle<> coroutine) { waiting = coroutine; }};
      got = co_await kept;
      co_await sleep(1h);
    };
    auto task = spawn(waits());
    co_await turns(2);
    task.cancel();
    co_await turns(2);
    CHECK(!task.done());
    waiting.resume();
    co_await turns(3);
    CHECK(got == 7);
    CHECK(task.cancelled());
  });
}

TEST_CASE("an awaitable that doesn't suspend, or throws instead, leaves the task running") {
  struct Refuses {
    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<>) const noexcept { return false; }
    int await_resume() const noexcept { return 1; }
  };
  struct Throws {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<>) const { throw std::runtime_error("can't suspend"); }
    void await_resume() const noexcept {}
  };
  run_here([]() -> Task<void> {
    const int result = co_await Refuses();
    CHECK(result == 1);
    const std::string end = co_await end_of(Throws());
    CHECK(end == "can't suspend");
    co_await sleep(1ms);
  });
}
