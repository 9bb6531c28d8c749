// Items whose k-th move throws, for every k, through everything that carries items: nothing is lost, doubled
// or leaked, nobody hangs.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <atomic>
#include <exception>
#include <optional>
#include <utility>
#include <vector>

#include "../../../runtime/sync/broadcast.hpp"
#include "../../../runtime/sync/future.hpp"
#include "../../../runtime/sync/lifo_queue.hpp"
#include "../../../runtime/sync/priority_queue.hpp"
#include "../../../runtime/sync/queue.hpp"
#include "../../../runtime/sync/watch.hpp"
#include "../../../runtime/task/as_completed.hpp"
#include "../../../runtime/task/async_generator.hpp"
#include "../../../runtime/task/gather.hpp"
#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/task_local.hpp"
#include "../../../runtime/task/when_any.hpp"
#include "../../../runtime/threads/remote_task.hpp"
#include "../../../runtime/threads/to_thread.hpp"
#include "../../support/catch.hpp"
#include "../../support/turns.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

struct Refused : std::exception {
  const char* what() const noexcept override { return "refused"; }
};

// One of its moves, copies and comparisons throws, and leaves both as they were.
class Fragile {
 public:
  static inline std::atomic<int> alive = 0;
  static inline std::atomic<int> left = 0;  // until one throws

  explicit Fragile(int n) : number(n) { ++alive; }
  Fragile(Fragile&& other) : number(other.number) { count(); }  // NOLINT: it throws
  Fragile(const Fragile& other) : number(other.number) { count(); }
  Fragile& operator=(Fragile&&) = delete;
  ~Fragile() { --alive; }
  friend bool operator<(const Fragile& a, const Fragile& b) {
    step();
    return a.number < b.number;
  }

  const int number;

 private:
  static void step() {
    if (--left == 0) throw Refused();
  }
  void count() const {
    step();
    ++alive;
  }
};

using Numbers = std::vector<int>;

// Whether `function()` got through; if not, it is as if it hadn't been called.
template <class Function>
bool works(Function function) {
  try {
    function();
    return true;
  } catch (const Refused&) {
    return false;
  }
}

// Runs `scenario()`, which returns a Task, with the first, second, ... step of an item throwing.
template <class Scenario>
void with_each_fault(Scenario scenario) {
  int number = 0;
  for (bool thrown = true; thrown;) {
    INFO("step " << ++number << " throws");
    Fragile::left = number;
    LoopOptions options;
    options.virtual_time = true;
    const auto quiet = [&]() -> Task<void> {
      EventLoop::running().set_report_handler([](EventLoop&, const Report&, void*) {}, nullptr);
      co_await scenario();
    };
    REQUIRE_NOTHROW(run(quiet(), options));
    REQUIRE(Fragile::alive == 0);
    thrown = Fragile::left <= 0;
    REQUIRE(number < 1000);
  }
  CHECK(number > 1);
}

Numbers sorted(Numbers numbers) {
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

// Queues.

template <class Q>
Task<void> puts(Q& queue, int number, Numbers& put) {
  try {
    Fragile item(number);
    co_await queue.put(std::move(item));
    put.push_back(number);
  } catch (const Refused&) {
  }
}
template <class Q>
Task<void> gets_all(Q& queue, Numbers& got) {
  for (;;) try {
      const Fragile item = co_await queue.get();
      got.push_back(item.number);
      queue.task_done();
    } catch (const Refused&) {
    } catch (const QueueShutDown&) {
      co_return;
    }
}

template <class Q>
void puts_and_gets_in_tasks() {
  with_each_fault([]() -> Task<void> {
    Numbers put;
    Numbers got;
    Q queue(2);
    auto first = spawn(gets_all(queue, got));
    co_await turns(1);
    for (int i = 0; i < 8; ++i) spawn(puts(queue, 10 - i, put));  // one to who waits, two fit, five wait
    co_await turns(30);
    auto second = spawn(gets_all(queue, got));
    co_await queue.join();
    queue.shutdown();
    co_await first;
    co_await second;
    REQUIRE(sorted(put) == sorted(got));
    REQUIRE(put.size() >= 7);
  });
}

template <class Q>
void puts_and_gets_without_waiting() {
  with_each_fault([]() -> Task<void> {
    Numbers put;
    Numbers got;
    Q queue;
    for (int i = 0; i < 20; ++i)
      if (works([&] { queue.try_put(Fragile(i * 7 % 20)); })) put.push_back(i * 7 % 20);
    REQUIRE(queue.qsize() == put.size());
    while (!queue.empty()) {
      const std::size_t size = queue.qsize();
      if (!works([&] { got.push_back(queue.get_nowait().number); })) REQUIRE(queue.qsize() == size);
    }
    REQUIRE(got.size() == put.size());
    REQUIRE(sorted(put) == sorted(got));
    if constexpr (std::is_same_v<Q, Queue<Fragile>>) REQUIRE(put == got);
    if constexpr (std::is_same_v<Q, PriorityQueue<Fragile>>) REQUIRE(sorted(put) == got);
    co_return;
  });
}

}  // namespace

