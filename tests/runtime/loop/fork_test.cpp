// The child of a fork(): each thread, handler, lock and descriptor that a loop or the process has is made
// anew there or let go, and the parent's are left alone.
// SPDX-License-Identifier: MIT
#include <signal.h>
#include <sys/socket.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "../../../io/operation/fd.hpp"
#include "../../../runtime/loop/signals.hpp"
#include "../../../runtime/seeing/slow_turn.hpp"
#include "../../../runtime/task/join_handle.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../../runtime/testing/watchdog.hpp"
#include "../../../runtime/threads/thread_pool.hpp"
#include "../../../runtime/threads/to_thread.hpp"
#include "../../../selector/base_selector.hpp"
#include "../../selector/files.hpp"
#include "../../support/default_signal.hpp"
#include "../../support/forked.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::test;
using namespace std::chrono_literals;

#ifndef __SANITIZE_THREAD__  // which allows no threads in the child of a process that had some

namespace {

template <class Call>
bool refuses(Call call) {
  try {
    call();
  } catch (const std::logic_error& error) {
    return std::string_view(error.what()).find("made before fork()") != std::string_view::npos;
  }
  return false;
}

Task<void> read_byte(Fd& from) {
  co_await from.readable();
  char byte = 0;
  if (::read(from.fileno(), &byte, 1) != 1) throw std::runtime_error("nothing to read");
}

}  // namespace

ON_SELECTORS("a child that closes what it inherited leaves the parent's waits alone") {
  run_on(selector, []() -> Task<void> {
    Pair pair = Pair::sockets();
    Pair other = Pair::sockets();
    Fd mine(::dup(pair.a.fileno()));
    for (int round = 0; round < 3; ++round) {
      auto reader = spawn(read_byte(mine));
      auto both = [](int fd) -> Task<void> { co_await readable(fd); };
      auto waits = spawn(both(other.a.fileno()));
      co_await yield();
      co_await yield();
      const int end = end_of_child([&] {
        EventLoop::running().remove_reader(other.a.fileno());
        mine.close();
        return 0;
      });
      CHECK(end == 0);
      pair.b.write("x");
      other.b.write("x");
      co_await timeout(5s, reader);
      co_await timeout(5s, waits);
      other.a.read();
    }
  });
}

ON_SELECTORS("in a child that hasn't called set_selector a loop says that it was made before the fork") {
  EventLoop loop(loop_options(selector));
  loop.run_once(Duration(0));
  CHECK(end_of_child([&] {
          if (!refuses([&] { loop.run_once(Duration(0)); })) return 1;
          if (!refuses([&] { loop.run_forever(); })) return 2;
          if (!refuses([&] { loop.fileno(); })) return 3;
          if (!refuses([&] { loop.add_signal_handler(SIGUSR1, [] {}); })) return 4;
          if (!refuses([&] { loop.add_reader(0, [] {}); })) return 5;
          loop.close();
          return 0;
        }) == 0);
  // The child of a task that just goes on, too.
  std::string said;
  const int end = end_of_child([&] {
    try {
      run_on(selector, []() -> Task<void> {
        const ::pid_t child = ::fork();
        if (child > 0) {
          int status = 0;
          ::waitpid(child, &status, 0);
          ::_exit(WEXITSTATUS(status));
        }
        co_await sleep(1ms);
        ::_exit(9);
      });
    } catch (const std::logic_error& error) {
      ::_exit(std::string_view(error.what()).find("event loop was made before fork()") !=
                      std::string_view::npos
                  ? 0
                  : 8);
    }
    return 7;
  });
  CHECK(end == 0);
}

ON_SELECTORS("a wait that is moved to the child of a fork survives what was given up before") {
  EventLoop loop(loop_options(selector));
  const Pair pair = Pair::sockets();
  int reads = 0;
  int writes = 0;
  loop.add_reader(pair.a.fileno(), [&] { pair.a.read(), ++reads; });
  loop.add_writer(pair.a.fileno(), [&] { ++writes; });
  loop.run_once(Duration(0));
  CHECK(end_of_child([&] {
          loop.remove_writer(pair.a.fileno());
          loop.set_selector(selector);
          pair.b.write("x");
          writes = 0;
          while (reads == 0) loop.run_once(1s);
          return writes;
        }) == 0);
  loop.run_once(1s);
  loop.run_once(Duration(0));
  CHECK(writes >= 2);
}

