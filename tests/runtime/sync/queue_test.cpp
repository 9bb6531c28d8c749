// Queue: every item that was put is got, once, in order.
// SPDX-License-Identifier: MIT
#include "../../../runtime/sync/queue.hpp"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../../runtime/task/gather.hpp"
#include "../../../runtime/task/join_handle.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../../runtime/testing/testing.hpp"
#include "../../../selector/errors.hpp"
#include "../../support/allocations.hpp"
#include "../../support/on_selectors.hpp"
#include "../../support/turns.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

Task<void> put_all(Queue<int>& queue, int from, int to) {
  for (int i = from; i < to; ++i) co_await queue.put(i);
}

Task<void> get_some(Queue<int>& queue, std::vector<int>& got, int count) {
  for (int i = 0; i < count; ++i) got.push_back(co_await queue.get());
}

std::vector<int> range(int from, int to) {
  std::vector<int> numbers;
  for (int i = from; i < to; ++i) numbers.push_back(i);
  return numbers;
}

}  // namespace

ON_SELECTORS("items come out of a queue in the order in which they were put, whatever its size") {
  run_on(selector, []() -> Task<void> {
    for (const std::size_t maxsize : {0U, 1U, 2U, 7U, 1000U}) {
      Queue<int> queue(maxsize);
      std::vector<int> got;
      co_await gather(put_all(queue, 0, 500), get_some(queue, got, 500));
      CHECK(got == range(0, 500));
      CHECK(queue.empty());
    }
  });
}

TEST_CASE("a queue tells how many items it has and takes, and whether it is full") {
  run_here([]() -> Task<void> {
    Queue<std::string> queue(2);
    CHECK(queue.maxsize() == 2);
    CHECK(queue.empty());
    co_await queue.put("a");
    CHECK_FALSE(queue.full());
    CHECK(queue.qsize() == 1);
    co_await queue.put("b");
    CHECK(queue.full());
    std::string item = co_await queue.get();
    CHECK(item == "a");
    item = co_await queue.get();
    CHECK(item == "b");
    const Queue<int> endless;
    CHECK(endless.maxsize() == 0);
    CHECK_FALSE(endless.full());
  });
}

TEST_CASE("who finds a queue full waits until there is room") {
  run_here([]() -> Task<void> {
    Queue<int> queue(1);
    auto puts = spawn(put_all(queue, 0, 3));
    co_await turns(3);
    CHECK(queue.qsize() == 1);
    CHECK_FALSE(puts.done());
    int item = co_await queue.get();
    CHECK(item == 0);
    CHECK(queue.qsize() == 1);  // the item of who waited is in
    item = co_await queue.get();
    CHECK(item == 1);
    item = co_await queue.get();
    CHECK(item == 2);
    co_await puts;
  });
}

TEST_CASE("those who wait for items are served in the order in which they came, and nobody comes between") {
  run_here([]() -> Task<void> {
    Queue<int> queue;
    std::vector<int> first;
    std::vector<int> second;
    auto one = spawn(get_some(queue, first, 1));
    auto two = spawn(get_some(queue, second, 1));
    co_await yield();
    queue.put_nowait(1);
    CHECK_FALSE(queue.try_get());  // it is given away already
    queue.put_nowait(2);
    queue.put_nowait(3);
    const int mine = co_await queue.get();
    CHECK(mine == 3);
    co_await one;
    co_await two;
    CHECK(first == std::vector<int>{1});
    CHECK(second == std::vector<int>{2});
  });
}

TEST_CASE("those who wait to put are served in the order in which they came") {
  run_here([]() -> Task<void> {
    Queue<int> queue(1);
    queue.put_nowait(0);
    for (int i = 1; i <= 3; ++i) spawn(put_all(queue, i, i + 1));
    co_await yield();
    std::vector<int> got;
    co_await get_some(queue, got, 4);
    CHECK(got == range(0, 4));
  });
}

TEST_CASE("a queue takes items that can only be moved") {
  run_here([]() -> Task<void> {
    Queue<std::unique_ptr<int>> queue(1);
    auto gets = [](Queue<std::unique_ptr<int>>& q) -> Task<int> {
      int sum = 0;
      for (int i = 0; i < 20; ++i) sum += *co_await q.get();
      co_return sum;
    };
    auto handle = spawn(gets(queue));
    for (int i = 0; i < 20; ++i) co_await queue.put(std::make_unique<int>(i));
    const int sum = co_await handle;
    CHECK(sum == 190);
  });
}

