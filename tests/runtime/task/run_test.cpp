// run: one loop, one main task, and nothing left over.
// SPDX-License-Identifier: MIT
#include "../../../runtime/task/run.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../../../runtime/loop/ready.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../selector/files.hpp"
#include "../../support/counting_selector.hpp"
#include "../../support/default_signal.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

Task<int> answer() {
  co_await yield();
  co_return 42;
}

Task<void> sleep_for_ever(int& cleaned) {
  try {
    co_await sleep(std::nullopt);
  } catch (const Cancelled&) {
    ++cleaned;
    throw;
  }
}

}  // namespace

ON_SELECTORS("run returns what its task returns") { CHECK(run(answer(), loop_options(selector)) == 42); }

ON_SELECTORS("the loop is on the selector that was asked for") {
  const std::string name =
      run_on(selector, []() -> Task<std::string> { co_return EventLoop::running().selector_name(); });
  CHECK(name == name_of(selector));
}

TEST_CASE("an unknown selector is a ValueError that lists the known ones") {
  CHECK_THROWS_AS(run(answer(), loop_options("teleport")), ValueError);
  CHECK_THAT(thrown<ValueError>([] { run(answer(), loop_options("teleport")); }),
             Catch::Matchers::Contains("teleport") && Catch::Matchers::Contains("poll"));
}

TEST_CASE("run inside run is an error that says what to do, and the outer goes on") {
  run_here([]() -> Task<void> {
    std::string message;
    try {
      run(answer());
    } catch (const std::logic_error& error) {
      message = error.what();
    }
    CHECK_THAT(message, Catch::Matchers::Contains("co_await or spawn()"));
    const int result = co_await answer();
    CHECK(result == 42);
  });
}

TEST_CASE("run can be called again, and on several threads at once") {
  CHECK(run(answer()) == 42);
  CHECK(run(answer()) == 42);
  int results[4] = {};
  {
    std::vector<std::jthread> threads;
    for (int& result : results) threads.emplace_back([&result] { result = run(answer()); });
  }
  for (const int result : results) CHECK(result == 42);
}

ON_SELECTORS("tasks that are still alive when main returns are cancelled and joined") {
  int cleaned = 0;
  const int before = open_descriptors();
  run_on(selector, [&]() -> Task<void> {
    for (int i = 0; i < 3; ++i) spawn(sleep_for_ever(cleaned));
    co_await yield();
  });
  CHECK(cleaned == 3);
  CHECK(open_descriptors() <= before);  // fewer when a thread of the pool has let go of a loop
}

TEST_CASE("tasks that are still alive when main throws are cancelled and joined") {
  int cleaned = 0;
  auto body = [&]() -> Task<void> {
    spawn(sleep_for_ever(cleaned));
    co_await yield();
    throw std::runtime_error("main failed");
  };
  CHECK_THROWS_WITH(run(body()), "main failed");
  CHECK(cleaned == 1);
}

TEST_CASE("a task may await while it cleans up after main has returned") {
  std::vector<int> steps;
  run_here([&]() -> Task<void> {
    auto cleans = [](std::vector<int>& log) -> Task<void> {
      try {
        co_await sleep(std::nullopt);
      } catch (const Cancelled&) {
        log.push_back(1);
      }
      co_await sleep(1ms);
      co_await yield();
      log.push_back(2);
    };
    spawn(cleans(steps));
    co_await yield();
  });
  CHECK(steps == std::vector<int>{1, 2});
}

TEST_CASE("a task that is spawned while the loop closes is cancelled at once") {
  int cleaned = 0;
  bool entered = false;
  run_here([&]() -> Task<void> {
    auto spawns = [](bool& late) -> Task<void> {
      try {
        co_await sleep(std::nullopt);
      } catch (const Cancelled&) {
      }
      auto child = [](bool& entered_late) -> Task<void> {
        entered_late = true;
        co_await sleep(std::nullopt);
      };
      spawn(child(late));
    };
    spawn(spawns(entered));
    spawn(sleep_for_ever(cleaned));
    co_await yield();
  });
  CHECK_FALSE(entered);
  CHECK(cleaned == 1);
}

