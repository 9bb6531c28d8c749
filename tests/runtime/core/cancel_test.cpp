// Cancellation: one request, one Cancelled, at whatever the task waits for.
// SPDX-License-Identifier: MIT
#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../../../runtime/loop/ready.hpp"
#include "../../../runtime/task/gather.hpp"
#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/task_group.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../../runtime/testing/testing.hpp"
#include "../../../runtime/threads/to_thread.hpp"
#include "../../selector/files.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

Task<void> for_ever() { co_await sleep(std::nullopt); }

// Waits for `awaitable`, made by `make`, and says how that ended.
template <class Make>
Task<void> await_and_tell(Make make, std::string& end) {
  end = "waiting";
  try {
    auto awaitable = make();
    co_await std::move(awaitable);
    end = "done";
  } catch (const Cancelled&) {
    end = "cancelled";
    throw;
  } catch (const std::exception& error) {
    end = error.what();
  }
}

// Cancels a task that waits for what `make` makes; it has to end at once, by the cancellation.
template <class Make>
Task<void> check_stops(Make make) {
  std::string end;
  auto handle = spawn(await_and_tell(make, end));
  for (int i = 0; i < 5; ++i) co_await yield();
  CHECK(end == "waiting");
  CHECK(handle.cancel());
  for (int i = 0; i < 5; ++i) co_await yield();
  CHECK(end == "cancelled");
  CHECK(handle.done());
  CHECK(handle.cancelled());
  CHECK_FALSE(handle.cancel());
}

}  // namespace

TEST_CASE("a task that is cancelled before its first turn never enters its body") {
  run_here([]() -> Task<void> {
    bool entered = false;
    auto body = [](bool& flag, std::shared_ptr<int>) -> Task<void> {
      flag = true;
      co_return;
    };
    const auto parameter = std::make_shared<int>(1);
    auto handle = spawn(body(entered, parameter));
    CHECK(handle.cancel());
    co_await yield();
    CHECK(handle.done());
    CHECK(handle.cancelled());
    CHECK_FALSE(entered);
    CHECK(parameter.use_count() == 1);
    bool thrown_at_join = false;
    try {
      co_await handle;
    } catch (const Cancelled&) {
      thrown_at_join = true;
    }
    CHECK(thrown_at_join);
  });
}

TEST_CASE("a request that was taken back before the first turn lets the task run") {
  run_here([]() -> Task<void> {
    bool entered = false;
    auto body = [](bool& flag) -> Task<void> {
      flag = true;
      co_await yield();
    };
    auto handle = spawn(body(entered));
    handle.cancel();
    CHECK(handle.state().uncancel() == 0);
    co_await handle;
    CHECK(entered);
  });
}

ON_SELECTORS("whatever a task waits for, a request to stop ends the wait at once") {
  run_on(selector, []() -> Task<void> {
    const Pair sockets = Pair::sockets();
    const int fd = sockets.a.fileno();
    sockets.a.fill();
    co_await check_stops([] { return sleep(1h); });
    co_await check_stops([] { return sleep(std::nullopt); });
    co_await check_stops([] { return sleep_until(TimePoint::max()); });
    co_await check_stops([fd] { return readable(fd); });
    co_await check_stops([fd] { return writable(fd); });
    co_await check_stops([fd] { return ready(fd, EVENT_READ | EVENT_WRITE); });
    co_await check_stops([] { return spawn(for_ever()); });
    co_await check_stops([]() -> Task<void> { co_await for_ever(); });
    co_await check_stops([]() -> Task<void> { co_await timeout(1h, for_ever()); });
    co_await check_stops([]() -> Task<void> { co_await gather(for_ever(), for_ever()); });
    co_await check_stops([]() -> Task<void> {
      auto body = [](TaskGroup& group) -> Task<void> {
        group.spawn(for_ever());
        co_return;
      };
      co_await task_group(body);
    });
  });
}

TEST_CASE("a task that yields is stopped at its next turn") {
  run_here([]() -> Task<void> {
    int turns = 0;
    auto yields = [](int& n) -> Task<void> {
      for (;;) {
        ++n;
        co_await yield();
      }
    };
    auto handle = spawn(yields(turns));
    co_await yield();
    CHECK(turns == 1);
    handle.cancel();
    co_await yield();
    CHECK(handle.cancelled());
    CHECK(turns == 1);
  });
}