TEST_CASE("items that are left go with the queue, and their order survives its growth") {
  const auto item = std::make_shared<int>(1);
  {
    Queue<std::shared_ptr<int>> queue;
    for (int i = 0; i < 5; ++i) queue.put_nowait(item);
    for (int i = 0; i < 3; ++i) CHECK(queue.get_nowait() == item);
    for (int i = 0; i < 20; ++i) queue.put_nowait(item);
    CHECK(item.use_count() == 23);
  }
  CHECK(item.use_count() == 1);
  Queue<int> numbers;
  std::vector<int> got;
  int next = 0;
  for (int i = 0; i < 100; ++i) {
    for (int k = 0; k < 3; ++k) numbers.put_nowait(next++);
    got.push_back(numbers.get_nowait());
  }
  while (auto number = numbers.try_get()) got.push_back(*number);
  CHECK(got == range(0, 300));
}

TEST_CASE("without waiting, a full queue and an empty one are errors, or are told") {
  Queue<std::string> queue(1);
  CHECK(thrown<QueueEmpty>([&] { queue.get_nowait(); }) == "Queue.get_nowait(): the queue is empty");
  CHECK_FALSE(queue.try_get());
  std::string item = "something long enough to be on the heap, where moving it would show";
  CHECK(queue.try_put(item));
  CHECK_FALSE(queue.try_put(std::move(item)));
  CHECK_FALSE(item.empty());  // it was left alone
  CHECK(thrown<QueueFull>([&] { queue.put_nowait(item); }) == "Queue.put_nowait(): the queue is full");
  CHECK(queue.try_get() == item);
}

TEST_CASE("an item that was given to a task which is cancelled before its turn is delivered") {
  run_here([]() -> Task<void> {
    Queue<int> queue;
    std::vector<int> got;
    auto handle = spawn(get_some(queue, got, 2));
    co_await yield();
    queue.put_nowait(1);
    handle.cancel();
    queue.put_nowait(2);
    co_await turns(2);
    CHECK(handle.cancelled());
    CHECK(got == std::vector<int>{1});
    CHECK(queue.get_nowait() == 2);
  });
}

TEST_CASE("a cancelled get or put leaves the others in their order") {
  run_here([]() -> Task<void> {
    Queue<int> queue(1);
    std::vector<int> got;
    auto first = spawn(get_some(queue, got, 1));
    auto second = spawn(get_some(queue, got, 1));
    co_await yield();
    first.cancel();
    co_await yield();
    queue.put_nowait(7);
    co_await second;
    CHECK(first.cancelled());
    CHECK(got == std::vector<int>{7});

    queue.put_nowait(0);
    auto third = spawn(put_all(queue, 1, 2));
    auto fourth = spawn(put_all(queue, 2, 3));
    co_await yield();
    third.cancel();
    co_await yield();
    CHECK(third.cancelled());
    CHECK(queue.get_nowait() == 0);
    CHECK(queue.get_nowait() == 2);
    co_await fourth;
  });
}

TEST_CASE("a request to stop comes out of put and get before anything is done") {
  run_here([]() -> Task<void> {
    Queue<int> queue;
    queue.put_nowait(1);
    current.task->cancel();
    const std::string put_end = co_await end_of(queue.put(2));
    current.task->cancel();
    const std::string get_end = co_await end_of(queue.get());
    current.task->uncancel();
    current.task->uncancel();
    CHECK(put_end == "cancelled");
    CHECK(get_end == "cancelled");
    CHECK(queue.qsize() == 1);
  });
}

TEST_CASE("wherever producer and consumer are cancelled, no item is lost or doubled") {
  std::vector<int> got;
  int next = 0;  // to be put
  const auto scenario = [&]() -> Task<void> {
    got.clear();
    next = 0;
    Queue<int> queue(2);
    // A put that throws has not happened, a get that throws has taken nothing.
    auto produce = [](Queue<int>& q, int& number) -> Task<void> {
      for (; number < 8; ++number) co_await q.put(number);
    };
    auto consume = [](Queue<int>& q, std::vector<int>& out) -> Task<void> {
      while (out.size() < 8) out.push_back(co_await q.get());
    };
    std::exception_ptr error;
    try {
      co_await gather(produce(queue, next), consume(queue, got));
    } catch (...) {
      error = std::current_exception();
    }
    while (auto item = queue.try_get()) got.push_back(*item);
    if (error) std::rethrow_exception(error);
  };
  const auto check = [&](const DisturbedRun& run) {
    check_usual_end(run);
    // The last put may have been told TOO_LATE: its item is in, and the request stopped the next one.
    CHECK(got == range(0, static_cast<int>(got.size())));
    CHECK((static_cast<int>(got.size()) == next || static_cast<int>(got.size()) == next + 1));
  };
  DisturbOptions options;
  options.main_only = true;  // without a consumer the producer would wait for ever, as it should
  CHECK(cancel_everywhere(scenario, check, options).places >= 3);
  const auto broken = std::make_exception_ptr(std::runtime_error("broken"));
  CHECK(throw_everywhere(scenario, broken, check).failed >= 3);
}

