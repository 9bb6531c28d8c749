// LoopObserver: several at once, and what each may do.
// SPDX-License-Identifier: MIT
#include "../../../runtime/core/loop_observer.hpp"

#include <string>

#include "../../../runtime/core/task_state.hpp"
#include "../../../runtime/loop/event_loop.hpp"
#include "../../../runtime/task/join_handle.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../support/catch.hpp"

using namespace heddle;
using namespace heddle::detail;

namespace {

struct Recorder : LoopObserver {
  bool before_step(Runnable&) noexcept override {
    ++steps;
    return steps != stop_at;
  }
  void after_step(TaskState& task) noexcept override {
    CHECK(current.task == nullptr);
    CHECK(task.waits_at() != nullptr);
    ++suspended;
  }
  void turn_ended() noexcept override { ++turns; }

  int steps = 0;
  int stop_at = -1;
  int suspended = 0;
  int turns = 0;
};

struct Reverser final : LoopObserver {
  Runnable* order(Runnable*& first) noexcept override {
    Runnable* const last = first;
    Runnable* rest = first->next;
    last->next = nullptr;
    while (rest != nullptr) {
      Runnable* const next = rest->next;
      rest->next = first;
      first = rest;
      rest = next;
    }
    return last;
  }
};

}  // namespace

TEST_CASE("observers are notified of every step, of every suspension and of the end of a turn") {
  EventLoop loop;
  Recorder one;
  Recorder other;
  loop.add_observer(one);
  loop.add_observer(other);
  std::string order;
  loop.call_soon([&] { order += 'a'; });
  auto task = spawn_for(
      loop,
      [](std::string& text) -> Task<void> {
        text += 'b';
        co_await yield();
        text += 'c';
      }(order),
      std::source_location());
  loop.run_once(Duration(0));
  CHECK(order == "abc");
  CHECK(one.steps == 3);
  CHECK(one.suspended == 1);
  CHECK(one.turns == 1);
  loop.remove_observer(one);
  loop.remove_observer(one);
  loop.call_soon([] {});
  loop.run_once(Duration(0));
  CHECK(one.steps == 3);
  CHECK(other.steps == 4);
  loop.remove_observer(other);
}

TEST_CASE("an observer may put what is ready into another order, and end a turn before a step") {
  EventLoop loop;
  Reverser reverser;
  Recorder recorder;
  recorder.stop_at = 3;
  loop.add_observer(reverser);
  loop.add_observer(recorder);
  std::string order;
  for (const char name : {'a', 'b', 'c', 'd'}) loop.call_soon([&order, name] { order += name; });
  loop.run_once(Duration(0));
  CHECK(order == "dc");
  recorder.stop_at = -1;
  loop.call_soon([&order] { order += 'e'; });
  loop.run_once(Duration(0));
  CHECK(order ==
        "dceab");  // what was put back stands in front, in its order, and is reversed with the new one
  loop.remove_observer(recorder);
  loop.remove_observer(reverser);
}
