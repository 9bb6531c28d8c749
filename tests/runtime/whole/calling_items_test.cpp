// Items whose destructor uses the container that they come from, and items that are aligned further than a
// coroutine's frame, through everything that carries items. For the sanitizers above all.
// SPDX-License-Identifier: MIT
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "../../../runtime/sync/broadcast.hpp"
#include "../../../runtime/sync/future.hpp"
#include "../../../runtime/sync/lifo_queue.hpp"
#include "../../../runtime/sync/priority_queue.hpp"
#include "../../../runtime/sync/queue.hpp"
#include "../../../runtime/sync/watch.hpp"
#include "../../../runtime/task/async_generator.hpp"
#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/task_local.hpp"
#include "../../../runtime/threads/channel.hpp"
#include "../../../runtime/threads/to_thread.hpp"
#include "../../support/on_selectors.hpp"
#include "../../support/turns.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

// Its destructor calls `on_end`, also when it was moved from; not from within that, and so often in all.
class Caller {
 public:
  static inline std::atomic<int> alive = 0;
  static inline std::function<void()> on_end;
  static inline int calls_left = 0;

  explicit Caller(int n) : number(n) { ++alive; }
  Caller(Caller&& other) noexcept : number(other.number) { ++alive; }
  Caller(const Caller& other) noexcept : number(other.number) { ++alive; }
  ~Caller() {
    --alive;
    static thread_local bool within = false;
    if (within || !on_end || calls_left == 0) return;
    --calls_left;
    within = true;
    try {
      on_end();
    } catch (const std::exception&) {  // it is full, empty, closed, spent
    }
    within = false;
  }
  friend bool operator<(const Caller& a, const Caller& b) { return a.number < b.number; }

  int number;
};

// Runs `scenario()`, whose items use their container by `use`, the next of several uses with each call.
template <class Container>
void calls_back(Container& container, std::vector<std::function<void(Container&)>> uses,
                const std::function<void(Container&)>& scenario) {
  for (std::size_t first = 0; first < uses.size(); ++first) {
    INFO("use " << first);
    std::size_t next = first;
    Caller::calls_left = 200;
    Caller::on_end = [&] { uses[next++ % uses.size()](container); };
    scenario(container);
    Caller::on_end = nullptr;
  }
}

template <class Q>
void queue_items_call_back() {
  const std::vector<std::function<void(Q*&)>> uses{
      [](Q*& q) { q->try_put(Caller(50)); }, [](Q*& q) { static_cast<void>(q->try_get()); },
      [](Q*& q) { q->put_nowait(Caller(60)); }, [](Q*& q) { q->get_nowait(); },
      [](Q*& q) { q->shutdown(true); }};
  for (const std::size_t kinds : {std::size_t{4}, std::size_t{5}}) {
    Q* queue = nullptr;
    calls_back<Q*>(queue, {uses.begin(), uses.begin() + static_cast<std::ptrdiff_t>(kinds)}, [](Q*& q) {
      q = new Q(4);
      run_here([&]() -> Task<void> {
        std::vector<JoinHandle<std::string>> ends;
        for (int i = 0; i < 8; ++i) ends.push_back(spawn(end_of(q->put(Caller(i)))));
        co_await turns(2);
        for (int i = 0; i < 4; ++i) try {
            q->get_nowait();
            q->try_put(Caller(20));
          } catch (const std::exception&) {
          }
        for (auto& end : ends) end.cancel();
        for (auto& end : ends) co_await end;
      });
      delete q;  // with items
    });
  }
  CHECK(Caller::alive == 0);
}

}  // namespace

TEST_CASE("the destructor of a queue's item may put, get and shut the queue down") {
  queue_items_call_back<Queue<Caller>>();
  queue_items_call_back<LifoQueue<Caller>>();
  queue_items_call_back<PriorityQueue<Caller>>();
}

namespace {

struct UsesItsQueue {
  static inline PriorityQueue<int, UsesItsQueue>* queue = nullptr;
  bool operator()(int a, int b) const {
    if (queue != nullptr) {
      queue->shutdown(true);
      static_cast<void>(queue->try_get());
    }
    return a < b;
  }
};

}  // namespace