TEST_CASE("a wait for another thread ends at once when it is cancelled, and the call runs on") {
  run_here([]() -> Task<void> {
    struct State {
      std::atomic<bool> begun = false;
      std::atomic<bool> go = false;
      std::atomic<bool> ended = false;
    };
    auto state = std::make_shared<State>();
    auto blocks = [](std::shared_ptr<State> it) {
      it->begun = true;
      while (!it->go) std::this_thread::sleep_for(1ms);
      it->ended = true;
    };
    std::string end;
    auto handle = spawn(await_and_tell([=] { return to_thread(blocks, state); }, end));
    while (!state->begun) co_await sleep(1ms);
    handle.cancel();
    co_await yield();
    co_await yield();
    CHECK(end == "cancelled");
    CHECK_FALSE(state->ended);
    state->go = true;
    while (!state->ended) co_await sleep(1ms);
  });
}

TEST_CASE("one request is one Cancelled, and cleanup may await after it") {
  run_here([]() -> Task<void> {
    std::vector<std::string> log;
    auto body = [](std::vector<std::string>& out) -> Task<int> {
      try {
        co_await sleep(std::nullopt);
      } catch (const Cancelled&) {
        out.push_back("cancelled");
      }
      co_await yield();
      co_await sleep(1ms);
      out.push_back("cleaned");
      co_return 3;
    };
    auto handle = spawn(body(log));
    co_await yield();
    handle.cancel();
    const int result = co_await handle;
    CHECK(result == 3);
    CHECK_FALSE(handle.cancelled());
    CHECK(log == std::vector<std::string>{"cancelled", "cleaned"});
  });
}

TEST_CASE("requests that come before the Cancelled is thrown make one, and are counted") {
  run_here([]() -> Task<void> {
    int thrown_count = 0;
    unsigned counted = 0;
    auto body = [](int& times, unsigned& requests) -> Task<void> {
      for (int i = 0; i < 3; ++i) {
        try {
          co_await sleep(1ms);
        } catch (const Cancelled&) {
          ++times;
        }
      }
      requests = current.task->cancel_requests();
    };
    auto handle = spawn(body(thrown_count, counted));
    co_await yield();
    handle.cancel();
    handle.cancel();
    co_await handle;
    CHECK(thrown_count == 1);
    CHECK(counted == 2);
  });
}

TEST_CASE("a request that comes during the cleanup is another Cancelled") {
  run_here([]() -> Task<void> {
    int times = 0;
    auto body = [](int& n) -> Task<void> {
      for (int i = 0; i < 3; ++i) {
        try {
          co_await sleep(std::nullopt);
        } catch (const Cancelled&) {
          ++n;
        }
      }
    };
    auto handle = spawn(body(times));
    co_await yield();
    for (int i = 0; i < 3; ++i) {
      CHECK(times == i);
      handle.cancel();
      co_await yield();
    }
    CHECK(times == 3);
    CHECK(handle.done());
  });
}

TEST_CASE("a task that cancels itself goes on until its next co_await") {
  run_here([]() -> Task<void> {
    bool reached = false;
    bool passed = false;
    auto body = [](bool& before, bool& after) -> Task<void> {
      current.task->cancel();
      before = true;
      co_await yield();
      after = true;
    };
    auto handle = spawn(body(reached, passed));
    co_await yield();
    CHECK(handle.cancelled());
    CHECK(reached);
    CHECK_FALSE(passed);
  });
}

TEST_CASE("a task that cancels itself and awaits no more delivers its result") {
  run_here([]() -> Task<void> {
    auto body = []() -> Task<int> {
      current.task->cancel();
      co_return 4;
    };
    auto handle = spawn(body());
    const int result = co_await handle;
    CHECK(result == 4);
  });
}

TEST_CASE("uncancel takes a pending request back") {
  run_here([]() -> Task<void> {
    current.task->cancel();
    CHECK(current.task->cancel_requests() == 1);
    CHECK(current.task->uncancel() == 0);
    co_await yield();  // would throw
    CHECK(current.task->cancel_requests() == 0);
    CHECK(current.task->uncancel() == 0);
  });
}