TEST_CASE("whoever is cancelled at random, every item that was put is got once") {
  for (unsigned seed = 0; seed < 60; ++seed) {
    INFO("seed " << seed);
    run_here([seed]() -> Task<void> {
      std::minstd_rand random(seed + 1);
      Queue<int> queue(seed % 4);
      std::vector<int> put;
      std::vector<int> got;
      int next = 0;
      // Both note what has happened in the turn in which it did.
      auto produce = [](Queue<int>& q, std::vector<int>& done, int& number) -> Task<void> {
        for (;;) {
          const int item = number++;
          co_await q.put(item);
          done.push_back(item);
        }
      };
      auto consume = [](Queue<int>& q, std::vector<int>& done) -> Task<void> {
        for (;;) {
          done.push_back(co_await q.get());
          co_await yield();
        }
      };
      std::vector<JoinHandle<void>> handles;
      for (int i = 0; i < 400; ++i) {
        if (handles.size() < 6)
          handles.push_back(random() % 2 == 0 ? spawn(produce(queue, put, next))
                                              : spawn(consume(queue, got)));
        const std::size_t chosen = random() % handles.size();
        if (random() % 3 == 0) handles[chosen].cancel();
        if (handles[chosen].done()) handles.erase(handles.begin() + static_cast<std::ptrdiff_t>(chosen));
        if (random() % 2 == 0) co_await yield();
      }
      for (const auto& handle : handles) handle.state().cancel();
      co_await turns(3);
      while (auto item = queue.try_get()) got.push_back(*item);
      CHECK(got.size() > 20);
      std::sort(put.begin(), put.end());
      std::sort(got.begin(), got.end());
      CHECK(got == put);
    });
  }
}

TEST_CASE("a producer that never has to wait lets the consumer run") {
  run_here([]() -> Task<void> {
    Queue<int> queue;
    std::vector<int> got;
    auto consumer = spawn(get_some(queue, got, 1));
    int puts = 0;
    for (; got.empty() && puts < 1000; ++puts) co_await queue.put(puts);
    CHECK(puts < 200);
    int gets = 0;
    auto flag = spawn(turns(0));
    for (; !flag.done() && gets < 1000 && !queue.empty(); ++gets) co_await queue.get();
    CHECK((flag.done() || queue.empty()));
    // With the budget spent, the item is taken before others have their turn.
    while (!queue.empty()) queue.get_nowait();
    for (int i = 0; i < 300; ++i) queue.put_nowait(i);
    std::vector<int> mine;
    std::vector<int> theirs;
    co_await gather(get_some(queue, mine, 150), get_some(queue, theirs, 150));
    mine.insert(mine.end(), theirs.begin(), theirs.end());
    std::vector<bool> seen(300);
    for (const int item : mine) seen[static_cast<std::size_t>(item)] = true;
    CHECK(mine.size() == 300);
    CHECK(std::find(seen.begin(), seen.end(), false) == seen.end());
    CHECK(std::is_sorted(theirs.begin(), theirs.end()));
  });
}

TEST_CASE("join waits until every item is done") {
  run_here([]() -> Task<void> {
    Queue<int> queue(1);
    co_await queue.join();  // there was none
    auto puts = spawn(put_all(queue, 0, 3));
    co_await yield();
    auto join = [](Queue<int>& q) -> Task<void> { co_await q.join(); };
    auto first = spawn(join(queue));
    auto second = spawn(join(queue));
    auto third = spawn(join(queue));
    co_await yield();
    third.cancel();
    for (int i = 0; i < 3; ++i) {
      co_await queue.get();
      co_await turns(2);
      CHECK_FALSE(first.done());
      queue.task_done();
    }
    co_await first;
    co_await second;
    CHECK(third.cancelled());
    CHECK(thrown<ValueError>([&] { queue.task_done(); }) ==
          "Queue.task_done(): called more often than items were put");
  });
}