TEST_CASE("a comparison that uses its PriorityQueue is refused, and no item is lost by that") {
  PriorityQueue<int, UsesItsQueue> queue;
  for (const int item : {3, 1, 2, 4}) queue.put_nowait(item);
  UsesItsQueue::queue = &queue;
  CHECK_THROWS_AS(queue.put_nowait(0), std::logic_error);
  CHECK_THROWS_AS(queue.get_nowait(), std::logic_error);
  UsesItsQueue::queue = nullptr;
  CHECK(queue.is_shut_down());
  for (int item = 1; item <= 4; ++item) CHECK(queue.get_nowait() == item);
  CHECK(queue.empty());
}

TEST_CASE("the destructor of a Broadcast's item may send, receive, subscribe and close") {
  struct Ends {
    Broadcast<Caller>& open() { return broadcast.value(); }
    Subscription<Caller>& at(std::size_t i) {
      if (!subscriptions.at(i)) throw std::runtime_error("it is gone");
      return *subscriptions[i];
    }
    void subscribe() { subscriptions.push_back(std::make_unique<Subscription<Caller>>(open().subscribe())); }
    std::optional<Broadcast<Caller>> broadcast;
    std::vector<std::unique_ptr<Subscription<Caller>>> subscriptions;
  };
  const std::vector<std::function<void(Ends&)>> uses{
      [](Ends& e) { e.open().send(Caller(1)); },
      [](Ends& e) { static_cast<void>(e.at(1).try_receive()); },
      [](Ends& e) { e.subscribe(); },
      [](Ends& e) { const auto going = std::move(e.subscriptions.at(2)); },
      [](Ends& e) { e.open().send(Caller(2)), e.open().send(Caller(3)); },
      [](Ends& e) { e.open().close(); },
      [](Ends& e) { e.broadcast.reset(); }};
  for (std::size_t kinds = 1; kinds <= uses.size(); ++kinds) {
    Ends ends;
    calls_back<Ends>(ends, {uses.begin(), uses.begin() + static_cast<std::ptrdiff_t>(kinds)}, [](Ends& e) {
      e.broadcast.emplace(2);
      e.subscriptions.reserve(1000);
      for (int i = 0; i < 4; ++i) e.subscribe();
      for (std::size_t i = 0; i < 5; ++i) try {
          e.open().send(Caller(1));
          static_cast<void>(e.at(i % 2).try_receive());
        } catch (const std::exception&) {
        }
      for (std::size_t i = 0; i < e.subscriptions.size(); ++i) {
        const auto going = std::move(e.subscriptions[i]);
        if (i % 2 == 0 && going) try {
            static_cast<void>(going->try_receive());
          } catch (const Lagged&) {
          }
      }
      e.broadcast.reset();
      e.subscriptions.clear();
    });
  }
  CHECK(Caller::alive == 0);
}

TEST_CASE("the destructor of a Watch's value may set another one") {
  std::optional<Watch<Caller>> watch;
  using W = std::optional<Watch<Caller>>;
  const std::vector<std::function<void(W&)>> uses{
      [](W& w) { w.value().set(Caller(1)); },
      [](W& w) { w.value().modify([](Caller& value) { ++value.number; }); },
      [](W& w) { static_cast<void>(w.value().subscribe().value().number); }};
  calls_back<W>(watch, uses, [](W& w) {
    w.emplace(Caller(0));
    const auto reader = w->subscribe();
    for (int i = 0; i < 4; ++i) w->set(Caller(i));
    Caller::on_end = nullptr;
    w->modify([&](Caller& value) {
      w->set(Caller(8));
      value.number = 9;  // of the one before, which is there still
    });
    CHECK(reader.value().number == 8);
    w.reset();
  });
  CHECK(Caller::alive == 0);
}

TEST_CASE("the destructor of an item of a Channel may send, receive and close") {
  Channel<Caller> channel(2);
  using C = Channel<Caller>;
  const std::vector<std::function<void(C&)>> uses{[](C& c) { c.try_send(Caller(1)); },
                                                  [](C& c) { static_cast<void>(c.try_receive()); },
                                                  [](C& c) { static_cast<void>(c.size()); }};
  calls_back<C>(channel, uses, [](C& c) {
    run_here([&]() -> Task<void> {
      std::vector<JoinHandle<std::string>> ends;
      for (int i = 0; i < 5; ++i) ends.push_back(spawn(end_of(c.send(Caller(i)))));
      co_await turns(2);
      for (int i = 0; i < 5; ++i) {
        static_cast<void>(c.try_receive());
        c.try_send(Caller(9));
      }
      for (auto& end : ends) end.cancel();
      for (auto& end : ends) co_await end;
    });
  });
  channel.close();
  while (channel.try_receive()) continue;
  CHECK(Caller::alive == 0);
}

