// task_group: children that can't outlive it, and everything that failed.
// SPDX-License-Identifier: MIT
#include "../../../runtime/task/task_group.hpp"

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../support/on_selectors.hpp"
#include "../../support/turns.hpp"

using namespace heddle;
using namespace heddle::detail;
using heddle::test::run_here;
using namespace std::chrono_literals;

namespace {

using Log = std::vector<std::string>;

Task<void> for_ever() { co_await sleep(std::nullopt); }

Task<void> fail_after(int turns, const char* message) {
  for (int i = 0; i < turns; ++i) co_await yield();
  throw std::runtime_error(message);
}

Task<void> log_end(Log& log, const char* name) {
  try {
    co_await sleep(std::nullopt);
  } catch (const Cancelled&) {
    log.push_back(std::string(name) + " cancelled");
    throw;
  }
}

std::vector<std::string> messages(const ExceptionGroup& group) {
  std::vector<std::string> all;
  for (const std::exception_ptr& error : group.exceptions()) {
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& exception) {
      all.push_back(exception.what());
    } catch (...) {
      all.push_back("?");
    }
  }
  return all;
}

// What failed in a group with this body.
template <class Body>
Task<std::vector<std::string>> failures(Body body) {
  try {
    co_await task_group(body);
  } catch (const ExceptionGroup& group) {
    co_return messages(group);
  }
  co_return std::vector<std::string>();
}

}  // namespace

TEST_CASE("a group ends when its last child does, and yields what its body returns") {
  run_here([]() -> Task<void> {
    Log log;
    auto child = [](Log& out, int turns) -> Task<void> {
      for (int i = 0; i < turns; ++i) co_await yield();
      out.push_back("child " + std::to_string(turns));
    };
    auto body = [&](TaskGroup& group) -> Task<std::unique_ptr<int>> {
      group.spawn(child(log, 3));
      group.spawn(child(log, 1));
      log.push_back("body");
      co_return std::make_unique<int>(4);
    };
    const std::unique_ptr<int> result = co_await task_group(body);
    CHECK(*result == 4);
    CHECK(log == Log{"body", "child 1", "child 3"});
  });
}

TEST_CASE("a group without children ends with its body") {
  run_here([]() -> Task<void> {
    auto body = [](TaskGroup&) -> Task<int> { co_return 1; };
    const int result = co_await task_group(body);
    CHECK(result == 1);
  });
}

TEST_CASE("a child's result is got by its handle, in the body and after the group") {
  run_here([]() -> Task<void> {
    auto doubles = [](int n) -> Task<int> {
      co_await yield();
      co_return 2 * n;
    };
    JoinHandle<int> kept;
    auto body = [&](TaskGroup& group) -> Task<int> {
      kept = group.spawn(doubles(4));
      auto handle = group.spawn(doubles, 5);
      co_return co_await handle;
    };
    const int result = co_await task_group(body);
    CHECK(result == 10);
    CHECK(kept.result() == 8);
  });
}

TEST_CASE(
    "the first child that fails cancels its siblings and the body, and all have ended when that is thrown") {
  run_here([]() -> Task<void> {
    Log log;
    auto body = [&](TaskGroup& group) -> Task<void> {
      group.spawn(log_end(log, "a"));
      group.spawn(fail_after(2, "broken"));
      group.spawn(log_end(log, "b"));
      co_await log_end(log, "body");
    };
    const auto failed = co_await failures(body);
    CHECK(failed == Log{"broken"});
    REQUIRE(log.size() == 3);
    CHECK(std::count(log.begin(), log.end(), "a cancelled") == 1);
    CHECK(std::count(log.begin(), log.end(), "b cancelled") == 1);
    CHECK(std::count(log.begin(), log.end(), "body cancelled") == 1);
    CHECK(current.task->cancel_requests() == 0);
    co_await yield();
  });
}

TEST_CASE("a child that fails after the body has returned is thrown too") {
  run_here([]() -> Task<void> {
    Log log;
    auto body = [&](TaskGroup& group) -> Task<int> {
      group.spawn(log_end(log, "a"));
      group.spawn(fail_after(3, "late"));
      co_return 1;
    };
    std::vector<std::string> failed;
    try {
      co_await task_group(body);
    } catch (const ExceptionGroup& group) {
      failed = messages(group);
    }
    CHECK(failed == Log{"late"});
    CHECK(log == Log{"a cancelled"});
  });
}

