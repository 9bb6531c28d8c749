// ThreadPool: a bounded number of threads, StopToken, shutdown.
// SPDX-License-Identifier: MIT
#include "../../../runtime/threads/thread_pool.hpp"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../../../runtime/task/gather.hpp"
#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../../runtime/task/wait.hpp"
#include "../../../runtime/testing/testing.hpp"
#include "../../../runtime/threads/to_thread.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

// Blocks its thread until it is opened.
struct Gate {
  std::atomic<int> entered = 0;
  std::atomic<bool> open = false;

  int pass() {
    const int place = ++entered;
    while (!open) std::this_thread::sleep_for(1ms);
    return place;
  }
};

int pass(std::shared_ptr<Gate> gate) { return gate->pass(); }

Task<int> run_pass(ThreadPool& pool, std::shared_ptr<Gate> gate) {
  auto work = pool.run(pass, gate);
  co_return co_await work;
}

template <class Condition>
Task<void> until(Condition condition) {
  while (!condition()) co_await sleep(1ms);
}

}  // namespace

ON_SELECTORS("a pool runs no more calls at a time than it has threads, in order") {
  ThreadPool pool(2);
  run_on(selector, [&]() -> Task<void> {
    std::atomic<int> running = 0;
    std::atomic<int> most = 0;
    std::mutex mutex;
    std::vector<int> order;
    auto one = [&](int id) -> Task<int> {
      co_return co_await pool.run([&, id] {
        {
          const std::lock_guard lock(mutex);
          order.push_back(id);
        }
        const int now = ++running;
        int seen = most;
        while (now > seen && !most.compare_exchange_weak(seen, now)) {
        }
        std::this_thread::yield();
        --running;
        return id;
      });
    };
    std::vector<Task<int>> tasks;
    for (int i = 0; i < 100; ++i) tasks.push_back(one(i));
    const std::vector<int> results = co_await gather(std::move(tasks));
    for (int i = 0; i < 100; ++i) CHECK(results[static_cast<std::size_t>(i)] == i);
    CHECK(most <= 2);
    CHECK(pool.threads() <= 2);
    CHECK(order.size() == 100);
  });
}

