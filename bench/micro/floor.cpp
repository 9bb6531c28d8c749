// The question `micro` for the featureless floor: what C++20 coroutines cost when there is nothing else: a
// queue of handles, frames from a free list; no cancellation, no owner, no names, no traces, no loop.
// SPDX-License-Identifier: MIT
#include <array>
#include <coroutine>
#include <exception>
#include <new>
#include <stdexcept>
#include <utility>

#include "micro.hpp"

using benchmark::State;

namespace {

constexpr std::size_t granule = 64, classes = 32;
constinit thread_local std::array<void*, classes> free_lists{};

void* take(std::size_t size) {
  const std::size_t index = (size + granule - 1) / granule;
  if (index >= classes) return ::operator new(size);
  void* const block = free_lists[index];
  if (block == nullptr) return ::operator new(index * granule);
  free_lists[index] = *static_cast<void**>(block);
  return block;
}

void give_back(void* block, std::size_t size) {
  const std::size_t index = (size + granule - 1) / granule;
  if (index >= classes) return ::operator delete(block);
  *static_cast<void**>(block) = std::exchange(free_lists[index], block);
}

struct PromiseBase {
  static void* operator new(std::size_t size) { return take(size); }
  static void operator delete(void* block, std::size_t size) { give_back(block, size); }

  PromiseBase* next = nullptr;  // in the queue
  std::coroutine_handle<> self;
};

// What is ready, first in, first out.
struct Ready {
  void push(PromiseBase& promise) {
    promise.next = nullptr;
    *end = &promise;
    end = &promise.next;
  }
  void run() {
    while (first != nullptr) {
      PromiseBase& promise = *first;
      first = promise.next;
      if (first == nullptr) end = &first;
      promise.self.resume();
    }
  }
  PromiseBase* first = nullptr;
  PromiseBase** end = &first;
};
constinit thread_local Ready* ready = nullptr;

struct Task {
  struct promise_type : PromiseBase {
    promise_type() { self = std::coroutine_handle<promise_type>::from_promise(*this); }
    Task get_return_object() { return Task{std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() noexcept { return {}; }
    struct End {
      bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> h) const noexcept {
        const auto waiter = h.promise().waiter;
        if (h.promise().detached) h.destroy();
        return waiter;
      }
      void await_resume() const noexcept {}
    };
    End final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { error = std::current_exception(); }

    std::coroutine_handle<> waiter = std::noop_coroutine();
    std::exception_ptr error;
    bool detached = false;
  };
  using Handle = std::coroutine_handle<promise_type>;

  explicit Task(Handle handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  ~Task() {
    if (handle_) handle_.destroy();
  }

  struct Awaiter {
    bool await_ready() const noexcept { return handle.done(); }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiter) const noexcept {
      handle.promise().waiter = waiter;
      return started ? std::noop_coroutine() : std::coroutine_handle<>(handle);
    }
    void await_resume() const {
      if (handle.promise().error) std::rethrow_exception(handle.promise().error);
    }
    Handle handle;
    bool started = false;
  };
  Awaiter operator co_await() const { return {handle_}; }
  Awaiter join() const { return {handle_, true}; }

  Handle handle_;
};

void start(Task& task) { ready->push(task.handle_.promise()); }

void spawn_detached(Task task) {
  auto& promise = std::exchange(task.handle_, nullptr).promise();
  promise.detached = true;
  ready->push(promise);
}

struct Yield {
  bool await_ready() const noexcept { return false; }
  void await_suspend(Task::Handle h) const noexcept { ready->push(h.promise()); }
  void await_resume() const noexcept {}
};

// One item, one who puts, one who gets.
struct Slot {
  struct Put {
    bool await_ready() const noexcept { return !slot.full; }
    void await_suspend(Task::Handle h) const noexcept { slot.putter = &h.promise(); }
    void await_resume() const noexcept {
      slot.full = true;
      slot.item = item;
      if (slot.getter != nullptr) ready->push(*std::exchange(slot.getter, nullptr));
    }
    Slot& slot;
    int item;
  };
  struct Get {
    bool await_ready() const noexcept { return slot.full; }
    void await_suspend(Task::Handle h) const noexcept { slot.getter = &h.promise(); }
    int await_resume() const noexcept {
      slot.full = false;
      if (slot.putter != nullptr) ready->push(*std::exchange(slot.putter, nullptr));
      return slot.item;
    }
    Slot& slot;
  };
  Put put(int value) { return {*this, value}; }
  Get get() { return {*this}; }

  bool full = false;
  int item = 0;
  PromiseBase* putter = nullptr;
  PromiseBase* getter = nullptr;
};

Task nothing() { co_return; }

Task await_child(State& state) {
  for (auto _ : state) co_await nothing();
  micro::count_items(state);
}

Task spawn(State& state) {
  for (auto _ : state) {
    for (int i = 0; i < micro::batch; ++i) spawn_detached(nothing());
    co_await Yield();
  }
  micro::count_items(state, micro::batch);
}

Task spawn_join(State& state) {
  for (auto _ : state) {
    Task task = nothing();
    start(task);
    co_await task.join();
  }
  micro::count_items(state);
}

Task take_turns(const bool& stopped) {
  while (!stopped) co_await Yield();
}

Task yield(State& state) {
  bool stopped = false;
  Task other = take_turns(stopped);
  start(other);
  for (auto _ : state) co_await Yield();
  micro::count_items(state, 2);
  stopped = true;
  co_await other.join();
}

Task drain(Slot& slot) {
  int item = 0;
  while (item >= 0) item = co_await slot.get();
}

Task queue(State& state) {
  Slot slot;
  Task other = drain(slot);
  start(other);
  for (auto _ : state) co_await slot.put(1);
  micro::count_items(state);
  co_await slot.put(-1);
  co_await other.join();
}

Task fail(int frames) {
  if (frames == 1) throw std::runtime_error("no");
  co_await fail(frames - 1);
}

Task exception(State& state) {
  for (auto _ : state) {
    try {
      co_await fail(3);
    } catch (const std::runtime_error&) {
    }
  }
  micro::count_items(state);
}

template <Task (*Operation)(State&)>
void run(State& state) {
  Ready queue;
  ready = &queue;
  Task task = Operation(state);
  start(task);
  queue.run();
}

}  // namespace

BENCHMARK(run<await_child>)->Name("await_child");
BENCHMARK(run<spawn>)->Name("spawn");
BENCHMARK(run<spawn_join>)->Name("spawn_join");
BENCHMARK(run<yield>)->Name("yield");
BENCHMARK(run<queue>)->Name("queue");
BENCHMARK(run<exception>)->Name("exception");
BENCHMARK_MAIN();
