// The question `micro` for heddle: one benchmark an operation, each in a run() of its own.
// SPDX-License-Identifier: MIT
#include <heddle/heddle.hpp>
#include <stdexcept>
#include <thread>
#include <vector>

#include "micro.hpp"

using benchmark::State;
using heddle::Task;

namespace {

Task<void> nothing() { co_return; }

Task<void> await_child(State& state) {
  for (auto _ : state) co_await nothing();
  micro::count_items(state);
}

Task<void> spawn(State& state) {
  for (auto _ : state) {
    for (int i = 0; i < micro::batch; ++i) heddle::spawn(nothing());
    co_await heddle::yield();  // to the back of the queue: they run first
  }
  micro::count_items(state, micro::batch);
}

Task<void> spawn_join(State& state) {
  for (auto _ : state) co_await heddle::spawn(nothing());
  micro::count_items(state);
}

Task<void> take_turns(const bool& stopped) {
  while (!stopped) co_await heddle::yield();
}

Task<void> yield(State& state) {
  bool stopped = false;
  const auto other = heddle::spawn(take_turns(stopped));
  for (auto _ : state) co_await heddle::yield();
  micro::count_items(state, 2);
  stopped = true;
  co_await other;
}

Task<void> drain(heddle::Queue<int>& queue) {
  int item = 0;
  while (item >= 0) item = co_await queue.get();
}

Task<void> queue(State& state) {
  heddle::Queue<int> queue(1);
  const auto other = heddle::spawn(drain(queue));
  for (auto _ : state) co_await queue.put(1);
  micro::count_items(state);
  co_await queue.put(-1);
  co_await other;
}

Task<void> lock(State& state) {
  heddle::Lock lock;
  for (auto _ : state) const auto guard = co_await lock.scoped();
  micro::count_items(state);
}

Task<void> timer(State& state) {
  auto& loop = heddle::EventLoop::running();
  for (auto _ : state) loop.call_later(micro::far, [] {}).cancel();
  micro::count_items(state);
  co_return;
}

Task<void> timeout(State& state) {
  for (auto _ : state) co_await heddle::timeout(micro::far, nothing());
  micro::count_items(state);
}

Task<void> nap(heddle::TimePoint until, int& left) {
  co_await heddle::sleep_until(until);
  --left;
}

Task<void> sleeps(State& state) {
  const int tasks = micro::tasks();
  const double before = micro::resident();
  for (auto _ : state) {
    int left = tasks;
    const auto start = heddle::EventLoop::running().time();
    for (int i = 0; i < tasks; ++i) heddle::spawn(nap(start + micro::nap(i), left));
    co_await heddle::yield();
    state.counters["bytes"] = (micro::resident() - before) / tasks;
    while (left > 0) co_await heddle::sleep(std::chrono::milliseconds(10));
  }
  micro::count_items(state, tasks);
}

Task<void> post(State& state) {
  auto& loop = heddle::EventLoop::running();
  heddle::OutsideWork expected;
  for (auto _ : state) {
    heddle::Event all;
    int left = micro::posts;
    std::thread poster([&] {
      for (int i = 0; i < micro::posts; ++i)
        loop.call_soon_threadsafe([&] {
          if (--left == 0) all.set();
        });
    });
    co_await all.wait();
    poster.join();
  }
  micro::count_items(state, micro::posts);
}

Task<void> to_thread(State& state) {
  int answer = 0;
  for (auto _ : state) answer += co_await heddle::to_thread([] { return 1; });
  benchmark::DoNotOptimize(answer);
  micro::count_items(state);
}

Task<void> fail(int frames) {
  if (frames == 1) throw std::runtime_error("no");
  co_await fail(frames - 1);
}

Task<void> exception(State& state) {
  for (auto _ : state) {
    try {
      co_await fail(3);
    } catch (const std::runtime_error&) {
    }
  }
  micro::count_items(state);
}

Task<void> wait_for_ever() { co_await heddle::sleep(micro::far); }

Task<void> cancel(State& state) {
  for (auto _ : state) {
    auto task = heddle::spawn(wait_for_ever());
    co_await heddle::yield();
    task.cancel();
    while (!task.done()) co_await heddle::yield();
  }
  micro::count_items(state);
}

// As many as Arg says, alive at once: does the time grow as their number does?
Task<void> one_turn() { co_await heddle::yield(); }

Task<void> crowd(State& state) {
  const auto tasks = static_cast<std::size_t>(state.range(0));
  const double before = micro::resident();
  for (auto _ : state) {
    std::vector<heddle::JoinHandle<void>> handles;
    handles.reserve(tasks);
    for (std::size_t i = 0; i < tasks; ++i) handles.push_back(heddle::spawn(one_turn()));
    state.counters["bytes"] = (micro::resident() - before) / static_cast<double>(tasks);
    for (auto& handle : handles) co_await handle;
  }
  micro::count_items(state, static_cast<std::int64_t>(tasks));
}

template <Task<void> (*Operation)(State&)>
void run(State& state) {
  heddle::run(Operation(state));
}

}  // namespace

BENCHMARK(run<await_child>)->Name("await_child");
BENCHMARK(run<spawn>)->Name("spawn");
BENCHMARK(run<spawn_join>)->Name("spawn_join");
BENCHMARK(run<yield>)->Name("yield");
BENCHMARK(run<queue>)->Name("queue");
BENCHMARK(run<lock>)->Name("lock");
BENCHMARK(run<timer>)->Name("timer");
BENCHMARK(run<timeout>)->Name("timeout");
BENCHMARK(run<sleeps>)->Name("sleeps")->Iterations(1);
BENCHMARK(run<post>)->Name("post")->UseRealTime();
BENCHMARK(run<to_thread>)->Name("to_thread")->UseRealTime();
BENCHMARK(run<exception>)->Name("exception");
BENCHMARK(run<cancel>)->Name("cancel");
BENCHMARK(run<crowd>)->Name("crowd")->Arg(1'000)->Arg(10'000)->Arg(100'000)->Arg(1'000'000)->Iterations(1);
BENCHMARK_MAIN();