TEST_CASE("uncancel of one of two requests leaves the other") {
  run_here([]() -> Task<void> {
    current.task->cancel();
    current.task->cancel();
    CHECK(current.task->uncancel() == 1);
    bool stopped = false;
    try {
      co_await yield();
    } catch (const Cancelled&) {
      stopped = true;
    }
    CHECK(stopped);
    current.task->uncancel();
  });
}

TEST_CASE("what has happened already is delivered, and Cancelled comes with the next co_await") {
  run_here([]() -> Task<void> {
    std::vector<std::string> log;
    std::vector<std::string> second_log;
    auto target = []() -> Task<int> { co_return 6; };
    auto finished = spawn(target());
    auto joins = [](JoinHandle<int>& joined, std::vector<std::string>& out) -> Task<void> {
      try {
        const int result = co_await joined;
        out.push_back(std::to_string(result));
        co_await yield();
        out.push_back("not stopped");
      } catch (const Cancelled&) {
        out.push_back("cancelled");
      }
    };
    auto waiter = spawn(joins(finished, log));
    // The target ends, and wakes the waiter, after the waiter has begun to wait; this task sees both.
    auto again = spawn(target());
    auto second = spawn(joins(again, second_log));
    co_await yield();
    waiter.cancel();
    second.cancel();
    co_await waiter;
    co_await second;
    CHECK(log == std::vector<std::string>{"6", "cancelled"});
    CHECK(second_log == log);
  });
}

TEST_CASE("cancelling a task that joins another cancels that one, and waits for its cleanup") {
  run_here([]() -> Task<void> {
    std::vector<std::string> log;
    auto child_body = [](std::vector<std::string>& out) -> Task<void> {
      try {
        co_await sleep(std::nullopt);
      } catch (const Cancelled&) {
        out.push_back("child stops");
      }
      co_await sleep(1ms);
      out.push_back("child cleaned");
      throw Cancelled();
    };
    auto child = spawn(child_body(log));
    auto parent_body = [](JoinHandle<void>& joined, std::vector<std::string>& out) -> Task<void> {
      try {
        co_await joined;
      } catch (const Cancelled&) {
        out.push_back("parent stops");
        throw;
      }
    };
    auto parent = spawn(parent_body(child, log));
    co_await yield();
    co_await yield();
    parent.cancel();
    while (!parent.done()) co_await sleep(1ms);
    CHECK(parent.cancelled());
    CHECK(child.cancelled());
    CHECK(log == std::vector<std::string>{"child stops", "child cleaned", "parent stops"});
  });
}

TEST_CASE("a child that finishes in spite of the request delivers its result to the one that joins it") {
  run_here([]() -> Task<void> {
    auto stubborn = []() -> Task<int> {
      try {
        co_await sleep(std::nullopt);
      } catch (const Cancelled&) {
      }
      co_return 8;
    };
    auto child = spawn(stubborn());
    auto joins = [](JoinHandle<int>& joined) -> Task<int> { co_return co_await joined; };
    auto parent = spawn(joins(child));
    co_await yield();
    co_await yield();
    parent.cancel();
    const int result = co_await parent;
    CHECK(result == 8);
  });
}

TEST_CASE("shield lets what it guards come to its end, and the request is thrown afterwards") {
  run_here([]() -> Task<void> {
    std::vector<std::string> log;
    auto body = [](std::vector<std::string>& out) -> Task<void> {
      auto guarded = []() -> Task<int> {
        co_await sleep(1ms);
        co_await yield();
        co_return 5;
      };
      const int result = co_await shield(guarded());
      out.push_back(std::to_string(result));
      co_await yield();
      out.push_back("not stopped");
    };
    auto handle = spawn(body(log));
    co_await yield();
    handle.cancel();
    while (!handle.done()) co_await sleep(1ms);
    CHECK(handle.cancelled());
    CHECK(log == std::vector<std::string>{"5"});
  });
}

TEST_CASE("a request that was pending before a shield is held off by it too") {
  run_here([]() -> Task<void> {
    auto body = []() -> Task<int> {
      current.task->cancel();
      co_await shield(sleep(1ms));
      try {
        co_await yield();
      } catch (const Cancelled&) {
        co_return 1;
      }
      co_return 2;
    };
    auto handle = spawn(body());
    const int result = co_await handle;
    CHECK(result == 1);
  });
}

