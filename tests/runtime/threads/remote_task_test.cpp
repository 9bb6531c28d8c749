// RemoteHandle, spawn_threadsafe: tasks of another thread's loop.
// SPDX-License-Identifier: MIT
#include "../../../runtime/threads/remote_task.hpp"

#include <atomic>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/task_group.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../../runtime/task/wait.hpp"
#include "../../../runtime/threads/to_thread.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

// A loop on a thread of its own, until it is destroyed.
class Elsewhere {
 public:
  explicit Elsewhere(std::string_view selector = "default")
      : loop_(loop_options(selector)), thread_([this] { loop_.run_forever(); }) {}
  ~Elsewhere() { end(); }

  EventLoop& loop() { return loop_; }
  std::thread::id id() const { return thread_.get_id(); }
  /// Stops the thread; then closes the loop on this one.
  void end() {
    if (!thread_.joinable()) return;
    loop_.call_soon_threadsafe([this] { loop_.stop(); });
    thread_.join();
    loop_.close();
  }

 private:
  EventLoop loop_;
  std::thread thread_;
};

Task<int> twice(int n) {
  co_await yield();
  co_return 2 * n;
}

Task<void> for_ever(std::atomic<bool>& begun, std::atomic<bool>& cancelled) {
  begun = true;
  try {
    co_await sleep(std::nullopt);
  } catch (const Cancelled&) {
    cancelled = true;
    throw;
  }
}

}  // namespace

ON_SELECTORS("a plain thread starts a task on a loop and waits for its result") {
  Elsewhere elsewhere(selector);
  auto handle = spawn_threadsafe(elsewhere.loop(), twice(21));
  CHECK(handle.get() == 42);
  CHECK(handle.done());
  CHECK_FALSE(handle.cancel());
  auto thread_of = [](std::string prefix) -> Task<std::pair<std::string, std::thread::id>> {
    co_return std::pair(prefix + "!", std::this_thread::get_id());
  };
  auto other = spawn_threadsafe(elsewhere.loop(), thread_of, std::string("there"));
  const auto [text, id] = other.get();
  CHECK(text == "there!");
  CHECK(id == elsewhere.id());
}

TEST_CASE("what a task on another loop throws comes out of get") {
  Elsewhere elsewhere;
  auto fails = []() -> Task<int> {
    co_await yield();
    throw std::runtime_error("over there");
  };
  auto handle = spawn_threadsafe(elsewhere.loop(), fails());
  CHECK_THROWS_WITH(handle.get(), "over there");
  auto unique = []() -> Task<std::unique_ptr<int>> { co_return std::make_unique<int>(5); };
  CHECK(*spawn_threadsafe(elsewhere.loop(), unique()).get() == 5);
}

ON_SELECTORS("a task awaits tasks of another loop") {
  Elsewhere elsewhere(selector);
  run_on(selector, [&]() -> Task<void> {
    std::vector<RemoteJoinHandle<int>> handles;
    for (int i = 0; i < 100; ++i) handles.push_back(spawn_threadsafe(elsewhere.loop(), twice(i)));
    for (int i = 0; i < 100; ++i) {
      const int result = co_await handles[static_cast<std::size_t>(i)];
      CHECK(result == 2 * i);
    }
    auto fails = []() -> Task<void> {
      co_await sleep(1ms);
      throw std::runtime_error("over there");
    };
    std::string what;
    try {
      auto handle = spawn_threadsafe(elsewhere.loop(), fails());
      co_await handle;
    } catch (const std::runtime_error& error) {
      what = error.what();
    }
    CHECK(what == "over there");
  });
}

TEST_CASE("cancelling who awaits a task of another loop cancels that, and waits for its end") {
  Elsewhere elsewhere;
  std::atomic<bool> begun = false;
  std::atomic<bool> cancelled = false;
  run_here([&]() -> Task<void> {
    auto body = [&]() -> Task<void> {
      auto handle = spawn_threadsafe(elsewhere.loop(), for_ever(begun, cancelled));
      co_await handle;
    };
    auto waiting = spawn(body());
    while (!begun) co_await sleep(1ms);
    waiting.cancel();
    co_await wait(ReturnWhen::ALL_COMPLETED, {}, waiting);
    CHECK(waiting.cancelled());
    CHECK(cancelled);
    begun = cancelled = false;
    auto asked_while_it_ran = [&]() -> Task<void> {
      auto handle = spawn_threadsafe(elsewhere.loop(), for_ever(begun, cancelled));
      while (!begun) co_await sleep(1ms);
      current.task->cancel();
      co_await handle;
    };
    auto asked = spawn(asked_while_it_ran());
    co_await wait(ReturnWhen::ALL_COMPLETED, {}, asked);
    CHECK(asked.cancelled());
    CHECK(cancelled);
    begun = cancelled = false;
    bool expired = false;
    try {
      co_await timeout(1ms, body());
    } catch (const TimeoutError&) {
      expired = true;
    }
    CHECK(expired);
    CHECK(cancelled == begun);
    CHECK(current.task->cancel_requests() == 0);
  });
}

