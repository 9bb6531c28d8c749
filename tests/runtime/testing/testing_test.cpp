// heddle::testing: what it disturbs, and that it finds what a scenario does wrong when it is disturbed.
// SPDX-License-Identifier: MIT
#include "../../../runtime/testing/testing.hpp"

#include <array>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "../../../runtime/loop/ready.hpp"
#include "../../../runtime/sync/event.hpp"
#include "../../../runtime/sync/lock.hpp"
#include "../../../runtime/sync/queue.hpp"
#include "../../../runtime/task/finally.hpp"
#include "../../../runtime/task/gather.hpp"
#include "../../../runtime/task/race.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/task_group.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../../runtime/testing/allocation_faults.hpp"
#include "../../selector/files.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

using Injected = std::runtime_error;
std::exception_ptr to_inject() { return std::make_exception_ptr(Injected("injected")); }

// What is wrong with a run, as told by the DisturbanceError of `disturb`.
template <class Disturb>
std::string fault_found(Disturb disturb) {
  return thrown<DisturbanceError>(disturb);
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

Task<void> two_yields() {
  co_await yield();
  co_await yield();
}

DisturbOptions disturbed_in_virtual_time() {
  DisturbOptions options;
  options.loop.virtual_time = true;
  return options;
}

}  // namespace

ON_SELECTORS("a scenario is cancelled before it starts, and twice at each suspension") {
  DisturbOptions options;
  options.loop.selector = selector;
  std::vector<std::string> places;
  const DisturbCount count = cancel_everywhere(
      two_yields,
      [&](const DisturbedRun& run) {
        check_usual_end(run);
        places.push_back(run.place);
        CHECK(run.cancelled() == (run.disturbance == Disturbance::CANCEL));
      },
      options);
  CHECK(count.places == 5);
  CHECK(count.failed == 5);
  REQUIRE(places.size() == 7);
  CHECK(places[0].empty());
  CHECK(has(places[1], "the main task, not started"));
  CHECK(has(places[2], "the main task, suspended at "));
  CHECK(has(places[2], "testing_test.cpp:"));
  CHECK(has(places[3], "the main task, about to go on at "));
  CHECK(places[6].empty());
}

TEST_CASE("the tasks that a scenario starts are disturbed as well, unless only the main one is to be") {
  std::vector<std::string> places;
  const auto scenario = []() -> Task<void> { co_await gather(two_yields(), two_yields()); };
  const auto note = [&](const DisturbedRun& run) {
    check_usual_end(run);
    places.push_back(run.place);
  };
  const DisturbCount all = cancel_everywhere(scenario, note);
  CHECK(all.places == 13);  // five for each child, three for the main task
  const auto of_task = [&](const char* start) {
    int number = 0;
    for (const std::string& place : places) number += place.starts_with(start);
    return number;
  };
  CHECK(of_task("the main task") == 3);
  CHECK(of_task("task 2") == 5);
  CHECK(of_task("task 3") == 5);

  DisturbOptions options;
  options.main_only = true;
  CHECK(cancel_everywhere(scenario, note, options).places == 3);
}

TEST_CASE("the request to stop may come from outside of the loop") {
  struct Asked final : Operation {
    explicit Asked(std::vector<bool>& log) : outside(log) {}
    bool await_ready() {
      begin();
      return false;
    }
    void await_suspend(std::coroutine_handle<TaskPromise<void>> coroutine) {
      suspend(*this, coroutine);
      wake();
    }
    void await_resume() const {
      if (stopped) throw_cancelled();
    }
    Stop cancel() noexcept override {
      outside.push_back(current.loop == nullptr);
      stopped = true;
      return Stop::STOPPED;
    }
    std::vector<bool>& outside;
    bool stopped = false;
  };
  std::vector<bool> outside;
  outside.reserve(64);
  const auto scenario = [&]() -> Task<void> {
    Asked operation(outside);
    co_await operation;
  };
  DisturbOptions options;
  for (const bool from_outside : {false, true}) {
    outside.clear();
    options.from_outside = from_outside;
    const DisturbCount count = cancel_everywhere(scenario, &check_usual_end, options);
    CHECK(count.places == 3);
    CHECK(count.failed == 3);
    CHECK(outside == std::vector<bool>(2, from_outside));
  }
}