TEST_CASE("the thread that watches for slow turns is made anew in the child, or let go") {
  static std::atomic<int> reports = 0;
  LoopOptions options;
  options.slow_turn = 5ms;
  options.slow_turn_handler = [](const SlowTurn&, void*) { ++reports; };
  auto loop = std::make_unique<EventLoop>(options);
  const auto is_slow_seen = [&] {
    reports = 0;
    loop->call_soon([] {
      for (int i = 0; i < 5000 && reports == 0; ++i) std::this_thread::sleep_for(1ms);
    });
    loop->run_once(Duration(0));
    return reports == 1;
  };
  CHECK(is_slow_seen());
  CHECK(end_of_child([&] {
          loop.reset();
          return 0;
        }) == 0);
  std::this_thread::sleep_for(1s);  // one report a second
  CHECK(end_of_child([&] {
          loop->set_selector("default");
          const bool seen = is_slow_seen();
          loop.reset();
          return seen ? 0 : 1;
        }) == 0);
  CHECK(is_slow_seen());
}

namespace {

// Whether SIGINT cancels the main task.
int run_and_interrupt() {
  bool cancelled = false;
  try {
    run_here([&]() -> Task<void> {
      ::raise(SIGINT);
      try {
        co_await sleep(5s);
      } catch (const Cancelled&) {
        cancelled = true;
        throw;
      }
    });
  } catch (...) {
  }
  return cancelled ? 0 : 1;
}

}  // namespace

TEST_CASE("SIGINT is the child's own, whether it runs no loop, a new one, or goes on with the parent's") {
  const DefaultSignal default_sigint(SIGINT);
  run_here([]() -> Task<void> {
    const int none = end_of_child([] {
      ::raise(SIGINT);
      return 0;
    });
    CHECK(none == -SIGINT);
    // On a thread on which no loop runs, as this one does meanwhile.
    int fresh = -1;
    int fresh_on_thread = -1;
    std::thread forks([&] {
      fresh = end_of_child(run_and_interrupt);
      fresh_on_thread = end_of_child([] {
        const int first = run_and_interrupt();
        ::raise(SIGINT);  // as before the run
        return 10 + first;
      });
    });
    forks.join();
    CHECK(fresh == 0);
    CHECK(fresh_on_thread == -SIGINT);
    const int goes_on = co_await to_thread([] { return 0; });
    CHECK(goes_on == 0);
  });
  const int continued = end_of_child([] {
    bool cancelled = false;
    bool in_child = false;
    int status = 0;
    try {
      run_here([&]() -> Task<void> {
        const ::pid_t child = ::fork();
        in_child = child == 0;
        if (!in_child) {
          ::waitpid(child, &status, 0);
          co_return;
        }
        EventLoop::running().set_selector("default");
        ::raise(SIGINT);
        try {
          co_await sleep(5s);
        } catch (const Cancelled&) {
          cancelled = true;
          throw;
        }
      });
    } catch (...) {
    }
    if (in_child) ::_exit(cancelled ? 0 : 1);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
  });
  CHECK(continued == 0);
}

TEST_CASE("signals that loops catch are the child's own, and a loop that it makes catches them again") {
  const DefaultSignal no_handler(SIGUSR1);
  ::signal(SIGUSR1, SIG_IGN);
  EventLoop loop;
  int calls = 0;
  loop.add_signal_handler(SIGUSR1, [&] { ++calls; });
  ::raise(SIGUSR1);  // for the parent, though it is delivered later
  CHECK(end_of_child([&] {
          ::raise(SIGUSR1);  // ignored, as before
          EventLoop mine;
          int mine_calls = 0;
          mine.add_signal_handler(SIGUSR1, [&] { ++mine_calls; });
          ::raise(SIGUSR1);
          for (int i = 0; i < 100 && mine_calls == 0; ++i) mine.run_once(100ms);
          mine.close();
          loop.close();
          ::raise(SIGUSR1);  // ignored again
          return mine_calls * 10 + calls;
        }) == 10);
  CHECK(end_of_child([&] {
          ::raise(SIGUSR1);  // ignored: the loop isn't this process's yet
          loop.set_selector("default");
          loop.run_once(Duration(0));
          const int parents = calls;
          ::raise(SIGUSR1);
          for (int i = 0; i < 100 && calls == 0; ++i) loop.run_once(100ms);
          return parents * 10 + calls;
        }) == 1);
  loop.run_once(1s);
  CHECK(calls == 1);
}

