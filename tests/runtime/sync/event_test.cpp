// Event: everybody who waits is woken, once.
// SPDX-License-Identifier: MIT
#include "../../../runtime/sync/event.hpp"

#include <memory>
#include <string>
#include <vector>

#include "../../../runtime/task/join_handle.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../support/on_selectors.hpp"
#include "../../support/turns.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

Task<void> log_when_set(Event& event, std::vector<int>& log, int id) {
  co_await event.wait();
  log.push_back(id);
}

}  // namespace

ON_SELECTORS("an event wakes all who wait for it, in the order in which they came") {
  run_on(selector, []() -> Task<void> {
    Event event;
    std::vector<int> log;
    for (int id = 1; id <= 3; ++id) spawn(log_when_set(event, log, id));
    co_await turns(2);
    CHECK_FALSE(event.is_set());
    CHECK(log.empty());
    event.set();
    CHECK(log.empty());  // nobody is resumed from within set()
    co_await yield();
    CHECK(event.is_set());
    CHECK(log == std::vector<int>{1, 2, 3});
  });
}

TEST_CASE("who waits for an event that is set goes on at once, and not once it was cleared") {
  run_here([]() -> Task<void> {
    Event event;
    event.set();
    event.set();
    co_await event.wait();
    event.clear();
    std::vector<int> log;
    auto handle = spawn(log_when_set(event, log, 1));
    co_await turns(3);
    CHECK(log.empty());
    event.set();
    co_await handle;
    CHECK(log == std::vector<int>{1});
  });
}

TEST_CASE("an event that is set and cleared in one go wakes those who waited") {
  run_here([]() -> Task<void> {
    Event event;
    std::vector<int> log;
    auto handle = spawn(log_when_set(event, log, 1));
    co_await yield();
    event.set();
    event.clear();
    co_await handle;
    CHECK(log == std::vector<int>{1});
  });
}

TEST_CASE("a cancelled wait for an event leaves the others in their order") {
  run_here([]() -> Task<void> {
    Event event;
    std::vector<int> log;
    spawn(log_when_set(event, log, 1));
    auto second = spawn(log_when_set(event, log, 2));
    spawn(log_when_set(event, log, 3));
    co_await yield();
    second.cancel();
    co_await yield();
    CHECK(second.cancelled());
    event.set();
    co_await yield();
    CHECK(log == std::vector<int>{1, 3});
  });
}

TEST_CASE("an event that came before the request to stop is delivered, and the request after it") {
  run_here([]() -> Task<void> {
    Event event;
    std::vector<int> log;
    auto waits_twice = [](Event& e, std::vector<int>& out) -> Task<void> {
      co_await e.wait();
      out.push_back(1);
      co_await e.wait();
      out.push_back(2);
    };
    auto handle = spawn(waits_twice(event, log));
    co_await yield();
    event.set();
    handle.cancel();
    co_await yield();
    CHECK(log == std::vector<int>{1});
    CHECK(handle.cancelled());
  });
}

TEST_CASE("a request to stop comes out of the wait for an event that is set already") {
  run_here([]() -> Task<void> {
    Event event;
    event.set();
    current.task->cancel();
    bool cancelled = false;
    try {
      co_await event.wait();
    } catch (const Cancelled&) {
      cancelled = true;
    }
    current.task->uncancel();
    CHECK(cancelled);
  });
}

TEST_CASE("waiting for an event can time out") {
  run_here([]() -> Task<void> {
    Event event;
    bool late = false;
    try {
      co_await timeout(1ms, event.wait());
    } catch (const TimeoutError&) {
      late = true;
    }
    CHECK(late);
    event.set();
    co_await timeout(1h, event.wait());
  });
}

TEST_CASE("a task that waits for events that are set lets the others run") {
  run_here([]() -> Task<void> {
    Event event;
    event.set();
    bool other_ran = false;
    auto other = [](bool& ran) -> Task<void> {
      ran = true;
      co_return;
    };
    spawn(other(other_ran));
    int waits = 0;
    for (; !other_ran && waits < 1000; ++waits) co_await event.wait();
    CHECK(waits < 200);
    CHECK(waits > 1);
  });
}

TEST_CASE("who waits for an event that is destroyed is told so") {
  run_here([]() -> Task<void> {
    auto event = std::make_unique<Event>();
    auto first = spawn(end_of(event->wait()));
    auto second = spawn(end_of(event->wait()));
    co_await yield();
    event.reset();
    second.cancel();
    const std::string end = co_await first;
    CHECK(end == "Event.wait(): the Event was destroyed");
    const std::string cancelled_end = co_await second;  // a request to stop goes first
    CHECK(cancelled_end == "cancelled");
  });
}

TEST_CASE("tasks that wait for an event of a run that ends are cancelled with it") {
  std::string end;
  run_here([&]() -> Task<void> {
    static Event event;
    auto waits = [](std::string& out) -> Task<void> { out = co_await end_of(event.wait()); };
    spawn(waits(end));
    co_await yield();
  });
  CHECK(end == "cancelled");
}

TEST_CASE("an event is awaited in a task, or there is an error that says so") {
  Event event;
  EventOperation wait = event.wait();
  CHECK(thrown<std::logic_error>([&] { wait.await_ready(); }) ==
        "co_await outside of a task: run the coroutine by heddle::run() or heddle::spawn()");
}