TEST_CASE("an exception comes out of each operation in the place of its result") {
  int caught = 0;
  int runs = 0;
  Queue<int> queue;
  const auto scenario = [&]() -> Task<void> {
    ++runs;
    std::exception_ptr error;
    try {
      co_await yield();
      co_await sleep(1h);
      co_await shield(sleep(1h));
      co_await timeout(1h, sleep(1s));
      co_await [](Queue<int>& to) -> Task<void> {
        co_await yield();
        co_await to.put(1);
      }(queue);
      co_await queue.get();
    } catch (const Injected& injected) {
      CHECK(injected.what() == std::string("injected"));
      ++caught;
      error = std::current_exception();
    }
    if (!error) co_return;
    CHECK(current.task->cancel_requests() == 0);
    co_await yield();  // there is no request to stop left over
    std::rethrow_exception(error);
  };
  const DisturbCount count = throw_everywhere(
      scenario, to_inject(),
      [](const DisturbedRun& run) {
        check_usual_end(run);
        CHECK(run.failed_with_injected() == (run.disturbance == Disturbance::THROW));
      },
      disturbed_in_virtual_time());
  CHECK(count.places == 5);
  CHECK(count.failed == 5);
  CHECK(caught == 5);
  CHECK(runs == 7);
}

TEST_CASE("no exception is injected where only another task can fail") {
  const auto scenario = []() -> Task<void> {
    auto child = spawn(two_yields());
    co_await child;
    co_await gather(two_yields(), two_yields());
  };
  std::vector<std::string> places;
  const DisturbCount count = throw_everywhere(scenario, to_inject(), [&](const DisturbedRun& run) {
    check_usual_end(run);
    if (run.disturbance == Disturbance::NONE) return;
    CHECK_FALSE(has(run.place, "the main task"));
    CHECK(run.failed_with<Injected>());
  });
  CHECK(count.places == 6);
  CHECK(count.failed == 6);
}

TEST_CASE("what was injected is found inside of groups of errors") {
  const auto scenario = []() -> Task<void> {
    auto inner = [](TaskGroup& group) -> Task<void> {
      group.spawn(two_yields());
      co_return;
    };
    auto outer = [inner](TaskGroup& group) -> Task<void> {
      group.spawn(task_group(inner));
      co_return;
    };
    co_await task_group(outer);
  };
  const DisturbCount count = throw_everywhere(scenario, to_inject(), [](const DisturbedRun& run) {
    if (run.disturbance == Disturbance::NONE) return;
    CHECK(run.failed_with<ExceptionGroup>());
    CHECK(run.failed_with<Injected>());
    CHECK(run.failed_with_injected());
    CHECK_FALSE(run.failed_with<std::bad_alloc>());
    CHECK_FALSE(run.cancelled());
  });
  CHECK(count.places == 2);
}

TEST_CASE("each allocation fails once, of the loop, of coroutines and of what they call") {
  if (!allocations_are_observed()) return;
  std::uint64_t last = 0;
  const auto scenario = []() -> Task<void> {
    const auto number = std::make_unique<int>(1);
    co_await gather(two_yields(), two_yields());
    co_await timeout(1h, sleep(1s));
    co_await race(sleep(1s), sleep(2s));
    co_await finally(two_yields(), []() -> Task<void> { co_await two_yields(); });
    std::vector<Task<void>> tasks;
    tasks.push_back(two_yields());
    co_await as_task(std::move(tasks.front()));
  };
  const DisturbCount count = fail_allocations(
      scenario,
      [&](const DisturbedRun& run) {
        check_usual_end(run);
        CHECK((run.disturbance == Disturbance::NONE || run.number == ++last));
      },
      disturbed_in_virtual_time());
  CHECK(count.places >= 20);
  CHECK(count.failed >= 20);
}

