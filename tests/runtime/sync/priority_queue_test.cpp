// PriorityQueue and LifoQueue: the order in which their items come out.
// SPDX-License-Identifier: MIT
#include "../../../runtime/sync/priority_queue.hpp"

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "../../../runtime/sync/lifo_queue.hpp"
#include "../../../runtime/task/join_handle.hpp"
#include "../../support/on_selectors.hpp"
#include "../../support/turns.hpp"

using namespace heddle;
using namespace heddle::test;

TEST_CASE("the smallest item comes out of a priority queue first, and of equal ones the oldest") {
  struct Job {
    int priority;
    int number;
    bool operator<(const Job& other) const { return priority < other.priority; }
  };
  std::mt19937 random(7);  // NOLINT: the same each time
  for (int size = 0; size < 60; ++size) {
    PriorityQueue<Job> queue;
    std::vector<Job> sorted;
    for (int i = 0; i < size; ++i) {
      const Job job{static_cast<int>(random() % 8), i};
      queue.put_nowait(job);
      sorted.push_back(job);
    }
    std::sort(sorted.begin(), sorted.end(), [](const Job& a, const Job& b) {
      return a.priority != b.priority ? a.priority < b.priority : a.number < b.number;
    });
    for (const Job& expected : sorted) CHECK(queue.get_nowait().number == expected.number);
    CHECK(queue.empty());
  }
}

TEST_CASE("a priority queue may have an order of its own, and items that can only be moved") {
  struct Longest {
    bool operator()(const std::unique_ptr<std::string>& a, const std::unique_ptr<std::string>& b) const {
      return a->size() > b->size();
    }
  };
  PriorityQueue<std::unique_ptr<std::string>, Longest> queue;
  for (const char* text : {"aa", "a", "aaa"}) queue.put_nowait(std::make_unique<std::string>(text));
  CHECK(*queue.get_nowait() == "aaa");
  CHECK(*queue.get_nowait() == "aa");
  CHECK(queue.qsize() == 1);
}

TEST_CASE("who waits to put into a full priority queue comes in when there is room, and is sorted in") {
  run_here([]() -> Task<void> {
    PriorityQueue<int> queue(2);
    co_await queue.put(5);
    co_await queue.put(3);
    auto first = spawn(end_of(queue.put(1)));
    auto second = spawn(end_of(queue.put(4)));
    co_await turns(2);
    CHECK(queue.full());
    std::vector<int> got;
    for (int i = 0; i < 4; ++i) got.push_back(co_await queue.get());
    CHECK(got == std::vector<int>{3, 1, 4, 5});
    co_await first;
    co_await second;
    auto gets = spawn(end_of(queue.get()));
    co_await yield();
    queue.shutdown();
    const std::string end = co_await gets;
    CHECK(end == "Queue.get(): the queue was shut down");
  });
}

TEST_CASE("the newest item comes out of a lifo queue first") {
  run_here([]() -> Task<void> {
    LifoQueue<std::unique_ptr<int>> queue(3);
    for (int i = 0; i < 3; ++i) co_await queue.put(std::make_unique<int>(i));
    auto puts = spawn(end_of(queue.put(std::make_unique<int>(3))));
    co_await yield();
    std::vector<int> got;
    for (int i = 0; i < 4; ++i) got.push_back(*co_await queue.get());
    CHECK(got == std::vector<int>{2, 3, 1, 0});
    co_await puts;
    queue.put_nowait(nullptr);
    queue.shutdown(true);
    CHECK(queue.empty());
  });
}