TEST_CASE("a shield that throws lets the request through too") {
  run_here([]() -> Task<void> {
    std::vector<std::string> log;
    auto body = [](std::vector<std::string>& out) -> Task<void> {
      auto fails = []() -> Task<void> {
        co_await sleep(1ms);
        throw std::runtime_error("guarded failed");
      };
      try {
        co_await shield(fails());
      } catch (const std::runtime_error& error) {
        out.push_back(error.what());
      }
      co_await yield();
      out.push_back("not stopped");
    };
    auto handle = spawn(body(log));
    co_await yield();
    handle.cancel();
    while (!handle.done()) co_await sleep(1ms);
    CHECK(handle.cancelled());
    CHECK(log == std::vector<std::string>{"guarded failed"});
  });
}

TEST_CASE("shields nest") {
  run_here([]() -> Task<void> {
    int passed = 0;
    auto body = [](int& n) -> Task<void> {
      auto inner = [](int& count) -> Task<void> {
        co_await shield(sleep(1ms));
        ++count;
        co_await sleep(1ms);
        ++count;
      };
      co_await shield(inner(n));
      ++n;
      co_await yield();
      ++n;
    };
    auto handle = spawn(body(passed));
    co_await yield();
    handle.cancel();
    while (!handle.done()) co_await sleep(1ms);
    CHECK(handle.cancelled());
    CHECK(passed == 3);
  });
}

TEST_CASE("a timeout inside a shield still expires") {
  run_here([]() -> Task<void> {
    auto cleans_up = []() -> Task<std::string> {
      try {
        co_await timeout(1ms, sleep(1s));
      } catch (const TimeoutError&) {
        co_return "expired";
      }
      co_return "slept on";
    };
    const std::string end = co_await shield(cleans_up());
    CHECK(end == "expired");
  });
}

TEST_CASE("a group inside a shield still stops when a child fails") {
  run_here([]() -> Task<void> {
    auto works = []() -> Task<std::string> {
      auto body = [](TaskGroup& group) -> Task<void> {
        auto fails = []() -> Task<void> {
          co_await yield();
          throw std::runtime_error("child");
        };
        group.spawn(fails());
        co_await sleep(1s);
      };
      const auto began = std::chrono::steady_clock::now();
      try {
        co_await task_group(body);
      } catch (const ExceptionGroup&) {
      }
      co_return std::chrono::steady_clock::now() - began < 900ms ? "at once" : "late";
    };
    const std::string end = co_await shield(works());
    CHECK(end == "at once");
  });
}

TEST_CASE("a request from outside waits for a shield while a timeout inside it expires") {
  run_here([]() -> Task<void> {
    std::vector<std::string> log;
    auto body = [](std::vector<std::string>& out) -> Task<void> {
      auto guarded = [](std::vector<std::string>& log_of_it) -> Task<void> {
        try {
          co_await timeout(5ms, sleep(1s));
        } catch (const TimeoutError&) {
          log_of_it.push_back("expired");
        }
        co_await sleep(1ms);
        log_of_it.push_back("guarded ends");
      };
      co_await shield(guarded(out));
      co_await yield();
      out.push_back("not stopped");
    };
    auto handle = spawn(body(log));
    co_await yield();
    handle.cancel();
    while (!handle.done()) co_await sleep(1ms);
    CHECK(handle.cancelled());
    CHECK(log == std::vector<std::string>{"expired", "guarded ends"});
  });
}