TEST_CASE("an item that a cancelled task loses is noticed by the check") {
  int put = 0;
  int got = 0;
  std::optional<Queue<int>> queue;
  const auto scenario = [&]() -> Task<void> {
    put = got = 0;
    queue.emplace();
    for (; put < 3; ++put) queue->put_nowait(put);
    while (!queue->empty()) {
      co_await queue->get();
      co_await yield();  // cancelled here, nobody knows of the item
      ++got;
    }
  };
  const std::string fault = fault_found([&] {
    cancel_everywhere(scenario, [&](const DisturbedRun& run) {
      check_usual_end(run);
      const int left = queue ? static_cast<int>(queue->qsize()) : put;
      if (put != got + left) throw std::logic_error("an item is lost");
    });
  });
  CHECK(has(fault, "cancelled at place 2 (the main task, suspended at "));
  CHECK(has(fault, "ended with: Cancelled"));
  CHECK(has(fault, "the check says: an item is lost"));
}

TEST_CASE("what a check throws in the way of a test framework comes through as it is") {
  struct Failed {};
  CHECK_THROWS_AS(cancel_everywhere(two_yields, [](const DisturbedRun&) { throw Failed(); }), Failed);
}

TEST_CASE("memory that is lost is noticed") {
  if (!allocations_are_observed()) return;
  std::vector<std::unique_ptr<int>> kept;
  kept.reserve(100);
  const auto scenario = [&]() -> Task<void> {
    int* const number = new int(0);
    bool deleted = false;
    try {
      co_await yield();
      delete number;
      deleted = true;
    } catch (...) {
      kept.emplace_back(number);  // so that only this library takes it for lost
      throw;
    }
    CHECK(deleted);
  };
  const std::string fault = fault_found([&] { cancel_everywhere(scenario); });
  CHECK(has(fault, "at place 2"));
  CHECK(has(fault, "left 1 blocks of memory allocated"));
  CHECK(kept.size() == 3);  // it makes sure
}

TEST_CASE("what is lost once and not again is somebody's cache") {
  std::vector<int> cache;
  const DisturbCount count = cancel_everywhere([&]() -> Task<void> {
    cache.resize(100);
    co_await yield();
  });
  CHECK(count.places == 3);
}

TEST_CASE("a descriptor that is left open is noticed") {
  std::vector<File> kept;
  const auto scenario = [&]() -> Task<void> {
    const int fd = ::dup(0);
    try {
      co_await yield();
    } catch (const Cancelled&) {
      kept.emplace_back(fd);
      throw;
    }
    ::close(fd);
  };
  const std::string fault = fault_found([&] { cancel_everywhere(scenario); });
  CHECK(has(fault, "left 1 more descriptors open"));
}

TEST_CASE("a timer that is left is noticed") {
  const auto scenario = []() -> Task<void> {
    auto call = EventLoop::running().call_later(1h, [] {});
    co_await yield();
    call.cancel();
  };
  CHECK(has(fault_found([&] { cancel_everywhere(scenario); }), "it left 1 timer"));
}

TEST_CASE(
    "a scenario that waits for ever is told with all its tasks, and does not keep the others from running") {
  const auto scenario = []() -> Task<void> {
    const auto event = std::make_shared<Event>();  // the one who sets it may outlive who waits
    auto sets = [](std::shared_ptr<Event> to_set) -> Task<void> {
      co_await yield();
      to_set->set();
    };
    auto setter = spawn(sets(event));
    co_await event->wait();
  };
  const std::string fault = fault_found([&] { cancel_everywhere(scenario); });
  CHECK(has(fault, "task 2, not started"));
  CHECK(has(fault, "it hangs: deadlock"));
  CHECK(has(fault, "testing_test.cpp:"));
}