TEST_CASE(
    "a task is cancelled from another thread, and its handle may be kept there after its loop is gone") {
  RemoteHandle kept;
  std::atomic<bool> begun = false;
  std::atomic<bool> cancelled = false;
  std::promise<RemoteHandle> handed;
  std::thread other([&] {
    run_here([&]() -> Task<void> {
      auto handle = spawn(for_ever(begun, cancelled));
      handed.set_value(RemoteHandle(handle));
      co_await wait(ReturnWhen::ALL_COMPLETED, {}, handle);
    });
  });
  kept = handed.get_future().get();
  CHECK_FALSE(kept.done());
  while (!begun) std::this_thread::sleep_for(1ms);
  const RemoteHandle copy = kept;
  CHECK(copy.cancel());
  other.join();
  CHECK(cancelled);
  CHECK(kept.done());
  CHECK_FALSE(kept.cancel());
}

TEST_CASE("many threads cancel the same task at once, and it is cancelled") {
  for (int round = 0; round < 20; ++round) {
    std::atomic<bool> begun = false;
    std::atomic<bool> cancelled = false;
    std::promise<RemoteHandle> handed;
    std::thread other([&] {
      run_here([&]() -> Task<void> {
        auto handle = spawn(for_ever(begun, cancelled));
        handed.set_value(RemoteHandle(handle));
        co_await wait(ReturnWhen::ALL_COMPLETED, {}, handle);
      });
    });
    const RemoteHandle handle = handed.get_future().get();
    std::vector<std::thread> cancellers;
    for (int i = 0; i < 4; ++i)
      cancellers.emplace_back([handle] {
        while (!handle.done()) handle.cancel();
      });
    for (std::thread& canceller : cancellers) canceller.join();
    other.join();
    CHECK(cancelled == begun);
  }
}

TEST_CASE("a remote handle of a task that is done says so, and of a group's child works too") {
  run_here([]() -> Task<void> {
    auto quick = spawn(twice(1));
    co_await quick;
    const RemoteHandle done(quick);
    CHECK(done.done());
    CHECK_FALSE(done.cancel());
    CHECK_FALSE(RemoteHandle());
    CHECK_THROWS_AS(RemoteHandle(JoinHandle<int>()), std::logic_error);
    co_await task_group([](TaskGroup& group) -> Task<void> {
      std::atomic<bool> begun = false;
      std::atomic<bool> cancelled = false;
      auto child = group.spawn(for_ever(begun, cancelled));
      const RemoteHandle remote(child);
      co_await yield();
      auto cancel = to_thread([remote] { return remote.cancel(); });
      const bool asked = co_await cancel;
      CHECK(asked);
      co_await wait(ReturnWhen::ALL_COMPLETED, {}, child);
      CHECK(remote.done());
      CHECK(cancelled);
    });
  });
}

TEST_CASE("a task that its loop closes over has been cancelled, begun or not") {
  Elsewhere elsewhere;
  std::atomic<bool> begun = false;
  std::atomic<bool> cancelled = false;
  auto running = spawn_threadsafe(elsewhere.loop(), for_ever(begun, cancelled));
  while (!begun) std::this_thread::sleep_for(1ms);
  elsewhere.end();
  CHECK(running.done());
  CHECK_THROWS_AS(running.get(), Cancelled);
  CHECK(cancelled);
  auto late = spawn_threadsafe(elsewhere.loop(), twice(1));
  CHECK(late.done());
  CHECK_FALSE(late.cancel());
  CHECK_THROWS_AS(late.get(), Cancelled);
}

TEST_CASE("a task that was posted when its loop closed never begins") {
  bool began = false;
  RemoteJoinHandle<void> handle;
  {
    EventLoop loop;
    auto body = [](bool& flag) -> Task<void> {
      flag = true;
      co_return;
    };
    handle = spawn_threadsafe(loop, body(began));
  }
  CHECK(handle.done());
  CHECK_FALSE(began);
}

TEST_CASE("a task that is cancelled before its loop looked never begins") {
  bool began = false;
  EventLoop loop;
  auto body = [](bool& flag) -> Task<void> {
    flag = true;
    co_return;
  };
  auto handle = spawn_threadsafe(loop, body(began));
  CHECK(handle.cancel());
  while (!handle.done()) loop.run_once();
  CHECK_FALSE(began);
  CHECK_THROWS_AS(handle.get(), Cancelled);
}

TEST_CASE("a dropped handle leaves the task to its loop") {
  Elsewhere elsewhere;
  std::promise<void> done;
  auto body = [&]() -> Task<void> {
    co_await sleep(1ms);
    done.set_value();
  };
  static_cast<void>(spawn_threadsafe(elsewhere.loop(), body()));
  done.get_future().wait();
}

TEST_CASE("get on the thread of a loop, and of no task, is refused") {
  run_here([]() -> Task<void> {
    auto handle = spawn_threadsafe(EventLoop::running(), twice(3));
    CHECK(thrown<std::logic_error>([&] { handle.get(); }) ==
          "get() would block the event loop of this thread: co_await the handle instead");
    const int result = co_await handle;
    CHECK(result == 6);
  });
  RemoteJoinHandle<int> empty;
  CHECK_THROWS_AS(empty.get(), std::logic_error);
}
