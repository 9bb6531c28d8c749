// to_thread: blocking work on another thread.
// SPDX-License-Identifier: MIT
#include "../../../runtime/threads/to_thread.hpp"

#include <signal.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../../../runtime/task/gather.hpp"
#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

std::string join(std::string a, const std::string& b) { return a + b; }

// Blocks its thread until it is opened.
struct Gate {
  std::atomic<int> entered = 0;
  std::atomic<bool> open = false;
  std::atomic<int> left = 0;

  void pass() {
    ++entered;
    while (!open) std::this_thread::sleep_for(1ms);
    ++left;
  }
};

void pass(std::shared_ptr<Gate> gate) { gate->pass(); }

}  // namespace

ON_SELECTORS("to_thread runs on another thread and brings the result back") {
  run_on(selector, []() -> Task<void> {
    const auto here = std::this_thread::get_id();
    const auto there = co_await to_thread([] { return std::this_thread::get_id(); });
    CHECK(there != here);
    CHECK(std::this_thread::get_id() == here);
    auto work = to_thread(join, std::string("a"), std::string("b"));
    const std::string text = co_await work;
    CHECK(text == "ab");
  });
}

TEST_CASE("to_thread takes and yields what only moves") {
  run_here([]() -> Task<void> {
    auto doubles = [](std::unique_ptr<int> n) { return std::make_unique<int>(2 * *n); };
    auto work = to_thread(doubles, std::make_unique<int>(21));
    const std::unique_ptr<int> result = co_await work;
    CHECK(*result == 42);
  });
}

TEST_CASE("to_thread throws what the function throws") {
  run_here([]() -> Task<void> {
    std::string message;
    try {
      co_await to_thread([]() -> int { throw std::runtime_error("over there"); });
    } catch (const std::runtime_error& error) {
      message = error.what();
    }
    CHECK(message == "over there");
    message.clear();
    try {
      co_await to_thread([] { throw std::runtime_error("void"); });
    } catch (const std::runtime_error& error) {
      message = error.what();
    }
    CHECK(message == "void");
  });
}

TEST_CASE("the loop goes on while a thread works") {
  run_here([]() -> Task<void> {
    auto gate = std::make_shared<Gate>();
    auto works = [](std::shared_ptr<Gate> it) -> Task<void> {
      auto work = to_thread(pass, it);
      co_await work;
    };
    auto handle = spawn(works(gate));
    while (gate->entered == 0) co_await sleep(1ms);
    CHECK_FALSE(handle.done());
    gate->open = true;
    co_await handle;
    CHECK(gate->left == 1);
  });
}

TEST_CASE("several calls run at the same time") {
  run_here([]() -> Task<void> {
    auto gate = std::make_shared<Gate>();
    auto works = [](std::shared_ptr<Gate> it) -> Task<void> {
      auto work = to_thread(pass, it);
      co_await work;
    };
    std::vector<Task<void>> tasks;
    for (int i = 0; i < 4; ++i) tasks.push_back(works(gate));
    auto all = spawn(gather(std::move(tasks)));
    while (gate->entered != 4) co_await sleep(1ms);
    gate->open = true;
    co_await all;
    CHECK(gate->left == 4);
  });
}

TEST_CASE("five hundred calls all come back, on no more than a few threads") {
  run_here([]() -> Task<void> {
    std::mutex mutex;
    std::set<std::thread::id> threads;
    auto work = [&](int n) {
      const std::lock_guard lock(mutex);
      threads.insert(std::this_thread::get_id());
      return n;
    };
    auto one = [&](int n) -> Task<int> { co_return co_await to_thread([&work, n] { return work(n); }); };
    std::vector<Task<int>> tasks;
    for (int i = 0; i < 500; ++i) tasks.push_back(one(i));
    const std::vector<int> results = co_await gather(std::move(tasks));
    long sum = 0;
    for (const int n : results) sum += n;
    CHECK(sum == 499 * 500 / 2);
    CHECK(threads.size() <= 32);
  });
}