TEST_CASE("the destructors of results, locals and yielded items may use what they come from") {
  static TaskLocal<Caller> local;
  run_here([]() -> Task<void> {
    std::optional<Promise<Caller>> promise(std::in_place);
    std::optional<Future<Caller>> future(promise->future());
    Caller::calls_left = 100;
    Caller::on_end = [&] {
      local.set(Caller(5));
      spawn([](Caller) -> Task<void> { co_return; }, Caller(3));
      if (promise && !promise->done()) promise->cancel();
      if (future) future->cancel();
    };
    local.set(Caller(1));
    local.set(Caller(2));
    {
      const TaskLocal<Caller>::Scope scope(local, Caller(3));
    }
    local.reset();
    CHECK_THROWS_AS(promise->set_result(Caller(4)), InvalidStateError);  // it was cancelled by the first
    future.reset();
    promise.reset();
    auto items = []() -> AsyncGenerator<Caller> {
      for (int i = 0; i < 3; ++i) {
        Caller item(i);
        co_yield std::move(item);
      }
    };
    auto generator = items();
    while (auto item = co_await generator.next()) local.set(std::move(*item));
    auto handle = spawn([]() -> Task<Caller> { co_return Caller(7); });
    static_cast<void>(co_await handle);
    auto call = to_thread([](int number) { return Caller(number); }, 1);
    static_cast<void>(co_await call);
  });
  Caller::on_end = nullptr;
  CHECK(Caller::alive == 0);
}

// Alignment.

namespace {

template <std::size_t alignment>
class alignas(alignment) Aligned {
 public:
  explicit Aligned(int n) noexcept : number(n) { check(); }
  Aligned(Aligned&& other) noexcept : number(other.number) { check(); }
  Aligned(const Aligned& other) noexcept : number(other.number) { check(); }
  ~Aligned() { check(); }
  friend bool operator<(const Aligned& a, const Aligned& b) { return a.number < b.number; }

  static inline int misaligned = 0;
  int number;

 private:
  void check() const noexcept { misaligned += reinterpret_cast<std::uintptr_t>(this) % alignment != 0; }
};

template <class A>
void is_aligned_everywhere() {
  static TaskLocal<A> local;
  int sum = 0;
  // No coroutine's frame has one: plain functions use them.
  const auto use = [&] {
    Queue<A> queue;
    LifoQueue<A> lifo;
    PriorityQueue<A> sorted;
    Broadcast<A> broadcast(4);
    auto one = broadcast.subscribe();
    auto two = broadcast.subscribe();
    Watch<A> watch(A(0));
    Channel<A> channel(4);
    for (int i = 0; i < 9; ++i) {
      queue.try_put(A(1));
      lifo.try_put(A(1));
      sorted.try_put(A(9 - i));
      broadcast.send(A(1));
      watch.set(A(i));
      channel.try_send(A(1));
      local.set(A(i));
    }
    while (!queue.empty()) sum += queue.get_nowait().number + lifo.try_get()->number;
    sum += sorted.get_nowait().number;
    for (auto* subscription : {&one, &two}) try {
        static_cast<void>(subscription->try_receive());
      } catch (const Lagged&) {
        sum += subscription->try_receive()->number;
      }
    sum += channel.try_receive()->number;
    Promise<A> promise;
    auto future = promise.future();
    promise.set_result(A(1));
    sum += future.result().number;
    EventLoop::running().call_soon([&sum](const A& argument) { sum += argument.number; }, A(1));
    EventLoop::running().call_soon_threadsafe([&sum](const A& argument) { sum += argument.number; }, A(1));
  };
  run_here([&]() -> Task<void> {
    use();
    while (sum < 25) co_await yield();
  });
  CHECK(A::misaligned == 0);
}

}  // namespace

TEST_CASE("items that are aligned further than operator new aligns are, wherever they are kept") {
  is_aligned_everywhere<Aligned<64>>();
  is_aligned_everywhere<Aligned<128>>();
}
