// signal, SignalStream, add_signal_handler: POSIX signals on event loops.
// SPDX-License-Identifier: MIT
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../../../runtime/loop/signals.hpp"
#include "../../../runtime/task/gather.hpp"
#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../../runtime/task/wait.hpp"
#include "../../../runtime/testing/testing.hpp"
#include "../../support/default_signal.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

bool is_default(int signum) {
  struct sigaction now = {};
  ::sigaction(signum, nullptr, &now);
  return now.sa_handler == SIG_DFL;
}

std::atomic<int> own_calls = 0;
void own_handler(int) { ++own_calls; }

// How a child that runs `function` ends: its status, or the signal that killed it, negative.
template <class Function>
int end_of_child(Function function) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(function());
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

ON_SELECTORS("a signal can be awaited, and does afterwards what it did before") {
  run_on(selector, []() -> Task<void> {
    auto waits = []() -> Task<int> { co_return co_await heddle::signal(SIGUSR1, SIGUSR2); };
    auto waiting = spawn(waits());
    CHECK(is_default(SIGUSR1));
    co_await yield();
    CHECK_FALSE(is_default(SIGUSR1));
    CHECK_FALSE(is_default(SIGUSR2));
    ::kill(::getpid(), SIGUSR2);
    const int got = co_await waiting;
    CHECK(got == SIGUSR2);
    CHECK(is_default(SIGUSR1));
    CHECK(is_default(SIGUSR2));
  });
}

ON_SELECTORS("a stream misses no signal between two awaits") {
  run_on(selector, []() -> Task<void> {
    SignalStream signals(SIGUSR1, SIGUSR2, SIGHUP);
    CHECK(signals.try_next() == 0);
    ::raise(SIGUSR1);
    ::raise(SIGHUP);
    ::raise(SIGUSR1);
    int times[3] = {};
    for (int i = 0; i < 3; ++i) {
      const int got = co_await signals.next();
      ++times[got == SIGUSR1 ? 0 : got == SIGHUP ? 1 : 2];
    }
    CHECK(times[0] == 2);
    CHECK(times[1] == 1);
    CHECK(signals.try_next() == 0);
    ::raise(SIGUSR2);
    const int last = co_await signals.next();
    CHECK(last == SIGUSR2);
  });
}

ON_SELECTORS("add_signal_handler calls a function on the loop until it is removed") {
  run_on(selector, []() -> Task<void> {
    EventLoop& loop = EventLoop::running();
    int calls = 0;
    bool on_loop = false;
    loop.add_signal_handler(
        SIGUSR1,
        [&](int by) {
          calls += by;
          on_loop = current.loop == &loop && current.task == nullptr;
        },
        5);
    ::raise(SIGUSR1);
    CHECK(calls == 0);
    while (calls == 0) co_await sleep(1ms);
    CHECK(calls == 5);
    CHECK(on_loop);
    loop.add_signal_handler(SIGUSR1, [&] { calls = 100; });
    ::raise(SIGUSR1);
    while (calls == 5) co_await sleep(1ms);
    CHECK(calls == 100);
    CHECK(loop.remove_signal_handler(SIGUSR1));
    CHECK_FALSE(loop.remove_signal_handler(SIGUSR1));
    CHECK(is_default(SIGUSR1));
  });
}

TEST_CASE("a handler may remove itself, and one that was removed is not called any more") {
  run_here([]() -> Task<void> {
    EventLoop& loop = EventLoop::running();
    int calls = 0;
    loop.add_signal_handler(SIGUSR1, [&] {
      ++calls;
      loop.remove_signal_handler(SIGUSR1);
      loop.remove_signal_handler(SIGUSR2);
    });
    loop.add_signal_handler(SIGUSR2, [&] { calls += 100; });
    ::raise(SIGUSR1);  // both come in one look; the lower number is called first
    ::raise(SIGUSR2);
    while (calls == 0) co_await sleep(1ms);
    co_await sleep(1ms);
    CHECK(calls == 1);
    CHECK(is_default(SIGUSR1));
    CHECK(is_default(SIGUSR2));
  });
}

TEST_CASE("a signal wakes a loop that sleeps, whichever thread it is delivered on") {
  std::promise<void> ready;
  std::atomic<bool> got = false;
  std::thread loop_thread([&] {
    run_here([&]() -> Task<void> {
      SignalStream signals(SIGUSR1);
      ready.set_value();
      const int signum = co_await signals.next();
      got = signum == SIGUSR1;
    });
  });
  ready.get_future().wait();
  ::pthread_kill(::pthread_self(), SIGUSR1);  // not the loop's
  loop_thread.join();
  CHECK(got);
  CHECK(is_default(SIGUSR1));
}

