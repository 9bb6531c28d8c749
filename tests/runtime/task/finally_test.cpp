// finally: cleanup that may await.
// SPDX-License-Identifier: MIT
#include "../../../runtime/task/finally.hpp"

#include <stdexcept>
#include <string>
#include <vector>

#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/task_group.hpp"
#include "../../../runtime/task/wait.hpp"
#include "../../../runtime/testing/testing.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

using Log = std::vector<std::string>;

Task<int> value(int result) {
  co_await yield();
  co_return result;
}

Task<void> fail(const char* message) {
  co_await yield();
  throw std::runtime_error(message);
}

Task<void> for_ever() { co_await sleep(std::nullopt); }

Task<void> clean(Log& log) {
  for (int i = 0; i < 3; ++i) co_await yield();
  log.push_back("clean");
}

void collect(EventLoop&, const Report& report, void* argument) {
  static_cast<Log*>(argument)->push_back(
      thrown<std::exception>([&] { std::rethrow_exception(report.error); }));
}

// How `task` ended.
template <class T>
Task<std::string> end_of(Task<T> task) {
  try {
    co_await task;
  } catch (const Cancelled&) {
    co_return "cancelled";
  } catch (const std::exception& error) {
    co_return error.what();
  }
  co_return "done";
}

}  // namespace

TEST_CASE("finally yields what the body yields, after the cleanup") {
  run_here([]() -> Task<void> {
    Log log;
    const int result = co_await finally(value(3), clean(log));
    CHECK(result == 3);
    CHECK(log == Log{"clean"});
  });
}

TEST_CASE("the cleanup may be an awaitable, a coroutine function or a plain function") {
  run_here([]() -> Task<void> {
    Log log;
    co_await finally(yield(), yield());
    co_await finally(yield(), [&]() -> Task<void> { co_await clean(log); });
    co_await finally(yield(), [&] { log.push_back("plain"); });
    auto owned = [text = std::string("owned"), &log] { log.push_back(text); };
    auto both = finally(yield(), std::move(owned));
    co_await both;
    CHECK(log == Log{"clean", "plain", "owned"});
  });
}

TEST_CASE("the cleanup is done when the body has thrown, and that goes on") {
  run_here([]() -> Task<void> {
    Log log;
    const std::string end = co_await end_of(finally(fail("body"), clean(log)));
    CHECK(end == "body");
    CHECK(log == Log{"clean"});
  });
}

TEST_CASE("the cleanup of a cancelled task is done to its end, whoever asks it to stop again") {
  run_here([]() -> Task<void> {
    Log log;
    auto handle = spawn(finally(for_ever(), clean(log)));
    co_await yield();
    handle.cancel();
    co_await yield();
    for (int i = 0; i < 3; ++i) {
      CHECK(log.empty());
      handle.cancel();
      co_await yield();
    }
    const std::string end = co_await end_of([](JoinHandle<void>& h) -> Task<void> { co_await h; }(handle));
    CHECK(end == "cancelled");
    CHECK(log == Log{"clean"});
  });
}

TEST_CASE("a request to stop that comes during the cleanup comes out of the next co_await") {
  run_here([]() -> Task<void> {
    Log log;
    auto body = [](Log& out) -> Task<void> {
      const int result = co_await finally(value(1), clean(out));
      out.push_back("result " + std::to_string(result));
      co_await yield();
      out.push_back("not stopped");
    };
    auto handle = spawn(body(log));
    for (int i = 0; i < 3; ++i) co_await yield();
    CHECK(log.empty());
    handle.cancel();
    co_await wait(ReturnWhen::ALL_COMPLETED, {}, handle);
    CHECK(handle.cancelled());
    CHECK(log == Log{"clean", "result 1"});
  });
}

TEST_CASE("when body and cleanup fail the body's exception goes on and the other is reported") {
  run_here([]() -> Task<void> {
    Log reported;
    EventLoop::running().set_report_handler(&collect, &reported);
    const std::string end = co_await end_of(finally(fail("body"), fail("cleanup")));
    CHECK(end == "body");
    CHECK(reported == Log{"cleanup"});
  });
}

TEST_CASE("when only the cleanup fails its exception is thrown") {
  run_here([]() -> Task<void> {
    const std::string end = co_await end_of(finally(value(1), fail("cleanup")));
    CHECK(end == "cleanup");
  });
}

TEST_CASE("the cleanup's exception is thrown in place of a Cancelled, and the request to stop is not lost") {
  run_here([]() -> Task<void> {
    Log log;
    auto body = [](Log& out) -> Task<void> {
      out.push_back(co_await end_of(finally(for_ever(), fail("cleanup"))));
      co_await yield();
      out.push_back("not stopped");
    };
    auto handle = spawn(body(log));
    co_await yield();
    handle.cancel();
    co_await wait(ReturnWhen::ALL_COMPLETED, {}, handle);
    CHECK(handle.cancelled());
    CHECK(log == Log{"cleanup"});
    // Nobody was asked to stop here.
    auto by_hand = []() -> Task<void> {
      co_await yield();
      throw Cancelled();
    };
    const std::string end = co_await end_of(finally(by_hand(), fail("other")));
    CHECK(end == "other");
    co_await yield();
  });
}

ON_SELECTORS("a cleanup with a limit is stopped by it, shielded or not") {
  run_on(selector, []() -> Task<void> {
    const std::string end = co_await end_of(finally(value(1), for_ever(), 1ms));
    CHECK(end == "timed out");
    Log log;
    const std::string in_time = co_await end_of(finally(fail("body"), clean(log), 1h));
    CHECK(in_time == "body");
    CHECK(log == Log{"clean"});
    CHECK(EventLoop::running().timers().empty());
  });
}

TEST_CASE("a timeout around finally stops the body, waits for the cleanup and then expires") {
  run_here([]() -> Task<void> {
    Log log;
    std::string end;
    try {
      co_await timeout(1ms, finally(for_ever(), clean(log)));
    } catch (const TimeoutError&) {
      end = "timed out";
    }
    CHECK(end == "timed out");
    CHECK(log == Log{"clean"});
    CHECK(current.task->cancel_requests() == 0);
  });
}

TEST_CASE("the siblings of a failed task clean up before the group ends") {
  run_here([]() -> Task<void> {
    Log log;
    const std::string end = co_await end_of(task_group([&](TaskGroup& group) -> Task<void> {
      group.spawn(finally(for_ever(), clean(log)));
      group.spawn(fail("sibling"));
      co_return;
    }));
    CHECK(end == "1 error in a TaskGroup: sibling");
    CHECK(log == Log{"clean"});
  });
}

TEST_CASE("whenever it is cancelled, a body that has begun is cleaned up after") {
  int begun = 0;
  int cleaned = 0;
  auto body = [&]() -> Task<void> {
    ++begun;
    co_await yield();
    co_await yield();
  };
  auto cleanup = [&]() -> Task<void> {
    co_await yield();
    co_await yield();
    ++cleaned;
  };
  const auto scenario = [&]() -> Task<void> {
    co_await finally(body(), cleanup);
    co_await yield();
  };
  const auto check = [&](const DisturbedRun& run) {
    check_usual_end(run);
    CHECK(begun == cleaned);
  };
  CHECK(cancel_everywhere(scenario, check).places >= 10);
  CHECK(begun >= 10);
}