TEST_CASE("a queue that was shut down takes no more items, and gives those it has") {
  run_here([]() -> Task<void> {
    Queue<int> queue(2);
    co_await queue.put(1);
    co_await queue.put(2);
    auto waits = spawn(end_of(queue.put(3)));
    co_await yield();
    queue.shutdown();
    queue.shutdown();
    CHECK(queue.is_shut_down());
    const std::string waits_end = co_await waits;
    CHECK(waits_end == "Queue.put(): the queue was shut down");
    const std::string put_end = co_await end_of(queue.put(3));
    CHECK(put_end == "Queue.put(): the queue was shut down");
    CHECK_THROWS_AS(queue.put_nowait(3), QueueShutDown);
    CHECK_THROWS_AS(queue.try_put(3), QueueShutDown);
    const int first = co_await queue.get();
    CHECK(first == 1);
    CHECK(queue.try_get() == 2);
    const std::string get_end = co_await end_of(queue.get());
    CHECK(get_end == "Queue.get(): the queue was shut down");
    CHECK_THROWS_AS(queue.get_nowait(), QueueShutDown);
    CHECK_THROWS_AS(queue.try_get(), QueueShutDown);
  });
}

TEST_CASE("shutting a queue down wakes those who wait for items, unless they were given one") {
  run_here([]() -> Task<void> {
    Queue<int> queue;
    std::vector<int> got;
    auto given = spawn(get_some(queue, got, 1));
    auto waits = spawn(end_of(queue.get()));
    co_await yield();
    queue.put_nowait(1);
    queue.shutdown();
    co_await given;
    CHECK(got == std::vector<int>{1});
    const std::string end = co_await waits;
    CHECK(end == "Queue.get(): the queue was shut down");
  });
}

TEST_CASE("an immediate shutdown drops the items, and who joins goes on") {
  run_here([]() -> Task<void> {
    Queue<int> queue;
    for (int i = 0; i < 3; ++i) queue.put_nowait(i);
    co_await queue.get();
    auto join = [](Queue<int>& q) -> Task<void> { co_await q.join(); };
    auto joins = spawn(join(queue));
    co_await yield();
    queue.shutdown(true);
    CHECK(queue.empty());
    CHECK_THROWS_AS(queue.get_nowait(), QueueShutDown);
    co_await turns(2);
    CHECK_FALSE(joins.done());  // one item is in work
    queue.task_done();
    co_await joins;
  });
}

TEST_CASE("who waits for a queue that is destroyed is told so") {
  run_here([]() -> Task<void> {
    auto queue = std::make_unique<Queue<std::unique_ptr<int>>>(1);
    auto gets = spawn(end_of(queue->get()));
    co_await yield();
    auto other = std::make_unique<Queue<std::unique_ptr<int>>>(1);
    other->put_nowait(nullptr);
    auto puts = spawn(end_of(other->put(std::make_unique<int>(1))));
    auto joins = spawn(end_of(other->join()));
    co_await yield();
    queue.reset();
    other.reset();
    const std::string get_end = co_await gets;
    const std::string put_end = co_await puts;
    const std::string join_end = co_await joins;
    CHECK(get_end == "Queue.get(): the Queue was destroyed");
    CHECK(put_end == "Queue.put(): the Queue was destroyed");
    CHECK(join_end == "Queue.join(): the Queue was destroyed");
  });
}

TEST_CASE("an item whose copy fails is not put") {
  struct Fragile {
    explicit Fragile(bool breaks) : fails(breaks) {}
    Fragile(const Fragile& other) : fails(other.fails) {
      if (fails) throw std::runtime_error("no copy");
    }
    bool fails;
  };
  Queue<Fragile> queue;
  const Fragile bad(true);
  CHECK(thrown<std::runtime_error>([&] { queue.try_put(bad); }) == "no copy");
  CHECK(queue.empty());
  for (int i = 0; i < 8; ++i) queue.put_nowait(Fragile(false));
  CHECK(queue.qsize() == 8);
}

TEST_CASE("items cross a queue without an allocation") {
  run_here([]() -> Task<void> {
    Queue<int> queue(4);
    std::vector<int> got;
    got.reserve(2000);
    auto puts = spawn(put_all(queue, 0, 2000));
    auto gets = spawn(get_some(queue, got, 2000));
    co_await turns(10);
    const auto before = allocations();
    co_await puts;
    co_await gets;
    if (allocations_are_counted) CHECK(allocations() == before);
  });
}
