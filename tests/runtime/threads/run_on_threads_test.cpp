// run_on_threads: one loop per thread, one end for all.
// SPDX-License-Identifier: MIT
#include "../../../runtime/threads/run_on_threads.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../../../runtime/loop/signals.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/task_group.hpp"
#include "../../../selector/errors.hpp"
#include "../../support/default_signal.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;
using namespace std::chrono_literals;

ON_SELECTORS("each index runs on a thread and a loop of its own, the first on the caller's") {
  std::mutex mutex;
  std::set<std::thread::id> threads;
  std::set<EventLoop*> loops;
  std::set<std::size_t> indices;
  std::atomic<int> arrived = 0;
  const auto here = std::this_thread::get_id();
  run_on_threads(
      4,
      [&](std::size_t index) -> Task<void> {
        {
          const std::lock_guard lock(mutex);
          threads.insert(std::this_thread::get_id());
          loops.insert(&EventLoop::running());
          indices.insert(index);
          CHECK((index == 0) == (std::this_thread::get_id() == here));
          CHECK(EventLoop::running().selector_name() == name_of(selector));
          CHECK(current.task->name() == "main " + std::to_string(index));
        }
        ++arrived;
        while (arrived < 4) co_await sleep(1ms);  // all at the same time
      },
      loop_options(selector));
  CHECK(threads.size() == 4);
  CHECK(loops.size() == 4);
  CHECK(indices == std::set<std::size_t>{0, 1, 2, 3});
}

TEST_CASE("zero threads are as many as there are processors") {
  std::atomic<std::size_t> count = 0;
  run_on_threads(0, [&](std::size_t) -> Task<void> {
    ++count;
    co_return;
  });
  CHECK(count >= 1);
  CHECK(count <= std::thread::hardware_concurrency());
}

TEST_CASE("a task that ends stops nobody") {
  std::atomic<bool> first_ended = false;
  std::atomic<int> ended = 0;
  run_on_threads(3, [&](std::size_t index) -> Task<void> {
    if (index == 0) {
      first_ended = true;
      co_return;
    }
    while (!first_ended) co_await sleep(1ms);
    co_await sleep(2ms);
    ++ended;
  });
  CHECK(ended == 2);
}

TEST_CASE("when one fails the others are cancelled, and all that failed arrives") {
  for (const std::size_t culprit : {0U, 1U, 2U}) {
    std::atomic<int> waiting = 0;
    std::atomic<int> cancelled = 0;
    std::vector<std::string> errors;
    std::string what;
    try {
      run_on_threads(3, [&](std::size_t index) -> Task<void> {
        if (index == culprit) {
          while (waiting < 2) co_await sleep(1ms);
          throw std::runtime_error("culprit");
        }
        ++waiting;
        try {
          co_await sleep(std::nullopt);
        } catch (const Cancelled&) {
          ++cancelled;
        }
        co_await yield();
        throw std::runtime_error("while stopping");
      });
    } catch (const ExceptionGroup& group) {
      what = group.what();
      for (const std::exception_ptr& error : group.exceptions())
        errors.push_back(thrown<std::runtime_error>([&] { std::rethrow_exception(error); }));
    }
    CHECK(cancelled == 2);
    CHECK(errors == std::vector<std::string>{"culprit", "while stopping", "while stopping"});
    CHECK(what == "3 errors in run_on_threads(): culprit; while stopping; while stopping");
  }
}

namespace {

Task<void> for_ever() { co_await sleep(std::nullopt); }

HEDDLE_CORO_WRAPPER Task<void> fail_at_one(std::size_t index) {
  if (index == 1) throw std::runtime_error("no task");
  return for_ever();
}

}  // namespace

TEST_CASE("a function that throws before there is a task has failed") {
  std::string what;
  try {
    run_on_threads(2, fail_at_one);
  } catch (const ExceptionGroup& group) {
    what = group.what();
  }
  CHECK(what == "1 error in run_on_threads(): no task");
}

TEST_CASE("what a thread leaves behind on its loop is cancelled and joined") {
  std::atomic<int> alive = 0;
  run_on_threads(3, [&](std::size_t) -> Task<void> {
    auto background = [](std::atomic<int>& count) -> Task<void> {
      ++count;
      try {
        co_await sleep(std::nullopt);
      } catch (const Cancelled&) {
        --count;
        throw;
      }
    };
    spawn(background(alive));
    co_await yield();
  });
  CHECK(alive == 0);
}

ON_SELECTORS("SIGINT cancels the tasks of all threads, which clean up") {
  const DefaultSignal no_handler(SIGINT);
  std::atomic<int> waiting = 0;
  std::atomic<int> cleaned = 0;
  run_on_threads(
      3,
      [&](std::size_t index) -> Task<void> {
        if (++waiting == 3) ::kill(::getpid(), SIGINT);
        try {
          co_await sleep(std::nullopt);
        } catch (const Cancelled&) {
        }
        co_await sleep(index * 1ms);
        ++cleaned;
        throw Cancelled();
      },
      loop_options(selector));
  CHECK(cleaned == 3);
}

TEST_CASE("SIGINT reaches the others when the first thread's task is long done") {
  const DefaultSignal no_handler(SIGINT);
  std::atomic<bool> first_done = false;
  std::atomic<bool> cancelled = false;
  run_on_threads(2, [&](std::size_t index) -> Task<void> {
    if (index == 0) {
      co_await yield();
      first_done = true;
      co_return;
    }
    while (!first_done) co_await sleep(1ms);
    co_await sleep(2ms);
    ::kill(::getpid(), SIGINT);
    try {
      co_await sleep(std::nullopt);
    } catch (const Cancelled&) {
      cancelled = true;
      throw;
    }
  });
  CHECK(cancelled);
}

TEST_CASE("each thread may wait for the same signal") {
  std::atomic<int> ready = 0;
  std::atomic<int> got = 0;
  run_on_threads(3, [&](std::size_t) -> Task<void> {
    SignalStream signals(SIGTERM);
    if (++ready == 3) ::kill(::getpid(), SIGTERM);
    const int signum = co_await signals.next();
    got += signum == SIGTERM;
  });
  CHECK(got == 3);
}

TEST_CASE("run_on_threads is refused within a loop, and on one custom selector for all") {
  auto nothing = [](std::size_t) -> Task<void> { co_return; };
  run_here([&]() -> Task<void> {
    CHECK_THROWS_AS(run_on_threads(1, nothing), std::logic_error);
    co_return;
  });
  auto selector = make_selector();
  LoopOptions options;
  options.custom_selector = selector.get();
  CHECK_THROWS_AS(run_on_threads(2, nothing, options), ValueError);
  run_on_threads(1, nothing, options);
  CHECK_THROWS_AS(run_on_threads(2, nothing, loop_options("no such selector")), ValueError);
}
