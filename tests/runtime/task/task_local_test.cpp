// TaskLocal: who sees which value.
// SPDX-License-Identifier: MIT
#include "../../../runtime/task/task_local.hpp"

#include <semaphore>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../../runtime/task/gather.hpp"
#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/task_group.hpp"
#include "../../../runtime/testing/allocation_faults.hpp"
#include "../../../runtime/testing/testing.hpp"
#include "../../../runtime/threads/to_thread.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

TaskLocal<std::string> request;
TaskLocal<int> depth;

Task<std::string> seen() {
  co_await yield();
  co_return request.get_or("none") + "/" + std::to_string(depth.get_or(0));
}

Task<void> set(std::string value) {
  request.set(std::move(value));
  co_await yield();
}

}  // namespace

TEST_CASE("a task begins with the locals of the one that spawned it, and changes only its own") {
  run_here([]() -> Task<void> {
    CHECK(request.get() == nullptr);
    request.set("a");
    depth.set(1);
    auto before = spawn(seen());
    request.set("b");
    auto child = []() -> Task<std::string> {
      request.set("child's");
      depth.set(depth.get_or(0) + 1);
      auto grandchild = spawn(seen());
      co_return co_await grandchild;
    };
    auto after = spawn(child());
    const std::string first = co_await before;
    const std::string second = co_await after;
    CHECK(first == "a/1");
    CHECK(second == "child's/2");
    CHECK(*request.get() == "b");
    CHECK(*depth.get() == 1);
  });
}

TEST_CASE("what is awaited, not spawned, shares the locals of its caller") {
  run_here([]() -> Task<void> {
    co_await set("from below");
    CHECK(request.get_or("none") == "from below");
    auto body = [](TaskGroup& group) -> Task<std::string> {
      auto child = group.spawn(seen());
      co_return co_await child;
    };
    const std::string in_group = co_await task_group(body);
    CHECK(in_group == "from below/0");
    co_await gather(set("elsewhere"), set("nowhere"));
    CHECK(request.get_or("none") == "from below");
  });
}

TEST_CASE("a scope puts the value before back, or none") {
  run_here([]() -> Task<void> {
    {
      TaskLocal<int>::Scope outer(depth, 1);
      {
        TaskLocal<int>::Scope inner(depth, 2);
        auto child = spawn(seen());
        CHECK(*depth.get() == 2);
        const std::string text = co_await child;
        CHECK(text == "none/2");
      }
      CHECK(*depth.get() == 1);
    }
    CHECK(depth.get() == nullptr);
    depth.set(3);
    depth.reset();
    CHECK(depth.get() == nullptr);
    depth.reset();
  });
}

TEST_CASE("values live as long as some task has them") {
  static int alive = 0;
  struct Counted {
    Counted() { ++alive; }
    Counted(const Counted&) { ++alive; }
    Counted(Counted&&) noexcept { ++alive; }
    Counted& operator=(const Counted&) = default;
    ~Counted() { --alive; }
  };
  static TaskLocal<Counted> counted;
  run_here([]() -> Task<void> {
    counted.set(Counted());
    auto sleeper = []() -> Task<void> { co_await sleep(std::nullopt); };
    auto child = spawn(sleeper());
    counted.reset();
    CHECK(alive == 1);
    child.cancel();
    co_await yield();
    child = JoinHandle<void>();
    co_await yield();
    CHECK(alive == 0);
    counted.set(Counted());
  });
  CHECK(alive == 0);
}

TEST_CASE("outside of a task there are no locals, and setting one is an error that says so") {
  CHECK(request.get() == nullptr);
  CHECK(thrown<std::logic_error>([] { request.set("x"); }).find("TaskLocal::set()") == 0);
  EventLoop loop;
  bool called = false;
  loop.call_soon([&] {
    called = true;
    CHECK(request.get() == nullptr);
  });
  loop.run_once();
  CHECK(called);
}

TEST_CASE("a call on another thread sees the locals that its task had, whatever becomes of those") {
  run_here([]() -> Task<void> {
    request.set("before");
    std::binary_semaphore begun(0), changed(0);
    const auto look = [&]() -> std::string {
      begun.release();
      changed.acquire();
      return request.get_or("none");
    };
    auto call =
        spawn([](auto function) -> Task<std::string> { co_return co_await to_thread(function); }, look);
    co_await to_thread([&] { begun.acquire(); });
    request.set("after");
    changed.release();
    std::string got = co_await call;
    CHECK(got == "before");
    got = co_await to_thread([] { return request.get_or("none"); });
    CHECK(got == "after");
    got = co_await to_thread([] { return thrown<std::logic_error>([] { request.set("from a thread"); }); });
    CHECK_THAT(got, Catch::Matchers::StartsWith("TaskLocal::set() outside of a task"));
    request.reset();
    got = co_await to_thread([] { return request.get_or("none"); });
    CHECK(got == "none");
  });
  std::string got;
  run_here([&]() -> Task<void> { got = co_await to_thread([] { return request.get_or("none"); }); });
  CHECK(got == "none");
}

TEST_CASE("a call that is abandoned keeps the locals that it sees") {
  std::binary_semaphore begun(0), left(0), done(0);
  std::string got;
  run_here([&]() -> Task<void> {
    const auto look = [&] {
      begun.release();
      left.acquire();
      got = request.get_or("none");
      done.release();
    };
    auto call = spawn(
        [](auto function) -> Task<void> {
          request.set("mine");
          co_await to_thread(function);
        },
        look);
    co_await to_thread([&] { begun.acquire(); });
    call.cancel();
    while (!call.done()) co_await yield();
  });
  left.release();
  done.acquire();
  CHECK(got == "mine");
}

TEST_CASE("tasks with locals leak nothing where there is no memory for one more") {
  const auto scenario = []() -> Task<void> {
    request.set("a value that is longer than what a string has room for");
    const TaskLocal<int>::Scope scope(depth, 1);
    auto child = spawn(
        [](int number) -> Task<void> {
          depth.set(number);
          auto grandchild = spawn(seen());
          static_cast<void>(co_await grandchild);
        },
        2);
    co_await child;
    request.reset();
  };
  if (allocations_are_observed()) CHECK(fail_allocations(scenario).failed >= 5);
}