TEST_CASE("a body that throws cancels the children, and its error is in the group") {
  run_here([]() -> Task<void> {
    Log log;
    auto body = [&](TaskGroup& group) -> Task<void> {
      group.spawn(log_end(log, "a"));
      co_await yield();
      throw std::runtime_error("body");
    };
    const auto failed = co_await failures(body);
    CHECK(failed == Log{"body"});
    CHECK(log == Log{"a cancelled"});
  });
}

TEST_CASE("everything that failed is in the group, in the order in which it did") {
  run_here([]() -> Task<void> {
    // Those that are cancelled fail in their turn.
    auto fails_when_cancelled = [](const char* message) -> Task<void> {
      try {
        co_await sleep(std::nullopt);
      } catch (const Cancelled&) {
      }
      throw std::runtime_error(message);
    };
    auto body = [&](TaskGroup& group) -> Task<void> {
      group.spawn(fails_when_cancelled("second or third"));
      group.spawn(fails_when_cancelled("second or third"));
      group.spawn(fail_after(1, "first"));
      co_await fails_when_cancelled("body");
    };
    std::string what;
    std::vector<std::string> failed;
    try {
      co_await task_group(body);
    } catch (const ExceptionGroup& group) {
      failed = messages(group);
      what = group.what();
    }
    REQUIRE(failed.size() == 4);
    CHECK(failed.front() == "first");
    CHECK(std::count(failed.begin(), failed.end(), "second or third") == 2);
    CHECK(std::count(failed.begin(), failed.end(), "body") == 1);
    CHECK_THAT(what, Catch::Matchers::StartsWith("4 errors in a TaskGroup: first; "));
  });
}

TEST_CASE("a child's error that the body lets pass is in the group once") {
  run_here([]() -> Task<void> {
    auto body = [](TaskGroup& group) -> Task<void> {
      auto child = group.spawn(fail_after(1, "once"));
      co_await child;
    };
    const auto failed = co_await failures(body);
    CHECK(failed == Log{"once"});
    CHECK(current.task->cancel_requests() == 0);
    co_await yield();
  });
}

TEST_CASE("a child that the body has cancelled is no failure") {
  run_here([]() -> Task<void> {
    auto body = [](TaskGroup& group) -> Task<int> {
      auto child = group.spawn(for_ever());
      co_await yield();
      child.cancel();
      co_return 2;
    };
    const int result = co_await task_group(body);
    CHECK(result == 2);
  });
}

TEST_CASE("TaskGroup::cancel stops the children and not the body") {
  run_here([]() -> Task<void> {
    Log log;
    auto body = [&](TaskGroup& group) -> Task<int> {
      group.spawn(log_end(log, "a"));
      group.spawn(log_end(log, "b"));
      co_await yield();
      group.cancel();
      co_await yield();
      co_return static_cast<int>(log.size());
    };
    const int ended = co_await task_group(body);
    CHECK(ended == 2);
  });
}

TEST_CASE("cancelling the caller cancels the children and waits for their cleanup") {
  run_here([]() -> Task<void> {
    Log log;
    auto slow_cleanup = [](Log& out) -> Task<void> {
      try {
        co_await sleep(std::nullopt);
      } catch (const Cancelled&) {
      }
      co_await sleep(2ms);
      out.push_back("cleaned");
      throw Cancelled();
    };
    for (const bool body_waits : {true, false}) {
      log.clear();
      auto parent = [&](bool waits) -> Task<void> {
        auto body = [&](TaskGroup& group) -> Task<void> {
          group.spawn(slow_cleanup(log));
          if (waits) co_await sleep(std::nullopt);
        };
        co_await task_group(body);
        log.push_back("not stopped");
      };
      auto handle = spawn(parent(body_waits));
      co_await yield();
      co_await yield();
      handle.cancel();
      while (!handle.done()) co_await sleep(1ms);
      CHECK(handle.cancelled());
      CHECK(log == Log{"cleaned"});
    }
  });
}

