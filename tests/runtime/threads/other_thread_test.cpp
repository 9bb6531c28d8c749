// What is for one loop's thread, used on another: said with its name, where the library checks that.
// SPDX-License-Identifier: MIT
#include <unistd.h>

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "../../../io/operation/fd.hpp"
#include "../../../runtime/core/home_loop.hpp"
#include "../../../runtime/sync/barrier.hpp"
#include "../../../runtime/sync/broadcast.hpp"
#include "../../../runtime/sync/condition.hpp"
#include "../../../runtime/sync/event.hpp"
#include "../../../runtime/sync/future.hpp"
#include "../../../runtime/sync/latch.hpp"
#include "../../../runtime/sync/lifo_queue.hpp"
#include "../../../runtime/sync/priority_queue.hpp"
#include "../../../runtime/sync/queue.hpp"
#include "../../../runtime/sync/semaphore.hpp"
#include "../../../runtime/sync/watch.hpp"
#include "../../../runtime/task/interval.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/task_group.hpp"
#include "../../selector/files.hpp"
#include "../../support/forked.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

template <class Function>
void elsewhere(Function function) {
  std::thread(function).join();
}
Task<void> stays() { co_await sleep(std::nullopt); }

}  // namespace

#ifndef __SANITIZE_THREAD__  // which would report the misuse first, and allows no threads in a child

