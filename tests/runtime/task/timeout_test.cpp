// timeout, sleep: deadlines, whose they were, and that none fires early.
// SPDX-License-Identifier: MIT
#include "../../../runtime/task/timeout.hpp"

#include <stdexcept>
#include <string>
#include <vector>

#include "../../../runtime/loop/descriptor_table.hpp"
#include "../../../runtime/loop/event_loop.hpp"
#include "../../../runtime/loop/ready.hpp"
#include "../../../runtime/sync/event.hpp"
#include "../../../runtime/task/race.hpp"
#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/task_group.hpp"
#include "../../selector/files.hpp"
#include "../../support/on_selectors.hpp"
#include "../../support/turns.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

using Clock = std::chrono::steady_clock;

Task<void> for_ever() { co_await sleep(std::nullopt); }

// How `awaitable` ended.
template <class T>
Task<std::string> end_of(Task<T> task) {
  try {
    co_await task;
  } catch (const TimeoutError&) {
    co_return "timed out";
  } catch (const Cancelled&) {
    co_return "cancelled";
  } catch (const std::exception& error) {
    co_return error.what();
  }
  co_return "done";
}

}  // namespace

ON_SELECTORS("sleep never ends early, at any fraction of a millisecond") {
  run_on(selector, []() -> Task<void> {
    for (const Duration time : {Duration(1), Duration(999), Duration(1'000), Duration(50'000),
                                Duration(999'999), Duration(1'000'001), Duration(2'300'000)}) {
      const auto began = Clock::now();
      co_await sleep(time);
      const auto took = Clock::now() - began;
      CHECK(took >= time);
      CHECK(took < time + 1s);
    }
  });
}

ON_SELECTORS("a loop that waits for a deadline doesn't spin through the last millisecond") {
  struct Counting : KernelSystem {
    int looks = 0;
    TimePoint now() noexcept override {
      ++looks;
      return KernelSystem::now();
    }
  } system;
  run_on(selector, []() -> Task<void> { co_await sleep(3'456us); }, &system);
  CHECK(system.looks < 20);
}

TEST_CASE("sleeping for no time gives the others their turn") {
  run_here([]() -> Task<void> {
    std::vector<int> log;
    auto other = [](std::vector<int>& out) -> Task<void> {
      out.push_back(1);
      co_return;
    };
    spawn(other(log));
    co_await sleep(0s);
    log.push_back(2);
    spawn(other(log));
    co_await sleep(-1s);
    log.push_back(2);
    CHECK(log == std::vector<int>{1, 2, 1, 2});
  });
}

TEST_CASE("sleepers wake in the order of their deadlines, equal ones in the order of falling asleep") {
  run_here([]() -> Task<void> {
    std::vector<int> log;
    const TimePoint now = EventLoop::running().time();
    auto sleeps = [](TimePoint until, std::vector<int>& out, int id) -> Task<void> {
      co_await sleep_until(until);
      out.push_back(id);
    };
    std::vector<JoinHandle<void>> handles;
    handles.push_back(spawn(sleeps(now + 3ms, log, 5)));
    handles.push_back(spawn(sleeps(now + 2ms, log, 2)));
    handles.push_back(spawn(sleeps(now + 2ms, log, 3)));
    handles.push_back(spawn(sleeps(now + 1ms, log, 1)));
    handles.push_back(spawn(sleeps(now + 2ms, log, 4)));
    for (auto& handle : handles) co_await handle;
    CHECK(log == std::vector<int>{1, 2, 3, 4, 5});
  });
}

ON_SELECTORS("a deadline in the past, however far, is due at once") {
  run_on(selector, []() -> Task<void> {
    const auto began = Clock::now();
    co_await sleep_until(EventLoop::running().time() - 1h);
    co_await sleep_until(TimePoint());
    co_await sleep_until(TimePoint::min());
    CHECK(Clock::now() - began < 1s);
  });
}

ON_SELECTORS("a deadline in the far future is neither missed nor wrapped around") {
  run_on(selector, []() -> Task<void> {
    bool woken = false;
    auto sleeps = [](Timeout time, bool& flag) -> Task<void> {
      co_await sleep(time);
      flag = true;
    };
    spawn(sleeps(std::chrono::hours(24 * 365 * 300), woken));
    spawn(sleeps(std::chrono::duration<double>(1e300), woken));
    spawn(sleeps(Duration::max(), woken));
    co_await sleep(2ms);
    CHECK_FALSE(woken);
  });
}

ON_SELECTORS("a timeout cancels the sleeper at its deadline, not before") {
  run_on(selector, []() -> Task<void> {
    const auto began = Clock::now();
    const std::string end = co_await end_of(timeout(5ms, for_ever()));
    const auto took = Clock::now() - began;
    CHECK(end == "timed out");
    CHECK(took >= 5ms);
    CHECK(took < 1s);
    CHECK(current.task->cancel_requests() == 0);
  });
}

TEST_CASE("what is done in time yields its result, and nothing of the timeout is left") {
  run_here([]() -> Task<void> {
    auto value = []() -> Task<int> {
      co_await yield();
      co_return 3;
    };
    const int result = co_await timeout(1h, value());
    CHECK(result == 3);
    CHECK(EventLoop::running().timers().empty());
    const int other = co_await timeout(std::nullopt, value());
    CHECK(other == 3);
  });
}

TEST_CASE("an exception passes through a timeout, and nothing is left") {
  run_here([]() -> Task<void> {
    auto fails = []() -> Task<void> {
      co_await yield();
      throw std::runtime_error("inner");
    };
    const std::string end = co_await end_of(timeout(1h, fails()));
    CHECK(end == "inner");
    CHECK(EventLoop::running().timers().empty());
  });
}

TEST_CASE("a request from outside passes through a timeout as Cancelled") {
  run_here([]() -> Task<void> {
    auto handle = spawn(end_of(timeout(1h, for_ever())));
    co_await yield();
    handle.cancel();
    const std::string end = co_await handle;
    CHECK(end == "cancelled");
    CHECK(EventLoop::running().timers().empty());
  });
}

TEST_CASE("of two nested timeouts the one that expires throws") {
  run_here([]() -> Task<void> {
    std::vector<std::string> log;
    auto nest = [](Timeout outer, Timeout inner, std::vector<std::string>& out) -> Task<void> {
      auto inside = [](Timeout limit, std::vector<std::string>& log_of_it) -> Task<void> {
        try {
          co_await timeout(limit, for_ever());
        } catch (const TimeoutError&) {
          log_of_it.push_back("inner");
        } catch (const Cancelled&) {
          log_of_it.push_back("inner cancelled");
          throw;
        }
      };
      try {
        co_await timeout(outer, inside(inner, out));
        out.push_back("went on");
      } catch (const TimeoutError&) {
        out.push_back("outer");
      }
    };
    co_await nest(1h, 1ms, log);
    CHECK(log == std::vector<std::string>{"inner", "went on"});
    log.clear();
    co_await nest(1ms, 1h, log);
    CHECK(log == std::vector<std::string>{"inner cancelled", "outer"});
    CHECK(current.task->cancel_requests() == 0);
    co_await yield();
  });
}

TEST_CASE("when both of two nested timeouts have expired the outer one throws") {
  run_here([]() -> Task<void> {
    const TimePoint deadline = EventLoop::running().time() + 1ms;
    std::vector<std::string> log;
    auto inside = [](TimePoint limit, std::vector<std::string>& out) -> Task<void> {
      try {
        co_await timeout_at(limit, for_ever());
      } catch (const TimeoutError&) {
        out.push_back("inner");
      }
    };
    const std::string end = co_await end_of(timeout_at(deadline, inside(deadline, log)));
    CHECK(end == "timed out");
    CHECK(log.empty());
    CHECK(current.task->cancel_requests() == 0);
    co_await yield();
  });
}

TEST_CASE("an outer timeout that expires during the cleanup after the inner one stops that") {
  run_here([]() -> Task<void> {
    std::vector<std::string> log;
    auto inner = [](std::vector<std::string>& out) -> Task<void> {
      try {
        co_await sleep(std::nullopt);
      } catch (const Cancelled&) {
        out.push_back("cleaning");
      }
      co_await sleep(std::nullopt);
      out.push_back("cleaned");
    };
    auto outer = [&](std::vector<std::string>& out) -> Task<void> {
      co_await timeout(1ms, inner(out));
      out.push_back("inner returned");
    };
    const std::string end = co_await end_of(timeout(200ms, outer(log)));
    CHECK(end == "timed out");
    CHECK(log == std::vector<std::string>{"cleaning"});
    CHECK(current.task->cancel_requests() == 0);
  });
}

TEST_CASE("a result that arrives with the deadline is returned, and no request is left over") {
  run_here([]() -> Task<void> {
    // Both timers are due in the same turn; the sleeper's was set for the same time.
    const TimePoint when = EventLoop::running().time() + 1ms;
    auto value = [](TimePoint until) -> Task<int> {
      co_await sleep_until(until);
      co_return 9;
    };
    for (int i = 0; i < 20; ++i) {
      // The sleeper is woken first: it has the earlier deadline.
      const TimePoint at = EventLoop::running().time() + 100us;
      const int result = co_await timeout_at(at + 1ns, value(at));
      CHECK(result == 9);
      CHECK(current.task->cancel_requests() == 0);
    }
    co_await sleep_until(when);
    co_await yield();
  });
}

TEST_CASE("a timeout and a request from outside together are the request from outside") {
  run_here([]() -> Task<void> {
    auto handle = spawn(end_of(timeout(1ms, for_ever())));
    co_await yield();
    handle.cancel();
    // The deadline passes before the task has its turn.
    const auto until = Clock::now() + 2ms;
    while (Clock::now() < until) {
    }
    const std::string end = co_await handle;
    CHECK(end == "cancelled");
  });
}

TEST_CASE("a timeout that has passed already still lets pass what is done without waiting") {
  run_here([]() -> Task<void> {
    auto value = []() -> Task<int> { co_return 1; };
    const int result = co_await timeout(0s, value());
    CHECK(result == 1);
    const std::string end = co_await end_of(timeout(-1h, for_ever()));
    CHECK(end == "timed out");
    const std::string at = co_await end_of(timeout_at(TimePoint::min(), for_ever()));
    CHECK(at == "timed out");
  });
}

ON_SELECTORS("a timeout on readable stops the wait and leaves the descriptor unwatched") {
  run_on(selector, []() -> Task<void> {
    const Pair pair = Pair::sockets();
    bool expired = false;
    try {
      co_await timeout(1ms, readable(pair.a.fileno()));
    } catch (const TimeoutError&) {
      expired = true;
    }
    CHECK(expired);
    CHECK(EventLoop::running().descriptors().find(pair.a.fileno()) == nullptr);
    pair.b.write("x");
    const EventMask events = co_await timeout(1s, readable(pair.a.fileno()));
    CHECK(events == EVENT_READ);
  });
}

TEST_CASE("a timeout on a handle cancels the task and waits for its end") {
  run_here([]() -> Task<void> {
    std::vector<std::string> log;
    auto body = [](std::vector<std::string>& out) -> Task<void> {
      try {
        co_await sleep(std::nullopt);
      } catch (const Cancelled&) {
      }
      co_await yield();
      out.push_back("ended");
      throw Cancelled();
    };
    auto handle = spawn(body(log));
    bool expired = false;
    try {
      co_await timeout(1ms, handle);
    } catch (const TimeoutError&) {
      expired = true;
    }
    CHECK(expired);
    CHECK(handle.cancelled());
    CHECK(log == std::vector<std::string>{"ended"});
  });
}

TEST_CASE("a task that swallows the timeout's request is not stopped again") {
  run_here([]() -> Task<void> {
    auto stubborn = []() -> Task<int> {
      try {
        co_await sleep(std::nullopt);
      } catch (const Cancelled&) {
      }
      co_await sleep(1ms);
      co_return 2;
    };
    const int result = co_await timeout(1ms, stubborn());
    CHECK(result == 2);
    CHECK(current.task->cancel_requests() == 0);
    co_await yield();
  });
}

TEST_CASE("a thousand timeouts that don't expire leave no timer") {
  run_here([]() -> Task<void> {
    for (int i = 0; i < 1000; ++i) co_await timeout(1h, yield());
    CHECK(EventLoop::running().timers().empty());
  });
}

TEST_CASE("a sleep that is awaited again sleeps again, and can be cancelled again") {
  run_here([]() -> Task<void> {
    auto nap = sleep(1ms);
    co_await nap;
    const auto began = Clock::now();
    co_await nap;
    CHECK(Clock::now() - began >= 1ms);
    auto body = [](std::string& log) -> Task<void> {
      auto operation = sleep(20ms);
      for (int i = 0; i < 3; ++i) {
        try {
          co_await operation;
          log += "slept ";
        } catch (const Cancelled&) {
          log += "cancelled ";
        }
      }
    };
    std::string log;
    auto handle = spawn(body(log));
    co_await yield();
    handle.cancel();
    co_await sleep(30ms);
    handle.cancel();
    co_await handle;
    CHECK(log == "cancelled slept cancelled ");
  });
}

TEST_CASE("a timeout may be made first and awaited later, since it owns what it guards") {
  run_here([]() -> Task<void> {
    auto value = [](std::string text) -> Task<std::string> {
      co_await yield();
      co_return text;
    };
    auto limited = timeout(1h, value(std::string(100, 'x')));
    auto shielded = shield(std::move(limited));
    const std::string text = co_await shielded;
    CHECK(text == std::string(100, 'x'));
  });
}

TEST_CASE("wait_for is timeout by its name in asyncio") {
  run_here([]() -> Task<void> {
    auto value = []() -> Task<int> { co_return 3; };
    const int result = co_await wait_for(value(), 1h);
    CHECK(result == 3);
    const std::string end = co_await end_of(wait_for(for_ever(), 1ms));
    CHECK(end == "timed out");
  });
}

TEST_CASE("a request that a shield held off until after a deadline is not taken for the deadline's") {
  run_here([]() -> Task<void> {
    std::string end;
    auto sleeps = []() -> Task<void> {
      co_await shield(sleep(2ms));
      co_await sleep(1h);
    };
    auto body = [&]() -> Task<void> {
      current.task->cancel();
      end = co_await end_of(timeout(1ms, sleeps()));
      co_await yield();  // once is enough
      end += " once";
    };
    co_await spawn(body());
    CHECK(end == "cancelled once");
  });
}

TEST_CASE("a timeout that comes too late leaves no Cancelled to who has gone on after one before") {
  run_here([]() -> Task<void> {
    Event event;
    std::string end;
    auto nothing = []() -> Task<void> { co_return; };
    auto body = [&]() -> Task<void> {
      end = co_await end_of(sleep(1h));
      co_await timeout(1ms, event.wait());
      co_await yield();
      end += ", and goes on";
    };
    auto handle = spawn(body());
    co_await turns(2);
    handle.cancel();
    co_await turns(2);
    // The deadline passes when the event has happened, and the loop looks at its timers before the task goes
    // on.
    for (int i = 0; i < 100; ++i) spawn(nothing());
    event.set();
    for (const TimePoint deadline = EventLoop::running().time() + 2ms;
         EventLoop::running().time() < deadline;) {
    }
    co_await handle;
    CHECK(end == "cancelled, and goes on");
  });
}

namespace {

Task<int> stubborn() {
  try {
    co_await sleep(1h);
  } catch (const Cancelled&) {
  }
  co_return 7;
}

}  // namespace

TEST_CASE("a deadline that passes while a race has its result leaves no Cancelled behind") {
  run_here([]() -> Task<void> {
    auto task = spawn([]() -> Task<int> {
      try {
        co_await sleep(1h);
      } catch (const Cancelled&) {  // a request of long ago, after which the task goes on
      }
      const int first = co_await timeout(1ms, race(stubborn()));
      co_await sleep(1ms);
      co_return first;
    });
    co_await sleep(1ms);
    task.cancel();
    const int result = co_await task;
    CHECK(result == 7);
  });
}