TEST_CASE("errors of children are not lost when the caller was cancelled, and the request isn't either") {
  run_here([]() -> Task<void> {
    Log log;
    auto fails_when_cancelled = []() -> Task<void> {
      try {
        co_await sleep(std::nullopt);
      } catch (const Cancelled&) {
      }
      throw std::runtime_error("cleanup failed");
    };
    auto parent = [&]() -> Task<void> {
      auto body = [&](TaskGroup& group) -> Task<void> {
        group.spawn(fails_when_cancelled());
        co_await sleep(std::nullopt);
      };
      try {
        co_await task_group(body);
      } catch (const ExceptionGroup& group) {
        log = messages(group);
      }
      co_await yield();
      log.push_back("not stopped");
    };
    auto handle = spawn(parent());
    co_await yield();
    co_await yield();
    handle.cancel();
    for (int i = 0; i < 6; ++i) co_await yield();
    CHECK(handle.cancelled());
    CHECK(log == Log{"cleanup failed"});
  });
}

TEST_CASE("a child may spawn into its group, and the group waits for that too") {
  run_here([]() -> Task<void> {
    Log log;
    struct Tree {
      static Task<void> grow(TaskGroup& group, Log& out, int depth) {
        co_await yield();
        out.push_back(std::to_string(depth));
        if (depth > 0) group.spawn(grow(group, out, depth - 1));
      }
    };
    auto body = [&](TaskGroup& group) -> Task<void> {
      group.spawn(Tree::grow(group, log, 3));
      co_return;
    };
    co_await task_group(body);
    CHECK(log == Log{"3", "2", "1", "0"});
  });
}

TEST_CASE("spawning into a group that has ended is a logic_error") {
  run_here([]() -> Task<void> {
    // The last chance to do it: while the children's handles and the group's frame still are.
    struct Spawner {
      TaskGroup* group = nullptr;
      std::string* message = nullptr;
      ~Spawner() {
        if (group == nullptr) return;
        try {
          group->spawn(for_ever());
        } catch (const std::logic_error& error) {
          *message = error.what();
        }
      }
    };
    std::string message;
    auto body = [&message](TaskGroup& group) -> Task<std::unique_ptr<Spawner>> {
      auto late = std::make_unique<Spawner>();
      late->group = &group;
      late->message = &message;
      group.spawn(fail_after(1, "so that the result is dropped after the end"));
      co_return late;
    };
    bool failed = false;
    try {
      co_await task_group(body);
    } catch (const ExceptionGroup&) {
      failed = true;
    }
    CHECK(failed);
    CHECK(message == "spawn() into a TaskGroup that has ended");
  });
}

TEST_CASE("a task that is spawned into a group that has failed is cancelled at once") {
  run_here([]() -> Task<void> {
    bool entered = false;
    auto late = [](bool& flag) -> Task<void> {
      flag = true;
      co_await sleep(1s);
    };
    auto body = [&](TaskGroup& group) -> Task<void> {
      group.spawn(fail_after(1, "broken"));
      try {
        co_await sleep(std::nullopt);
      } catch (const Cancelled&) {
      }
      group.spawn(late(entered));
      co_await yield();
    };
    const auto began = std::chrono::steady_clock::now();
    const auto failed = co_await failures(body);
    CHECK(failed == Log{"broken"});
    CHECK_FALSE(entered);
    CHECK(std::chrono::steady_clock::now() - began < 900ms);
  });
}

TEST_CASE("groups nest: the inner one's failure is one error of the outer one") {
  run_here([]() -> Task<void> {
    Log log;
    auto inner = [](TaskGroup& group) -> Task<void> {
      group.spawn(fail_after(1, "deep"));
      co_await sleep(std::nullopt);
    };
    auto outer = [&](TaskGroup& group) -> Task<void> {
      group.spawn(log_end(log, "sibling"));
      auto runs_inner = [&]() -> Task<void> { co_await task_group(inner); };
      co_await group.spawn(runs_inner());
    };
    const auto failed = co_await failures(outer);
    CHECK(failed == Log{"1 error in a TaskGroup: deep"});
    CHECK(log == Log{"sibling cancelled"});
    CHECK(current.task->cancel_requests() == 0);
    co_await yield();
  });
}