TEST_CASE("a task can be cancelled while its loop doesn't run, whatever it waits for") {
  const Pair pair = Pair::sockets();
  pair.a.fill();
  EventLoop loop;
  std::vector<JoinHandle<void>> handles;
  loop.call_soon([&] {
    handles.push_back(spawn(for_ever()));
    auto sleeps = []() -> Task<void> { co_await sleep(1h); };
    handles.push_back(spawn(sleeps()));
    auto reads = [](int fd) -> Task<void> { co_await readable(fd); };
    handles.push_back(spawn(reads(pair.a.fileno())));
    auto either = [](int fd) -> Task<void> { co_await ready(fd, EVENT_READ | EVENT_WRITE); };
    handles.push_back(spawn(either(pair.a.fileno())));
    auto limited = []() -> Task<void> { co_await timeout(1h, for_ever()); };
    handles.push_back(spawn(limited()));
    auto joins = []() -> Task<void> { co_await spawn(for_ever()); };
    handles.push_back(spawn(joins()));
    auto gathers = []() -> Task<void> { co_await gather(for_ever(), for_ever()); };
    handles.push_back(spawn(gathers()));
    auto in_thread = []() -> Task<void> { co_await to_thread([] { std::this_thread::sleep_for(5ms); }); };
    handles.push_back(spawn(in_thread()));
  });
  for (int i = 0; i < 3; ++i) loop.run_once(Duration(0));
  for (auto& handle : handles) CHECK(handle.cancel());
  for (int i = 0; i < 4; ++i) loop.run_once(Duration(0));
  for (auto& handle : handles) CHECK(handle.cancelled());
}

TEST_CASE("tasks that wait for each other can be cancelled, and all of them end") {
  run_here([]() -> Task<void> {
    std::vector<JoinHandle<void>> ring(3);
    auto waits = [](std::vector<JoinHandle<void>>& handles, std::size_t next) -> Task<void> {
      co_await handles[next];
    };
    for (std::size_t i = 0; i < ring.size(); ++i) ring[i] = spawn(waits(ring, (i + 1) % ring.size()));
    co_await yield();
    CHECK(ring[1].cancel());
    for (int i = 0; i < 5; ++i) co_await yield();
    for (const auto& handle : ring) CHECK(handle.cancelled());
  });
}

namespace {

// Something of everything: a group, a timeout, a shield, readiness, a join.
Task<void> scenario(int fd_a, int fd_b, int& alive) {
  struct Alive {
    explicit Alive(int& n) : count(n) { ++count; }
    Alive(const Alive&) = delete;
    Alive& operator=(const Alive&) = delete;
    ~Alive() { --count; }
    int& count;
  };
  const Alive here(alive);
  auto body = [&](TaskGroup& group) -> Task<int> {
    const Alive in_body(alive);
    auto reads = [](int fd, int& count) -> Task<void> {
      const Alive in_child(count);
      char byte;
      for (int i = 0; i < 3; ++i) {
        co_await readable(fd);
        while (::read(fd, &byte, 1) == 1) {
        }
      }
    };
    auto writes = [](int fd, int& count) -> Task<void> {
      const Alive in_child(count);
      for (int i = 0; i < 3; ++i) {
        co_await ready(fd, EVENT_READ | EVENT_WRITE);
        [[maybe_unused]] const auto n = ::write(fd, "x", 1);
        co_await sleep(1us);
      }
    };
    auto reader = group.spawn(reads(fd_a, alive));
    group.spawn(writes(fd_b, alive));
    auto slow = []() -> Task<void> { co_await sleep(1h); };
    try {
      co_await timeout(200us, slow());
    } catch (const TimeoutError&) {
    }
    co_await shield(sleep(1us));
    co_await reader;
    const int doubled = co_await to_thread([] { return 2; });
    co_return doubled;
  };
  const int result = co_await task_group(body);
  CHECK(result == 2);
  auto one = [](int n) -> Task<int> {
    co_await yield();
    co_return n;
  };
  const auto [a, b] = co_await gather(one(1), one(2));
  CHECK(a + b == 3);
}

}  // namespace

ON_SELECTORS("cancelled at every suspension, one a run, a scenario of tasks leaves nothing behind") {
  int alive = 0;
  const auto on_a_pair = [&]() -> Task<void> {
    const Pair pair = Pair::sockets();
    co_await scenario(pair.a.fileno(), pair.b.fileno(), alive);
  };
  const auto check = [&](const DisturbedRun& run) {
    check_usual_end(run);
    CHECK(alive == 0);
  };
  DisturbOptions options;
  options.loop.selector = selector;
  options.main_only = true;  // who reads waits for who writes
  for (const bool from_outside : {false, true}) {
    options.from_outside = from_outside;
    CHECK(cancel_everywhere(on_a_pair, check, options).failed >= 6);
  }
}