ON_SELECTORS("a scenario that waits for a descriptor without end is told when the patience is over") {
  const Pair sockets = Pair::sockets();
  DisturbOptions options;
  options.loop.selector = selector;
  options.loop.virtual_time = true;
  options.patience = 20ms;
  const auto scenario = [&]() -> Task<void> { co_await readable(sockets.a.fileno()); };
  const std::string fault = fault_found([&] { cancel_everywhere(scenario, &check_usual_end, options); });
  CHECK(has(fault, "undisturbed"));
  CHECK(has(fault, "it hangs:\nheddle: 1 task"));
}

TEST_CASE("a scenario that goes on and on is told after so many steps") {
  DisturbOptions options;
  options.most_steps = 1000;
  const auto scenario = []() -> Task<void> {
    for (bool stopped = false; !stopped;) try {
        co_await yield();
      } catch (const Cancelled&) {
        stopped = true;
      }
  };
  const std::string fault = fault_found([&] { cancel_everywhere(scenario, &check_usual_end, options); });
  CAPTURE(fault);
  CHECK(has(fault, "it goes on and on"));
}

TEST_CASE("a task that does not end though it is cancelled is told") {
  DisturbOptions options;
  options.most_steps = 1000;
  bool stop = false;
  auto stubborn = [](const bool& end) -> Task<void> {
    while (!end) try {
        co_await yield();
      } catch (const Cancelled&) {
      }
  };
  const auto scenario = [&]() -> Task<void> {
    spawn(stubborn(stop));
    co_await yield();  // or it would never begin
  };
  const std::string fault = fault_found([&] { cancel_everywhere(scenario, &check_usual_end, options); });
  CHECK(has(fault, "the tasks that it left behind do not end when cancelled: it goes on and on"));
}

TEST_CASE("tasks that the scenario leaves behind are cancelled, as run does") {
  int ended = 0;
  auto serves = [](int& count) -> Task<void> {
    try {
      co_await sleep(std::nullopt);
    } catch (const Cancelled&) {
    }
    co_await yield();
    ++count;
  };
  const DisturbCount count = cancel_everywhere(
      [&]() -> Task<void> {
        ended = 0;
        spawn(serves(ended));
        co_await yield();
      },
      [&](const DisturbedRun& run) {
        check_usual_end(run);
        if (run.disturbance == Disturbance::NONE) CHECK(ended == 1);
      });
  CHECK(count.places == 8);  // what it does when it is cancelled is disturbed as well
}

TEST_CASE("a scenario that fails by itself is told, unless the check expects it") {
  const auto scenario = []() -> Task<void> {
    co_await yield();
    throw std::runtime_error("its own");
  };
  CHECK(has(fault_found([&] { cancel_everywhere(scenario); }),
            "undisturbed, the scenario ended with: its own"));
  const DisturbCount count = cancel_everywhere(scenario, [](const DisturbedRun& run) {
    CHECK((run.cancelled() || run.failed_with<std::runtime_error>()));
  });
  CHECK(count.places == 3);
  CHECK(count.failed == 3);
}

TEST_CASE("a scenario can't be disturbed from within a loop") {
  run_here([]() -> Task<void> {
    CHECK_THROWS_AS(cancel_everywhere(two_yields), std::logic_error);
    co_return;
  });
}

TEST_CASE("of the allocations of a thread only the one asked for fails") {
  if (!allocations_are_observed()) return;
  const std::uint64_t before = allocations_made();
  const std::int64_t alive = allocations_alive();
  {
    // Not by new-expressions: an optimising compiler leaves out those whose objects nobody needs.
    AllocationFault fault(2);
    void* const first = ::operator new(1);
    CHECK_FALSE(fault.has_failed());
    bool failed = false;
    try {
      ::operator delete(::operator new(100));
    } catch (const std::bad_alloc&) {
      failed = true;
    }
    CHECK(failed);
    CHECK(fault.has_failed());
    CHECK(fault.size() == 100);
    void* const third = ::operator new(3);
    CHECK(allocations_alive() >= alive + 2);
    ::operator delete(first);
    ::operator delete(third);
  }
  CHECK(allocations_made() >= before + 3);
}
