// Waiting for what another thread or a signal may end is no deadlock, and virtual time waits for what is sure
// to come.
// SPDX-License-Identifier: MIT
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <future>
#include <optional>
#include <thread>

#include "../../../runtime/loop/event_loop.hpp"
#include "../../../runtime/loop/signals.hpp"
#include "../../../runtime/sync/event.hpp"
#include "../../../runtime/task/join_handle.hpp"
#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../../runtime/threads/channel.hpp"
#include "../../../runtime/threads/remote_task.hpp"
#include "../../../runtime/threads/run_on_threads.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

// A loop on a thread of its own, with real time.
class OtherLoop {
 public:
  OtherLoop() {
    std::promise<EventLoop*> ready;
    thread_ = std::thread([&ready] {
      EventLoop loop;
      ready.set_value(&loop);
      loop.run_forever();
    });
    loop_ = ready.get_future().get();
  }
  ~OtherLoop() {
    EventLoop* const loop = loop_;
    loop->call_soon_threadsafe([loop] { loop->stop(); });
    thread_.join();
  }
  EventLoop& get() { return *loop_; }

 private:
  EventLoop* loop_ = nullptr;
  std::thread thread_;
};

Task<int> slow_answer() {
  co_await sleep(20ms);
  co_return 42;
}

// With virtual time, and with real time where deadlocks are detected.
template <class Body>
void run_detecting(Body body) {
  for (const bool virtual_time : {false, true}) {
    INFO((virtual_time ? "virtual time" : "real time"));
    LoopOptions options;
    options.virtual_time = virtual_time;
    options.detect_deadlock = true;
    options.dump_on_sigquit = true;
    run(body(), options);
  }
}

}  // namespace

TEST_CASE("to wait for a task of another thread's loop is no deadlock, and virtual time waits for it") {
  OtherLoop other;
  run_detecting([&]() -> Task<void> {
    const TimePoint began = EventLoop::running().time();
    auto handle = spawn_threadsafe(other.get(), slow_answer());
    const int answer = co_await timeout(10s, handle);
    CHECK(answer == 42);
    CHECK(EventLoop::running().time() - began < 10s);
  });
}

TEST_CASE("of a task of the own loop virtual time knows that it sleeps") {
  run_detecting([]() -> Task<void> {
    auto handle = spawn_threadsafe(EventLoop::running(), slow_answer());
    const int answer = co_await handle;
    CHECK(answer == 42);
  });
}

TEST_CASE("that a task waits for another loop's hides no deadlock once it has ended") {
  OtherLoop other;
  LoopOptions options;
  options.detect_deadlock = true;
  const auto main = [&]() -> Task<void> {
    auto handle = spawn_threadsafe(other.get(), slow_answer());
    co_await handle;
    Channel<int> channel(1);
    static_cast<void>(channel.try_send(1));
    co_await channel.receive();
    Event never;
    co_await never.wait();
  };
  CHECK(thrown<Deadlock>([&] { run(main(), options); }) != "nothing");
}

TEST_CASE("to wait at a channel that another thread has is no deadlock, and virtual time goes on meanwhile") {
  run_detecting([]() -> Task<void> {
    Channel<int> items(0);
    std::thread sender([items]() mutable {
      std::this_thread::sleep_for(10ms);
      items.blocking_send(1);
      static_cast<void>(items.blocking_receive());
    });
    const auto item = co_await items.receive();
    CHECK(item == 1);
    co_await items.send(2);
    sender.join();

    auto closes = [](Channel<int> channel) -> Task<void> {
      co_await sleep(20ms);
      channel.close();
    };
    auto closing = spawn(closes(items));
    const auto end = co_await items.receive();
    CHECK_FALSE(end);
  });
}

TEST_CASE("to wait for SIGQUIT where it prints the tasks as well is no deadlock") {
  run_detecting([]() -> Task<void> {
    SignalStream signals(SIGQUIT);

    std::thread sender([process = ::getpid()] {
      std::this_thread::sleep_for(20ms);
      ::kill(process, SIGQUIT);
    });
    const int signum = co_await signals.next();
    CHECK(signum == SIGQUIT);
    sender.join();
  });
}

TEST_CASE(
    "that SIGQUIT prints the tasks keeps nobody from seeing a deadlock, unless it has another callback") {
  LoopOptions options;
  options.detect_deadlock = options.dump_on_sigquit = true;
  const auto hopeless = []() -> Task<void> {
    Event never;
    co_await never.wait();
  };
  CHECK(thrown<Deadlock>([&] { run(hopeless(), options); }) != "nothing");
  const auto hopeful = []() -> Task<void> {
    Event event;
    EventLoop::running().add_signal_handler(SIGQUIT, [&event] { event.set(); });
    std::thread sender([process = ::getpid()] {
      std::this_thread::sleep_for(20ms);
      ::kill(process, SIGQUIT);
    });
    co_await event.wait();
    sender.join();
  };
  run(hopeful(), options);
}

TEST_CASE("that the first thread of run_on_threads waits for the others is no deadlock") {
  for (const bool virtual_time : {false, true}) {
    LoopOptions options;
    options.virtual_time = virtual_time;
    options.detect_deadlock = true;
    bool ended = false;
    run_on_threads(
        2,
        [&ended](std::size_t index) -> Task<void> {
          if (index == 0) co_return;
          std::this_thread::sleep_for(20ms);
          ended = true;
        },
        options);
    CHECK(ended);
  }
}

TEST_CASE("what lives in a main task of run_on_threads may go while others wait for it") {
  std::atomic<int> cancelled = 0;
  run_on_threads(2, [&cancelled](std::size_t index) -> Task<void> {
    Event event;
    auto waits = [](Event& on, std::atomic<int>& count) -> Task<void> {
      bool stopped = false;
      try {
        co_await on.wait();
      } catch (const Cancelled&) {
        stopped = true;
      }
      if (!stopped) co_return;
      co_await sleep(10ms);  // its cleanup is not cut off by the end of the other thread
      ++count;
    };
    spawn(waits(event, cancelled));
    co_await sleep(index == 0 ? 1ms : 5ms);
  });
  CHECK(cancelled == 2);
}
