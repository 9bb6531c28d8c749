// One copy of heddle among others in the program: compiled twice, as first_copy() and as second_copy().
// SPDX-License-Identifier: MIT
#include "copy.hpp"

#include <array>
#include <chrono>
#include <heddle/heddle.hpp>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

namespace {

template <int Size>
heddle::AsyncGenerator<int> numbers() {
  std::array<char, Size> room{};
  for (int i = 0;; ++i) {
    room[static_cast<std::size_t>(i) % room.size()] = static_cast<char>(i);
    co_yield i + room[0];
  }
}

heddle::Task<int> deep(int depth) {
  if (depth == 0) {
    co_await heddle::yield();
    co_return 1;
  }
  const int below = co_await deep(depth - 1);
  co_return below + 1;
}

heddle::Task<void> produce(heddle::Queue<int>& queue) {
  for (int i = 0; i < 100; ++i) co_await queue.put(i);
}

heddle::Task<int> consume(heddle::Queue<int>& queue, heddle::Lock& lock) {
  int sum = 0;
  for (int i = 0; i < 100; ++i) {
    const int item = co_await queue.get();
    const auto held = co_await lock.scoped();
    sum += item;
  }
  co_return sum;
}

heddle::Task<int> fails() {
  co_await heddle::sleep(1ms);
  throw std::runtime_error("thrown by a task");
}

heddle::Task<void> for_ever() { co_await heddle::sleep(1h); }

heddle::Task<int> all(void (*inside)(void*), void* argument) {
  heddle::Queue<int> queue(3);
  heddle::Lock lock;
  auto producer = heddle::spawn(produce(queue));
  auto consumer = heddle::spawn(consume(queue, lock));
  auto beside = heddle::spawn(deep(20));
  co_await heddle::yield();
  if (inside != nullptr) inside(argument);
  int sum = co_await consumer;
  co_await producer;
  sum += co_await beside;
  auto failing = heddle::spawn(fails());
  try {
    sum += co_await failing;
  } catch (const std::runtime_error&) {
    sum += 10;
  }
  try {
    co_await heddle::timeout(1ms, for_ever());
  } catch (const heddle::TimeoutError&) {
    sum += 100;
  }
  if (inside != nullptr) inside(argument);
  auto generator = numbers<100>();
  for (int i = 0; i < 3; ++i) {
    const std::optional<int> next = co_await generator.next();
    sum += *next;
  }
  sum += co_await heddle::to_thread([] { return 1000; });
  co_return sum;
}

struct Made {
  std::vector<heddle::AsyncGenerator<int>> generators;
};

template <int... Size>
void add(Made& made, std::integer_sequence<int, Size...>) {
  (made.generators.push_back(numbers<64 * (Size + 1)>()), ...);
}

heddle::Task<void> step(Made& made) {
  for (heddle::AsyncGenerator<int>& generator : made.generators) co_await generator.next();
}

std::unique_ptr<Made> some() {
  auto made = std::make_unique<Made>();
  for (int i = 0; i < 20; ++i) add(*made, std::make_integer_sequence<int, 12>());
  heddle::run(step(*made));
  return made;
}

int run(void (*inside)(void*), void* argument) { return heddle::run(all(inside, argument)); }

void* make() { return some().release(); }

int destroy(void* pointer) {
  const std::unique_ptr<Made> made(static_cast<Made*>(pointer));
  return static_cast<int>(made->generators.size());
}

int across_threads() {
  void* made = nullptr;
  std::thread([&] { made = make(); }).join();
  int count = destroy(made);
  made = make();
  std::thread([&] { count += destroy(std::exchange(made, nullptr)); }).join();
  return count;
}

void leave_to_thread_end() {
  static thread_local std::unique_ptr<Made> before;  // destroyed last, as its thread has no cache yet
  if (before == nullptr) {
    before = std::make_unique<Made>();
    static thread_local std::unique_ptr<Made> after = some();
    for (int i = 0; i < 10; ++i) {
      auto more = some();
      for (auto& generator : more->generators) before->generators.push_back(std::move(generator));
    }
  }
}

bool runs() { return heddle::detail::current.loop != nullptr; }

}  // namespace

extern "C" const Copy* COPY();
extern "C" const Copy* COPY() {
  static constexpr Copy copy{&run, &make, &destroy, &across_threads, &leave_to_thread_end, &runs};
  return &copy;
}

// For ctypes.
extern "C" int plugin_runs();
extern "C" int plugin_runs() {
  leave_to_thread_end();
  return run(nullptr, nullptr) + across_threads();
}