namespace {

// On a loop that runs there.
template <class Body>
void on_another_loop(Body body) {
  elsewhere([&] { run(body()); });
}

Task<void> nothing() { co_return; }

// What is said begins with `name`.
struct Misuse {
  const char* name;
  Task<void> (*body)();
};

const std::vector<Misuse> misuses{
    {"Queue.put_nowait()",
     []() -> Task<void> {
       Queue<int> queue;
       queue.put_nowait(1);
       elsewhere([&] { queue.put_nowait(2); });
       co_return;
     }},
    {"Queue.try_get()",
     []() -> Task<void> {
       PriorityQueue<int> queue;
       queue.put_nowait(1);
       elsewhere([&] { queue.try_get(); });
       co_return;
     }},
    {"Queue.get()",
     []() -> Task<void> {
       LifoQueue<int> queue;
       queue.put_nowait(1);
       on_another_loop([&]() -> Task<void> { co_await queue.get(); });
       co_return;
     }},
    {"Queue.put()",
     []() -> Task<void> {
       Queue<int> queue(1);
       queue.put_nowait(1);
       on_another_loop([&]() -> Task<void> { co_await queue.put(2); });
       co_return;
     }},
    {"Queue.task_done()",
     []() -> Task<void> {
       Queue<int> queue;
       queue.put_nowait(1);
       elsewhere([&] { queue.task_done(); });
       co_return;
     }},
    {"Queue.join()",
     []() -> Task<void> {
       Queue<int> queue;
       queue.put_nowait(1);
       on_another_loop([&]() -> Task<void> { co_await queue.join(); });
       co_return;
     }},
    {"Queue.shutdown()",
     []() -> Task<void> {
       Queue<int> queue;
       queue.put_nowait(1);
       elsewhere([&] { queue.shutdown(); });
       co_return;
     }},
    {"Event.set()",
     []() -> Task<void> {
       Event event;
       spawn([](Event& on) -> Task<void> { co_await on.wait(); }, std::ref(event));
       co_await yield();
       elsewhere([&] { event.set(); });
     }},
    {"Event.clear()",
     []() -> Task<void> {
       Event event;
       event.set();
       elsewhere([&] { event.clear(); });
       co_return;
     }},
    {"Event.wait()",
     []() -> Task<void> {
       Event event;
       event.clear();
       on_another_loop([&]() -> Task<void> { co_await event.wait(); });
       co_return;
     }},
    {"Lock.acquire()",
     []() -> Task<void> {
       Lock lock;
       co_await lock.acquire();
       on_another_loop([&]() -> Task<void> { co_await lock.acquire(); });
     }},
    {"Lock.release()",
     []() -> Task<void> {
       Lock lock;
       co_await lock.acquire();
       elsewhere([&] { lock.release(); });
     }},
    {"Semaphore.acquire()",
     []() -> Task<void> {
       Semaphore semaphore(2);
       co_await semaphore.acquire();
       elsewhere([&] { static_cast<void>(semaphore.try_acquire()); });
     }},
    {"Semaphore.release()",
     []() -> Task<void> {
       Semaphore semaphore(2);
       co_await semaphore.acquire();
       elsewhere([&] { semaphore.release(); });
     }},
    {"Condition.notify()",
     []() -> Task<void> {
       Condition condition;
       co_await condition.acquire();
       condition.notify();
       elsewhere([&] { condition.notify(); });
     }},
    {"Condition.wait()",
     []() -> Task<void> {
       Condition condition;
       co_await condition.acquire();
       condition.notify();
       on_another_loop([&]() -> Task<void> { co_await condition.wait(); });
     }},
    {"Barrier.wait()",
     []() -> Task<void> {
       Barrier barrier(2);
       barrier.reset();
       on_another_loop([&]() -> Task<void> { co_await barrier.wait(); });
       co_return;
     }},
    {"Barrier.reset()",
     []() -> Task<void> {
       Barrier barrier(2);
       barrier.reset();
       elsewhere([&] { barrier.abort(); });
       co_return;
     }},
    {"Latch.count_down()",
     []() -> Task<void> {
       Latch latch(2);
       latch.count_down();
       elsewhere([&] { latch.count_down(); });
       co_return;
     }},
    {"Latch.wait()",
     []() -> Task<void> {
       Latch latch(2);
       latch.count_down();
       on_another_loop([&]() -> Task<void> { co_await latch.wait(); });
       co_return;
     }},
    {"Promise.set_result()",
     []() -> Task<void> {
       Promise<int> promise;
       auto waits = spawn([](Future<int> future) -> Task<void> { co_await future; }, promise.future());
       co_await yield();
       elsewhere([&] { promise.set_result(1); });
     }},
    {"Future.cancel()",
     []() -> Task<void> {
       Promise<int> promise;
       auto future = promise.future();
       auto waits = spawn([](Future<int> its) -> Task<void> { co_await its; }, promise.future());
       co_await yield();
       elsewhere([&] { future.cancel(); });
     }},
    {"the end of a Promise",
     []() -> Task<void> {
       Promise<int> promise;
       auto waits = spawn([](Future<int> future) -> Task<void> { co_await future; }, promise.future());
       co_await yield();
       elsewhere([&] { const Promise<int> last = std::move(promise); });
     }},
    {"Broadcast.send()",
     []() -> Task<void> {
       Broadcast<int> broadcast(4);
       auto subscription = broadcast.subscribe();
       elsewhere([&] { broadcast.send(1); });
       co_return;
     }},
    {"Broadcast.subscribe()",
     []() -> Task<void> {
       Broadcast<int> broadcast(4);
       broadcast.send(1);
       elsewhere([&] { auto subscription = broadcast.subscribe(); });
       co_return;
     }},
    {"Subscription.try_receive()",
     []() -> Task<void> {
       Broadcast<int> broadcast(4);
       auto subscription = broadcast.subscribe();
       elsewhere([&] { subscription.try_receive(); });
       co_return;
     }},
    {"Watch.set()",
     []() -> Task<void> {
       Watch<int> watch(1);
       watch.set(2);
       elsewhere([&] { watch.set(3); });
       co_return;
     }},
    {"WatchReader.changed()",
     []() -> Task<void> {
       Watch<int> watch(1);
       watch.set(2);
       on_another_loop([&]() -> Task<void> {
         auto reader = watch.subscribe();
         co_await reader.changed();
       });
       co_return;
     }},
    {"JoinHandle.cancel()",
     []() -> Task<void> {
       auto task = spawn(stays());
       co_await yield();
       elsewhere([&] { task.cancel(); });
     }},
    {"JoinHandle.cancel()",
     []() -> Task<void> {
       const TaskHandle task = spawn(stays()).task();
       elsewhere([&] { task.cancel(); });
       co_return;
     }},
    {"a wait for a task's end",
     []() -> Task<void> {
       auto task = spawn(stays());
       on_another_loop([&]() -> Task<void> { co_await task; });
       co_return;
     }},
    {"spawn_for()",
     []() -> Task<void> {
       EventLoop& loop = EventLoop::running();
       elsewhere([&] { spawn_for(loop, nothing(), std::source_location()); });
       co_return;
     }},
    {"spawn_for()",
     []() -> Task<void> {
       co_await task_group([](TaskGroup& group) -> Task<void> {
         elsewhere([&] { group.spawn(nothing()); });
         co_return;
       });
     }},
    {"EventLoop.call_soon()",
     []() -> Task<void> {
       EventLoop& loop = EventLoop::running();
       elsewhere([&] { loop.call_soon([] {}); });
       co_return;
     }},
    {"EventLoop.call_later()",
     []() -> Task<void> {
       EventLoop& loop = EventLoop::running();
       elsewhere([&] { loop.call_later(1s, [] {}); });
       co_return;
     }},
    {"EventLoop.add_reader()",
     []() -> Task<void> {
       EventLoop& loop = EventLoop::running();
       const Pair pair = Pair::sockets();
       elsewhere([&] { loop.add_reader(pair.a.fileno(), [] {}); });
       co_return;
     }},
    {"EventLoop.add_writer()",
     []() -> Task<void> {
       EventLoop& loop = EventLoop::running();
       const Pair pair = Pair::sockets();
       elsewhere([&] { loop.remove_writer(pair.a.fileno()); });
       co_return;
     }},
    {"EventLoop.add_signal_handler()",
     []() -> Task<void> {
       EventLoop& loop = EventLoop::running();
       elsewhere([&] { loop.add_signal_handler(SIGUSR1, [] {}); });
       co_return;
     }},
    {"EventLoop.stop()",
     []() -> Task<void> {
       EventLoop& loop = EventLoop::running();
       elsewhere([&] { loop.stop(); });
       co_return;
     }},
    {"CallHandle.cancel()",
     []() -> Task<void> {
       CallHandle call = EventLoop::running().call_later(1h, [] {});
       elsewhere([&] { call.cancel(); });
       co_return;
     }},
    {"Interval.reset()",
     []() -> Task<void> {
       Interval interval(1h);
       spawn([](Interval& its) -> Task<void> { co_await its.tick(); }, std::ref(interval));
       co_await yield();
       elsewhere([&] { interval.reset_at(TimePoint::max()); });
     }},
    {"the end of a stream",
     []() -> Task<void> {
       Pair pair = Pair::sockets();
       Fd fd(::dup(pair.a.fileno()));
       spawn([](Fd& its) -> Task<void> { co_await its.readable(); }, std::ref(fd));
       co_await yield();
       elsewhere([&] { fd.close(); });
     }},
};

}  // namespace