TEST_CASE("main that is cancelled from inside throws Cancelled out of run") {
  auto body = []() -> Task<void> {
    current.task->cancel();
    co_await yield();
  };
  CHECK_THROWS_AS(run(body()), Cancelled);
}

ON_SELECTORS("SIGINT ends a run that has no result normally, after its cleanup") {
  const DefaultSignal guard(SIGINT);
  bool cleaned = false;
  run_on(selector, [&]() -> Task<void> {
    ::raise(SIGINT);
    try {
      co_await sleep(std::nullopt);
    } catch (const Cancelled&) {
    }
    co_await yield();
    cleaned = true;
    throw Cancelled();
  });
  CHECK(cleaned);
}

ON_SELECTORS("SIGINT wakes a loop that sleeps") {
  const DefaultSignal guard(SIGINT);
  const pthread_t target = ::pthread_self();
  std::jthread killer([target] {
    std::this_thread::sleep_for(20ms);
    ::pthread_kill(target, SIGINT);
  });
  run_on(selector, []() -> Task<void> { co_await sleep(std::nullopt); });
  SUCCEED("it ended");
}

TEST_CASE("SIGINT makes a run that should have a result throw Interrupted") {
  const DefaultSignal guard(SIGINT);
  auto body = []() -> Task<int> {
    ::raise(SIGINT);
    co_await sleep(std::nullopt);
    co_return 1;
  };
  CHECK_THROWS_AS(run(body()), Interrupted);
}

TEST_CASE("a task that finishes in spite of SIGINT delivers its result") {
  const DefaultSignal guard(SIGINT);
  CHECK(run_here([]() -> Task<int> {
          ::raise(SIGINT);
          try {
            co_await sleep(std::nullopt);
          } catch (const Cancelled&) {
          }
          co_return 5;
        }) == 5);
}

TEST_CASE("the handler of SIGINT is as it was after run") {
  const DefaultSignal guard(SIGINT);
  run_here([]() -> Task<void> {
    ::raise(SIGINT);
    co_await sleep(std::nullopt);
  });
  struct sigaction now = {};
  ::sigaction(SIGINT, nullptr, &now);
  CHECK(now.sa_handler == SIG_DFL);
}

TEST_CASE("a handler of SIGINT that was there before is left alone") {
  static volatile sig_atomic_t seen = 0;
  struct sigaction mine = {};
  struct sigaction before = {};
  mine.sa_handler = [](int) { seen = seen + 1; };
  ::sigaction(SIGINT, &mine, &before);
  CHECK(run_here([]() -> Task<int> {
          ::raise(SIGINT);
          co_await sleep(1ms);
          co_return 3;
        }) == 3);
  ::sigaction(SIGINT, &before, nullptr);
  CHECK(seen == 1);
}

TEST_CASE("a second SIGINT ends the process") {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::signal(SIGINT, SIG_DFL);
    run_here([]() -> Task<void> {
      ::raise(SIGINT);
      for (;;) {
        try {
          co_await sleep(std::nullopt);
        } catch (const Cancelled&) {
          ::raise(SIGINT);
          ::_exit(3);  // it should not come here
        }
      }
    });
    ::_exit(4);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGINT));
}

TEST_CASE("run on a selector of the caller's leaves it as it was") {
  const auto mine = make_selector();
  LoopOptions options;
  options.custom_selector = mine.get();
  const Pair pair = Pair::sockets();
  auto body = [&]() -> Task<void> {
    auto waits = [](int fd) -> Task<void> { co_await readable(fd); };
    spawn(waits(pair.a.fileno()));
    co_await yield();
    CHECK(mine->get_map().size() == 2);
  };
  run(body(), options);
  CHECK(mine->get_map().size() == 0);
  CHECK_FALSE(mine->closed());
}

TEST_CASE("a loop that can't register its own descriptor says so and leaks nothing") {
  CountingSelector failing("default");
  failing.fail_register_with = ENOSPC;
  LoopOptions options;
  options.custom_selector = &failing;
  const int before = open_descriptors();
  CHECK_THROWS_AS(run(answer(), options), std::system_error);
  CHECK(open_descriptors() <= before);  // fewer when a thread of the pool has let go of a loop
}