TEST_CASE("a call that wasn't begun when its task was cancelled is never made") {
  run_here([]() -> Task<void> {
    // As many as the pool has threads are kept busy, so the next call has to wait.
    auto gate = std::make_shared<Gate>();
    auto works = [](std::shared_ptr<Gate> it) -> Task<void> {
      auto work = to_thread(pass, it);
      co_await work;
    };
    std::vector<JoinHandle<void>> busy;
    for (int i = 0; i < 40; ++i) busy.push_back(spawn(works(gate)));
    int entered = -1;
    while (entered != gate->entered) {
      entered = gate->entered;
      co_await sleep(20ms);
    }
    REQUIRE(entered > 0);
    REQUIRE(entered <= 32);
    auto made = std::make_shared<std::atomic<bool>>(false);
    auto never = [](std::shared_ptr<std::atomic<bool>> flag) -> Task<void> {
      auto work = to_thread([flag] { *flag = true; });
      co_await work;
    };
    auto handle = spawn(never(made));
    co_await yield();
    handle.cancel();
    co_await yield();
    co_await yield();
    CHECK(handle.cancelled());
    gate->open = true;
    for (auto& each : busy) co_await each;
    CHECK(gate->left == 40);
    CHECK_FALSE(*made);
    // What is abandoned is destroyed.
    while (made.use_count() != 1) co_await sleep(1ms);
  });
}

TEST_CASE("a timeout abandons the call, and its late result harms nobody") {
  run_here([]() -> Task<void> {
    auto gate = std::make_shared<Gate>();
    auto work = to_thread(
        [](std::shared_ptr<Gate> it) {
          it->pass();
          return std::string(1000, 'x');
        },
        gate);
    auto waits = [&]() -> Task<std::size_t> { co_return (co_await work).size(); };
    bool expired = false;
    try {
      co_await timeout(5ms, waits());
    } catch (const TimeoutError&) {
      expired = true;
    }
    CHECK(expired);
    gate->open = true;
    co_await sleep(5ms);
  });
}

ON_SELECTORS("a loop that closes doesn't wait for a call that runs, and what that returns is dropped") {
  auto gate = std::make_shared<Gate>();
  run_on(selector, [&]() -> Task<void> {
    auto works = [](std::shared_ptr<Gate> it) -> Task<void> {
      auto work = to_thread(
          [](std::shared_ptr<Gate> g) {
            g->pass();
            return std::make_unique<std::string>("late");
          },
          it);
      co_await work;
    };
    spawn(works(gate));
    while (gate->entered == 0) co_await sleep(1ms);
  });
  CHECK(gate->left == 0);
  gate->open = true;
  while (gate.use_count() != 1) std::this_thread::sleep_for(1ms);
  CHECK(gate->left == 1);
}

TEST_CASE("the threads of the pool take no signals") {
  run_here([]() -> Task<void> {
    const bool blocked = co_await to_thread([] {
      sigset_t mask;
      ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
      return sigismember(&mask, SIGINT) == 1 && sigismember(&mask, SIGTERM) == 1;
    });
    CHECK(blocked);
    sigset_t mine;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &mine);
    CHECK(sigismember(&mine, SIGINT) == 0);
  });
}

TEST_CASE("an operation that is never awaited never runs") {
  run_here([]() -> Task<void> {
    auto held = std::make_shared<int>(1);
    {
      const auto never = to_thread([held] { return *held; });
      CHECK(held.use_count() == 2);
    }
    CHECK(held.use_count() == 1);
    co_return;
  });
}

TEST_CASE("what to_thread returns can be awaited once") {
  run_here([]() -> Task<void> {
    auto work = to_thread([] { return std::string(100, 'x'); });
    const std::string text = co_await work;
    CHECK(text.size() == 100);
    bool refused = false;
    try {
      co_await work;
    } catch (const std::logic_error&) {
      refused = true;
    }
    CHECK(refused);
  });
}