TEST_CASE("every loop that asked for a signal gets it, and so does every stream and handler of a loop") {
  constexpr int threads = 3;
  std::atomic<int> ready = 0;
  std::atomic<int> got = 0;
  std::vector<std::thread> loops;
  for (int i = 0; i < threads; ++i)
    loops.emplace_back([&] {
      run_here([&]() -> Task<void> {
        bool called = false;
        SignalStream one(SIGUSR1, SIGUSR2);
        SignalStream two(SIGUSR1);
        EventLoop::running().add_signal_handler(SIGUSR1, [&] { called = true; });
        ++ready;
        const int a = co_await one.next();
        const int b = co_await two.next();
        while (!called) co_await sleep(1ms);
        got += a == SIGUSR1 && b == SIGUSR1;
      });
    });
  while (ready < threads) std::this_thread::sleep_for(1ms);
  ::kill(::getpid(), SIGUSR1);
  for (std::thread& loop : loops) loop.join();
  CHECK(got == threads);
  CHECK(is_default(SIGUSR1));
  CHECK(is_default(SIGUSR2));
}

TEST_CASE("a handler that the program had installed is put back") {
  struct sigaction action = {};
  action.sa_handler = &own_handler;
  struct sigaction before = {};
  ::sigaction(SIGUSR1, &action, &before);
  own_calls = 0;
  run_here([]() -> Task<void> {
    SignalStream signals(SIGUSR1);
    ::raise(SIGUSR1);
    co_await signals.next();
    CHECK(own_calls == 0);
  });
  ::raise(SIGUSR1);
  CHECK(own_calls == 1);
  ::sigaction(SIGUSR1, &before, nullptr);
}

TEST_CASE("a handler that the program installs meanwhile stays") {
  struct sigaction before = {};
  own_calls = 0;
  run_here([&]() -> Task<void> {
    SignalStream signals(SIGUSR1);
    struct sigaction action = {};
    action.sa_handler = &own_handler;
    ::sigaction(SIGUSR1, &action, nullptr);
    ::raise(SIGUSR1);
    CHECK(own_calls == 1);
    CHECK(signals.try_next() == 0);
    co_return;
  });
  ::sigaction(SIGUSR1, nullptr, &before);
  CHECK(before.sa_handler == &own_handler);
  before.sa_handler = SIG_DFL;
  ::sigaction(SIGUSR1, &before, nullptr);
}

TEST_CASE("a handler for SIGINT takes it from run, which has it back when that is removed") {
  const DefaultSignal no_handler(SIGINT);
  bool handled = false;
  bool cancelled = false;
  run_here([&]() -> Task<void> {
    EventLoop& loop = EventLoop::running();
    loop.add_signal_handler(SIGINT, [&] { handled = true; });
    for (int i = 0; i < 2; ++i) {
      handled = false;
      ::raise(SIGINT);
      while (!handled) co_await sleep(1ms);
    }
    loop.remove_signal_handler(SIGINT);
    ::raise(SIGINT);
    try {
      co_await sleep(std::nullopt);
    } catch (const Cancelled&) {
      cancelled = true;
      throw;
    }
  });
  CHECK(cancelled);
  CHECK(is_default(SIGINT));
}

TEST_CASE("of several who wait for one stream the first gets the signal, and a cancelled one loses none") {
  run_here([]() -> Task<void> {
    SignalStream signals(SIGUSR1, SIGUSR2);
    std::vector<std::string> log;
    auto waits = [](SignalStream& from, char name, std::vector<std::string>& out) -> Task<void> {
      const int signum = co_await from.next();
      out.push_back(name + std::to_string(signum == SIGUSR1 ? 1 : 2));
    };
    auto a = spawn(waits(signals, 'a', log));
    auto b = spawn(waits(signals, 'b', log));
    auto c = spawn(waits(signals, 'c', log));
    co_await yield();
    ::raise(SIGUSR1);
    b.cancel();
    co_await a;
    ::raise(SIGUSR2);
    co_await c;
    CHECK(b.cancelled());
    CHECK(log == std::vector<std::string>{"a1", "c2"});
  });
}

TEST_CASE("who waits for a signal of a stream that is destroyed is told, and the signal is caught no more") {
  run_here([]() -> Task<void> {
    std::optional<SignalStream> signals(std::in_place, SIGUSR1);
    auto waits = [](SignalStream& from) -> Task<void> { co_await from.next(); };
    auto waiting = spawn(waits(*signals));
    co_await yield();
    signals.reset();
    CHECK(is_default(SIGUSR1));
    std::string error;
    try {
      co_await waiting;
    } catch (const std::logic_error& destroyed) {
      error = destroyed.what();
    }
    CHECK(error == "SignalStream.next(): the SignalStream was destroyed");
  });
}

TEST_CASE(
    "whenever a wait for signals is cancelled, all signals are counted and the dispositions are put back") {
  const auto scenario = []() -> Task<void> {
    SignalStream signals(SIGUSR1);
    for (int i = 0; i < 3; ++i) {
      ::raise(SIGUSR1);
      co_await signals.next();
    }
    auto raises = []() -> Task<void> {
      ::raise(SIGUSR2);
      co_return;
    };
    co_await gather(heddle::signal(SIGUSR2), raises());
  };
  const auto check = [](const DisturbedRun& run) {
    check_usual_end(run);
    CHECK(is_default(SIGUSR1));
    CHECK(is_default(SIGUSR2));
  };
  DisturbOptions options;
  options.main_only = true;  // somebody has to raise the signal
  CHECK(cancel_everywhere(scenario, check, options).places >= 4);
}