TEST_CASE("a timeout around a group stops all of it") {
  run_here([]() -> Task<void> {
    Log log;
    auto body = [&](TaskGroup& group) -> Task<void> {
      group.spawn(log_end(log, "a"));
      group.spawn(log_end(log, "b"));
      co_return;
    };
    bool expired = false;
    try {
      co_await timeout(1ms, task_group(body));
    } catch (const TimeoutError&) {
      expired = true;
    }
    CHECK(expired);
    CHECK(log.size() == 2);
    CHECK(current.task->cancel_requests() == 0);
  });
}

TEST_CASE("a thousand children end before their group does") {
  run_here([]() -> Task<void> {
    int alive = 0;
    auto child = [](int& count, int turns) -> Task<void> {
      ++count;
      for (int i = 0; i < turns; ++i) co_await yield();
      --count;
    };
    auto body = [&](TaskGroup& group) -> Task<void> {
      for (int i = 0; i < 1000; ++i) group.spawn(child(alive, i % 7));
      co_await yield();
      CHECK(alive > 0);
    };
    co_await task_group(body);
    CHECK(alive == 0);
  });
}

TEST_CASE("who has gone on after a Cancelled gets no other from a group whose child fails") {
  run_here([]() -> Task<void> {
    std::string end;
    auto fails = []() -> Task<void> {
      co_await yield();
      throw std::runtime_error("failed");
    };
    auto group_body = [&](TaskGroup& group) -> Task<void> {
      group.spawn(fails());
      co_await sleep(1h);
    };
    auto body = [&]() -> Task<void> {
      end = co_await test::end_of(sleep(1h));
      end += ", " + co_await test::end_of(task_group(group_body));
      co_await yield();
      end += ", goes on";
    };
    auto handle = spawn(body());
    co_await test::turns(2);
    handle.cancel();
    co_await handle;
    CHECK(end == "cancelled, 1 error in a TaskGroup: failed, goes on");
  });
}

TEST_CASE("a group asks each child once, whatever ends it, so that their cleanup is not cut off") {
  enum class Ending { CHILD_FAILS, BODY_FAILS, CALLER_IS_STOPPED };
  for (const Ending ending : {Ending::CHILD_FAILS, Ending::BODY_FAILS, Ending::CALLER_IS_STOPPED})
    run_here([&]() -> Task<void> {
      std::vector<unsigned> requests;
      const auto cleans_up = [](std::vector<unsigned>& out) -> Task<void> {
        bool stopped = false;
        try {
          co_await sleep(1h);
        } catch (const Cancelled&) {
          stopped = true;
        }
        for (int i = 0; stopped && i < 5; ++i) co_await yield();
        out.push_back(current_task().cancelling());
      };
      const auto fails = []() -> Task<void> {
        co_await yield();
        throw std::runtime_error("failed");
      };
      const auto groups = [&]() -> Task<void> {
        co_await task_group([&](TaskGroup& group) -> Task<void> {
          for (int i = 0; i < 3; ++i) group.spawn(cleans_up(requests));
          if (ending == Ending::CHILD_FAILS) group.spawn(fails());
          if (ending == Ending::BODY_FAILS) {
            co_await yield();
            throw std::runtime_error("failed");
          }
          co_await sleep(1h);
        });
      };
      auto grouping = spawn(groups());
      for (int i = 0; i < 3; ++i) co_await yield();
      if (ending == Ending::CALLER_IS_STOPPED) grouping.cancel();
      while (!grouping.done()) co_await yield();
      CHECK((grouping.error() != nullptr) == (ending != Ending::CALLER_IS_STOPPED));
      CHECK(requests == std::vector<unsigned>{1, 1, 1});
    });
}

TEST_CASE("a group leaves its parent no Cancelled that nobody has asked for") {
  run_here([]() -> Task<void> {
    const auto sleeps = []() -> Task<void> { co_await sleep(1h); };
    const auto fails_in_cleanup = []() -> Task<void> {
      try {
        co_await sleep(1h);
      } catch (const Cancelled&) {
        throw std::runtime_error("cleanup failed");
      }
    };
    bool failed = false;
    try {
      co_await task_group([&](TaskGroup& group) -> Task<void> {
        auto first = group.spawn(sleeps());
        group.spawn(fails_in_cleanup());
        co_await yield();
        first.cancel();
        co_await first;
      });
    } catch (const ExceptionGroup& errors) {
      failed = errors.exceptions().size() == 1;
    }
    CHECK(failed);
    CHECK(current_task().cancelling() == 0);
    co_await sleep(1ms);
  });
}