TEST_CASE("SIGQUIT prints no tasks in the child before the loop is the child's") {
  const DefaultSignal no_handler(SIGQUIT);
  LoopOptions options;
  options.dump_on_sigquit = true;
  EventLoop loop(options);
  CHECK(end_of_child([&] {
          ::raise(SIGQUIT);
          return 0;
        }) == -SIGQUIT);
  CHECK(end_of_child([&] {
          ::close(STDERR_FILENO);
          loop.set_selector("default");
          ::raise(SIGQUIT);
          for (int i = 0; i < 10; ++i) loop.run_once(10ms);
          return 5;
        }) == 5);
}

ON_SELECTORS("a call to the parent's loop in the child doesn't wake the parent") {
  EventLoop loop(loop_options(selector));
  if (loop.selector().descriptor() < 0) return;  // nobody can wait for it
  loop.run_once(Duration(0));
  CHECK(loop.fileno() >= 0);  // the loop says that it sleeps
  CHECK(end_of_child([&] {
          loop.call_soon_threadsafe([] {});
          return 0;
        }) == 0);
  const std::uint64_t before = loop.counters().wake_ups;
  loop.run_once(Duration(0));
  CHECK(loop.counters().wake_ups == before);
}

TEST_CASE("thread pools begin anew in the child, and calls that were out can be given up") {
  ThreadPool pool(1, 4);
  EventLoop loop;
  std::atomic<bool> go_on = false;
  std::atomic<bool> runs = false;
  JoinHandle<void> waits;
  JoinHandle<void> queued;
  JoinHandle<void> stoppable;
  const auto body = [&](bool plain) -> Task<void> {
    if (plain)
      co_await pool.run([&] {
        runs = true;
        while (!go_on) std::this_thread::sleep_for(1ms);
      });
    else
      co_await pool.run([](StopToken) {});
  };
  loop.call_soon([&] {
    waits = spawn(body(true));
    queued = spawn(body(true));
    stoppable = spawn(body(false));
  });
  while (!runs) loop.run_once(1ms);
  CHECK(pool.queued() == 2);
  CHECK(end_of_child([&] {
          if (pool.queued() != 0 || pool.threads() != 0) return 1;
          int result = 0;
          run_here([&]() -> Task<void> {
            const int own = co_await pool.run([] { return 3; });
            const int shared = co_await to_thread([] { return 4; });
            result = own + shared;
          });
          if (result != 7 || pool.threads() != 1) return 2;
          loop.close();  // cancels who waits for calls that never return here
          if (!waits.done() || !queued.done() || !stoppable.done()) return 3;
          pool.shutdown();
          return 0;
        }) == 0);
  CHECK(end_of_child([&] {
          pool.~ThreadPool();
          return 0;
        }) == 0);
  go_on = true;
  loop.run_until_complete(waits.state());
  loop.run_until_complete(queued.state());
  loop.run_until_complete(stoppable.state());
  loop.close();
}

// GCC 12's AddressSanitizer doesn't take its allocator's locks before fork(): the child would hang there.
#if !defined(__SANITIZE_ADDRESS__) || defined(__clang__)

TEST_CASE(
    "a child forked while other threads make and end loops, catch signals and spawn tasks hangs at no lock") {
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t)
    threads.emplace_back([&] {
      while (!stop)
        run_here([]() -> Task<void> {
          const SignalStream signals(SIGUSR2);
          auto nothing = []() -> Task<void> { co_await yield(); };
          for (int i = 0; i < 20; ++i) spawn(nothing());
          co_await to_thread([] {});
        });
    });
  for (int round = 0; round < 30; ++round) {
    const int end = end_of_child([] {
      int result = 0;
      run_here([&]() -> Task<void> {
        SignalStream signals(SIGUSR2);
        auto one = []() -> Task<int> { co_return 1; };
        for (int i = 0; i < 20; ++i) result += co_await one();
        result += co_await to_thread([] { return 1; });
        ::raise(SIGUSR2);
        result += co_await signals.next() == SIGUSR2;
      });
      return result;
    });
    CHECK(end == 22);
    if (end != 22) break;
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

#endif

#endif