TEST_CASE("a queue loses no item whose move throws, and its tasks go on") {
  puts_and_gets_in_tasks<Queue<Fragile>>();
  puts_and_gets_in_tasks<LifoQueue<Fragile>>();
  puts_and_gets_in_tasks<PriorityQueue<Fragile>>();
}

TEST_CASE("a queue is as it was when putting or getting without waiting has thrown") {
  puts_and_gets_without_waiting<Queue<Fragile>>();
  puts_and_gets_without_waiting<LifoQueue<Fragile>>();
  puts_and_gets_without_waiting<PriorityQueue<Fragile>>();
}

TEST_CASE("a Broadcast sends all or nothing of an item whose move throws, and each is received") {
  with_each_fault([]() -> Task<void> {
    Broadcast<Fragile> broadcast(3);
    auto a = broadcast.subscribe();
    auto b = broadcast.subscribe();
    Numbers sent;
    for (int i = 0; i < 5; ++i)
      if (works([&] { broadcast.send(Fragile(i)); })) sent.push_back(i);
    const Numbers last(sent.end() - 3, sent.end());
    for (auto* subscription : {&a, &b}) {
      Numbers got;
      while (got.size() < last.size()) try {
          works([&] { got.push_back(subscription->try_receive().value().number); });
        } catch (const Lagged& lagged) {
          REQUIRE(lagged.missed == sent.size() - 3);
        }
      REQUIRE(got == last);
      REQUIRE(!subscription->try_receive());
    }
    co_return;
  });
}

TEST_CASE("a Watch keeps its value when setting another one has thrown") {
  with_each_fault([]() -> Task<void> {
    std::optional<Watch<Fragile>> watch;
    while (!works([&] { watch.emplace(Fragile(0)); })) continue;
    auto reader = watch->subscribe();
    for (int i = 1; i < 4; ++i) {
      const int before = watch->value().number;
      const bool set = works([&] { watch->set(Fragile(i)); });
      REQUIRE(watch->value().number == (set ? i : before));
      REQUIRE(reader.has_changed() == (set || i > 1));
    }
    co_return;
  });
}

TEST_CASE("a Promise whose value throws can still give a result") {
  with_each_fault([]() -> Task<void> {
    Promise<Fragile> promise;
    auto future = promise.future();
    auto waits = spawn([](Future<Fragile>& awaited) -> Task<int> { co_return (co_await awaited).number; },
                       std::ref(future));
    co_await turns(1);
    while (!works([&] { promise.set_result(Fragile(7)); })) REQUIRE(!promise.done());
    REQUIRE(promise.done());
    const int number = co_await waits;
    REQUIRE(number == 7);
    for (;;) try {
        const Fragile value = co_await std::move(future);
        REQUIRE(value.number == 7);
        break;
      } catch (const Refused&) {
      }
  });
}

TEST_CASE("an AsyncGenerator yields an item again whose move has thrown") {
  with_each_fault([]() -> Task<void> {
    auto items = []() -> AsyncGenerator<Fragile> {
      for (int i = 0; i < 3; ++i) {
        Fragile item(i);
        co_yield std::move(item);
      }
    };
    auto generator = items();
    Numbers got;
    for (;;) try {
        const std::optional<Fragile> item = co_await generator.next();
        if (!item) break;
        got.push_back(item->number);
      } catch (const Refused&) {
      }
    REQUIRE(got == Numbers{0, 1, 2});
  });
}