TEST_CASE("whatever is a loop's says so when it is used on another thread, in a library with checks") {
  if (!detail::checks_threads()) return;
  for (const Misuse& misuse : misuses) {
    const auto [end, said] = end_and_words_of_child([&] {
      run(misuse.body());
      return 0;
    });
    INFO(misuse.name << ": " << end << ", " << said);
    CHECK(end == -SIGABRT);
    CHECK(said.rfind("heddle: " + std::string(misuse.name), 0) == 0);
    CHECK(said.find("on another thread than that of its event loop") != std::string::npos);
  }
}

#endif

TEST_CASE("what is used by one thread after the other is no loop's in between") {
  Queue<int> queue;
  Event event;
  queue.put_nowait(0);  // before any loop is there
  for (int i = 1; i <= 3; ++i) {
    elsewhere([&] {
      run_here([&]() -> Task<void> {
        const int got = co_await queue.get();
        CHECK(got == i - 1);
        queue.put_nowait(i);
        event.set();
        co_await event.wait();
        event.clear();
      });
    });
    event.set();
    CHECK(queue.qsize() == 1);
  }
  EventLoop loop;  // driven by one thread, and between its runs by another
  auto handle = spawn_for(loop, stays(), std::source_location());
  loop.run_once(Duration(0));
  elsewhere([&] {
    queue.put_nowait(5);
    loop.call_soon([&] { event.clear(); });
    loop.run_once(Duration(0));
    handle.cancel();
  });
  loop.run_until_complete(handle.state());
  CHECK(handle.cancelled());
  CHECK_FALSE(event.is_set());
}