TEST_CASE("a pool of one thread makes calls one after the other, in the order in which they were awaited") {
  ThreadPool pool(1);
  run_here([&]() -> Task<void> {
    std::vector<int> order;  // only the one thread writes to it
    auto one = [&](int id) -> Task<void> { co_await pool.run([&order, id] { order.push_back(id); }); };
    std::vector<Task<void>> tasks;
    for (int i = 0; i < 50; ++i) tasks.push_back(one(i));
    co_await gather(std::move(tasks));
    REQUIRE(order.size() == 50);
    for (int i = 0; i < 50; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
  });
}

TEST_CASE("a call that finds the queue of its pool full is refused, and the others go on") {
  ThreadPool pool(1, 2, "small");
  run_here([&]() -> Task<void> {
    auto gate = std::make_shared<Gate>();
    std::vector<JoinHandle<int>> handles;
    handles.push_back(spawn(run_pass(pool, gate)));
    co_await until([&] { return gate->entered == 1; });
    for (int i = 0; i < 3; ++i) handles.push_back(spawn(run_pass(pool, gate)));
    co_await until([&] { return handles.back().done(); });
    CHECK(pool.queued() == 2);
    CHECK_THROWS_WITH(handles.back().result(),
                      "all 1 threads of a ThreadPool are busy, and 2 calls wait for one");
    handles.pop_back();
    // Who gives up makes room.
    handles.back().cancel();
    co_await until([&] { return handles.back().done(); });
    CHECK(pool.queued() == 1);
    handles.back() = spawn(run_pass(pool, gate));
    co_await yield();
    co_await yield();
    CHECK(pool.queued() == 2);
    gate->open = true;
    for (std::size_t i = 0; i < handles.size(); ++i) {
      const int place = co_await handles[i];
      CHECK(place == static_cast<int>(i) + 1);
    }
  });
}

TEST_CASE("a call that is cancelled before it begins never does, and what it owns is gone at once") {
  ThreadPool pool(1);
  run_here([&]() -> Task<void> {
    auto gate = std::make_shared<Gate>();
    auto busy = spawn(run_pass(pool, gate));
    co_await until([&] { return gate->entered == 1; });
    auto made = std::make_shared<std::atomic<int>>(0);
    std::vector<JoinHandle<void>> waiting;
    auto one = [](ThreadPool& in, std::shared_ptr<std::atomic<int>> count) -> Task<void> {
      auto work = in.run([count] { ++*count; });
      count.reset();
      co_await work;
    };
    for (int i = 0; i < 5; ++i) waiting.push_back(spawn(one(pool, made)));
    co_await until([&] { return pool.queued() == 5; });
    for (const std::size_t i : {4U, 0U, 2U}) waiting[i].cancel();
    co_await wait(ReturnWhen::ALL_COMPLETED, {}, waiting[0], waiting[2], waiting[4]);
    CHECK(pool.queued() == 2);
    CHECK(made.use_count() == 3);
    gate->open = true;
    co_await busy;
    co_await wait(waiting);
    CHECK(*made == 2);
    CHECK(waiting[0].cancelled());
    CHECK_FALSE(waiting[1].cancelled());
  });
}

TEST_CASE("a function that takes a StopToken is told to stop and waited for") {
  ThreadPool pool(1);
  run_here([&]() -> Task<void> {
    std::atomic<bool> entered = false;
    bool left = false;  // the wait for the thread makes that safe
    auto body = [&]() -> Task<int> {
      co_return co_await pool.run(
          [&](StopToken stop, int n) {
            entered = true;
            while (!stop.stop_requested()) std::this_thread::sleep_for(1ms);
            std::this_thread::sleep_for(5ms);
            left = true;
            stop.check();
            return n;
          },
          3);
    };
    auto handle = spawn(body());
    co_await until([&] { return entered.load(); });
    handle.cancel();
    co_await wait(ReturnWhen::ALL_COMPLETED, {}, handle);
    CHECK(handle.cancelled());
    CHECK(left);

    entered = false;
    bool expired = false;
    try {
      co_await timeout(1ms, body());
    } catch (const TimeoutError&) {
      expired = true;
    }
    CHECK(expired);
    CHECK(current.task->cancel_requests() == 0);
  });
}

TEST_CASE(
    "what a function returns in spite of being told to stop is delivered, and the request is not lost") {
  ThreadPool pool(1);
  run_here([&]() -> Task<void> {
    std::atomic<bool> entered = false;
    auto stubborn = [&](StopToken stop) {
      entered = true;
      while (!stop.stop_requested()) std::this_thread::sleep_for(1ms);
      return 7;
    };
    int result = 0;
    bool went_on = false;
    auto body = [&]() -> Task<void> {
      result = co_await pool.run(stubborn);
      co_await yield();
      went_on = true;
    };
    auto handle = spawn(body());
    co_await until([&] { return entered.load(); });
    handle.cancel();
    co_await wait(ReturnWhen::ALL_COMPLETED, {}, handle);
    CHECK(result == 7);
    CHECK_FALSE(went_on);
    CHECK(handle.cancelled());
    // A timeout's request ends with the timeout.
    entered = false;
    const int in_time = co_await timeout(1s, pool.run(stubborn));  // by then it has begun
    CHECK(in_time == 7);
    co_await yield();
  });
}

TEST_CASE("shutdown makes the calls that were taken and takes no more") {
  std::atomic<int> made = 0;
  run_here([&]() -> Task<void> {
    ThreadPool pool(1);
    auto one = [&]() -> Task<void> { co_await pool.run([&] { ++made; }); };
    std::vector<JoinHandle<void>> handles;
    for (int i = 0; i < 20; ++i) handles.push_back(spawn(one()));
    co_await yield();
    pool.shutdown();
    CHECK(made == 20);
    CHECK(pool.threads() == 0);
    for (auto& handle : handles) co_await handle;
    std::string refused;
    try {
      co_await one();
    } catch (const std::logic_error& error) {
      refused = error.what();
    }
    CHECK(refused == "a call was given to a ThreadPool that was shut down");
    pool.shutdown();
  });
  CHECK(made == 20);
}

#ifdef __linux__
TEST_CASE("the threads of a pool have its name") {
  ThreadPool pool(1, ThreadPool::unlimited, "a pool with a long name");
  run_here([&]() -> Task<void> {
    const std::string name = co_await pool.run([] {
      char text[32] = {};
      ::pthread_getname_np(::pthread_self(), text, sizeof text);
      return std::string(text);
    });
    CHECK(name == "a pool with a l");
  });
}
#endif

TEST_CASE("several loops share a pool, and each gets its own results") {
  ThreadPool pool(3);
  std::atomic<int> right = 0;
  std::vector<std::thread> loops;
  for (int t = 0; t < 3; ++t)
    loops.emplace_back([&, t] {
      run_here([&]() -> Task<void> {
        auto one = [&](int n) -> Task<int> { co_return co_await pool.run([n] { return n + 1; }); };
        for (int i = 0; i < 100; ++i) {
          const int result = co_await one(1000 * t + i);
          right += result == 1000 * t + i + 1;
        }
      });
    });
  for (std::thread& loop : loops) loop.join();
  CHECK(right == 300);
}

TEST_CASE("whenever the wait for a thread is cancelled nothing leaks and nothing is begun later") {
  ThreadPool pool(2);
  std::atomic<int> running = 0;
  const auto scenario = [&]() -> Task<void> {
    for (int i = 0; i < 3; ++i)
      co_await pool.run([&](StopToken) {
        ++running;
        std::this_thread::sleep_for(1ms);
        --running;
      });
  };
  const auto check = [&](const DisturbedRun& run) {
    check_usual_end(run);
    CHECK(running == 0);
  };
  DisturbOptions options;
  for (const bool from_outside : {false, true}) {
    options.from_outside = from_outside;
    CHECK(cancel_everywhere(scenario, check, options).places >= 7);
  }
}

#ifndef __SANITIZE_THREAD__  // which allows no new threads in the child
TEST_CASE("the child of a fork has a pool of its own for to_thread") {
  run_here([]() -> Task<void> {
    const int one = co_await to_thread([] { return 1; });
    CHECK(one == 1);
  });
  const pid_t child = ::fork();
  if (child == 0) {
    int result = 0;
    run_here([&]() -> Task<void> { result = co_await to_thread([] { return 7; }); });
    ::_exit(result);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 7);
}
#endif