TEST_CASE("a TaskLocal keeps its value when setting another one has thrown") {
  static TaskLocal<Fragile> local;
  with_each_fault([]() -> Task<void> {
    int before = -1;
    for (int i = 0; i < 3; ++i) {
      if (works([&] { local.set(Fragile(i)); })) before = i;
      REQUIRE((local.get() != nullptr ? local.get()->number : -1) == before);
      if (works([&] { const TaskLocal<Fragile>::Scope scope(local, Fragile(9)); })) continue;
      REQUIRE((local.get() != nullptr ? local.get()->number : -1) == before);
    }
    co_return;
  });
}

// Results.

namespace {

Task<Fragile> make(int number) {
  Fragile made(number);
  co_await yield();
  co_return made;
}

// Its result, or that it was refused.
template <class A>
Task<void> ends(A awaitable) {
  try {
    static_cast<void>(co_await std::move(awaitable));
  } catch (const Refused&) {
  }
}

}  // namespace

TEST_CASE("the result of a task is there still when taking it has thrown, or is the task's failure") {
  with_each_fault([]() -> Task<void> {
    auto handle = spawn(make(7));
    bool got_it = false;
    try {
      const Fragile taken = co_await handle;
      REQUIRE(taken.number == 7);
      got_it = true;
    } catch (const Refused&) {
    }
    REQUIRE(handle.done());
    if (got_it || handle.error()) co_return;
    int number = 0;
    while (!works([&] { number = handle.result().number; })) continue;
    REQUIRE(number == 7);
  });
}

TEST_CASE("results that throw leak nothing and keep nobody waiting, however they are awaited") {
  with_each_fault([]() -> Task<void> { co_await ends(gather(make(1), make(2))); });
  with_each_fault([]() -> Task<void> { co_await ends(race(make(1), make(2))); });
  with_each_fault([]() -> Task<void> { co_await ends(when_any(make(1), make(2))); });
  const auto several = [] {
    std::vector<Task<Fragile>> tasks;
    for (int i = 0; i < 3; ++i) tasks.push_back(make(i));
    return tasks;
  };
  with_each_fault([&]() -> Task<void> { co_await ends(gather(several())); });
  with_each_fault([&]() -> Task<void> { co_await ends(race(several())); });
  with_each_fault([&]() -> Task<void> { co_await ends(when_any(several())); });
  with_each_fault([&]() -> Task<void> {
    auto body = [](AsCompleted<Fragile>& results) -> Task<void> {
      while (auto handle = co_await results.next()) works([&] { handle.result(); });
    };
    co_await as_completed(several(), body);
  });
  with_each_fault([]() -> Task<void> {
    try {
      const Fragile argument(1);
      auto call = to_thread([](const Fragile& item) { return Fragile(item.number); }, argument);
      static_cast<void>(co_await call);
    } catch (const Refused&) {
    }
  });
}

TEST_CASE("the result of a remote task is there still when taking it has thrown, or is its failure") {
  with_each_fault([]() -> Task<void> {
    auto handle = spawn_threadsafe(EventLoop::running(), make(7));
    bool retrieved = false;
    for (int i = 0; i < 2 && !retrieved; ++i) try {
        const Fragile taken = co_await handle;
        REQUIRE(taken.number == 7);
        retrieved = true;
      } catch (const Refused&) {
      }
  });
}

TEST_CASE("a callback whose captures throw isn't queued") {
  with_each_fault([]() -> Task<void> {
    int calls = 0;
    int queued = 0;
    const Fragile argument(3);
    for (int i = 0; i < 3; ++i) {
      const auto call = [&calls](const Fragile& item) { calls += item.number; };
      if (works([&] { EventLoop::running().call_soon(call, argument); })) queued += 3;
      if (works([&] { EventLoop::running().call_soon_threadsafe(call, argument); })) queued += 3;
    }
    while (calls < queued) co_await yield();
    REQUIRE(calls == queued);
  });
}