TEST_CASE("a loop that closes puts back what its signals did, and its streams are told") {
  EventLoop loop;
  loop.add_signal_handler(SIGUSR1, [] {});
  CHECK_FALSE(is_default(SIGUSR1));
  std::optional<SignalStream> left;
  loop.call_soon([&] { left.emplace(SIGUSR2); });
  loop.run_once();
  CHECK_FALSE(is_default(SIGUSR2));
  loop.close();
  CHECK(is_default(SIGUSR1));
  CHECK(is_default(SIGUSR2));
  CHECK_THROWS_AS(loop.add_signal_handler(SIGUSR1, [] {}), std::logic_error);
  run_here([&]() -> Task<void> {
    std::string refused;
    try {
      co_await left->next();
    } catch (const std::logic_error& error) {
      refused = error.what();
    }
    CHECK(refused == "waiting for a signal on an event loop that has closed");
  });
}

TEST_CASE("what can't be caught, isn't a signal, or has no loop is refused by name") {
  run_here([]() -> Task<void> {
    EventLoop& loop = EventLoop::running();
    CHECK(thrown<ValueError>([&] { loop.add_signal_handler(SIGKILL, [] {}); }) == "signal 9 can't be caught");
    CHECK(thrown<ValueError>([&] { loop.add_signal_handler(0, [] {}); }) ==
          "0 is not the number of a signal");
    CHECK(thrown<ValueError>([&] { loop.remove_signal_handler(1000); }) ==
          "1000 is not the number of a signal");
    CHECK_THROWS_AS(SignalStream(SIGUSR1, SIGSEGV), ValueError);
    CHECK_THROWS_AS(heddle::signal(-1), ValueError);
    CHECK_THROWS_AS(SignalStream(SIGRTMIN - 1), std::system_error);  // glibc's own
    CHECK(is_default(SIGUSR1));
    co_return;
  });
  CHECK_THROWS_AS(SignalStream(SIGUSR1), std::logic_error);
  CHECK(is_default(SIGUSR1));
}

#ifndef __SANITIZE_THREAD__  // which goes its own ways in the child of a process with threads
TEST_CASE("a signal for the child of a fork does there what it did before, and the parent doesn't get it") {
  const DefaultSignal no_handler(SIGTERM);
  run_here([]() -> Task<void> {
    SignalStream signals(SIGTERM);
    const int end = end_of_child([] {
      ::raise(SIGTERM);
      return 0;
    });
    CHECK(end == -SIGTERM);
    co_await sleep(1ms);
    CHECK(signals.try_next() == 0);
    ::raise(SIGTERM);
    const int got = co_await signals.next();
    CHECK(got == SIGTERM);
  });
}

#endif

ON_SELECTORS("a loop that goes on in the child of a fork gets the child's signals") {
  EventLoop loop(loop_options(selector));
  int calls = 0;
  loop.add_signal_handler(SIGUSR1, [&] { ++calls; });
  const int end = end_of_child([&] {
    loop.set_selector(selector);
    ::raise(SIGUSR1);
    while (calls == 0) loop.run_once(1s);
    return 40 + calls;
  });
  CHECK(end == 41);
  loop.run_once(Duration(0));
  CHECK(calls == 0);
  ::raise(SIGUSR1);
  while (calls == 0) loop.run_once(1s);
  CHECK(calls == 1);
}

TEST_CASE("the end of a child process can be awaited by SIGCHLD") {
  run_here([]() -> Task<void> {
    SignalStream children(SIGCHLD);
    const pid_t child = ::fork();
    if (child == 0) ::_exit(7);
    int status = 0;
    while (::waitpid(child, &status, WNOHANG) == 0) co_await children.next();
    CHECK(WEXITSTATUS(status) == 7);
  });
}

TEST_CASE("signals that rain on loops which come and go are neither lost nor deadly") {
  std::atomic<bool> stop = false;
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  struct sigaction before = {};
  ::sigaction(SIGUSR1, &ignore, &before);
  std::thread rain([&] {
    while (!stop) {
      ::kill(::getpid(), SIGUSR1);
      std::this_thread::yield();
    }
  });
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t)
    threads.emplace_back([] {
      for (int i = 0; i < 100; ++i)
        run_here([]() -> Task<void> {
          SignalStream signals(SIGUSR1);
          for (int n = 0; n < 5; ++n) co_await signals.next();
        });
    });
  for (std::thread& thread : threads) thread.join();
  stop = true;
  rain.join();
  ::sigaction(SIGUSR1, &before, nullptr);
}
