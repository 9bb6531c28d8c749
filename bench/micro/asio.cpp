// The question `micro` for Asio's C++20 coroutines, told that one thread runs them.
// SPDX-License-Identifier: MIT
#include <asio.hpp>
#include <asio/experimental/channel.hpp>
#include <stdexcept>
#include <thread>

#include "micro.hpp"

using asio::awaitable;
using asio::use_awaitable;
using benchmark::State;
using Channel = asio::experimental::channel<void(std::error_code, int)>;

namespace {

awaitable<void> nothing() { co_return; }

auto here() { return asio::this_coro::executor; }

awaitable<void> await_child(State& state) {
  for (auto _ : state) co_await nothing();
  micro::count_items(state);
}

awaitable<void> spawn(State& state) {
  const auto executor = co_await here();
  for (auto _ : state) {
    for (int i = 0; i < micro::batch; ++i) asio::co_spawn(executor, nothing(), asio::detached);
    co_await asio::post(executor, use_awaitable);
  }
  micro::count_items(state, micro::batch);
}

awaitable<void> spawn_join(State& state) {
  const auto executor = co_await here();
  for (auto _ : state) co_await asio::co_spawn(executor, nothing(), use_awaitable);
  micro::count_items(state);
}

awaitable<void> take_turns(const bool& stopped) {
  const auto executor = co_await here();
  while (!stopped) co_await asio::post(executor, use_awaitable);
}

awaitable<void> yield(State& state) {
  const auto executor = co_await here();
  bool stopped = false;
  asio::co_spawn(executor, take_turns(stopped), asio::detached);
  for (auto _ : state) co_await asio::post(executor, use_awaitable);
  micro::count_items(state, 2);
  stopped = true;
  co_await asio::post(executor, use_awaitable);
}

awaitable<void> drain(Channel& channel) {
  int item = 0;
  while (item >= 0) item = co_await channel.async_receive(use_awaitable);
}

awaitable<void> queue(State& state) {
  const auto executor = co_await here();
  Channel channel(executor, 1);
  asio::co_spawn(executor, drain(channel), asio::detached);
  for (auto _ : state) co_await channel.async_send(std::error_code(), 1, use_awaitable);
  micro::count_items(state);
  co_await channel.async_send(std::error_code(), -1, use_awaitable);
  co_await asio::post(executor, use_awaitable);
}

awaitable<void> timer(State& state) {
  asio::steady_timer timer(co_await here());
  for (auto _ : state) {
    timer.expires_after(micro::far);
    timer.async_wait([](std::error_code) {});
    timer.cancel();
    co_await asio::post(timer.get_executor(), use_awaitable);  // its handler runs now
  }
  micro::count_items(state);
}

awaitable<void> nap(std::chrono::steady_clock::time_point until, int& left) {
  asio::steady_timer timer(co_await here(), until);
  co_await timer.async_wait(use_awaitable);
  --left;
}

awaitable<void> sleeps(State& state) {
  const auto executor = co_await here();
  const int tasks = micro::tasks();
  const double before = micro::resident();
  for (auto _ : state) {
    int left = tasks;
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < tasks; ++i)
      asio::co_spawn(executor, nap(start + micro::nap(i), left), asio::detached);
    co_await asio::post(executor, use_awaitable);
    state.counters["bytes"] = (micro::resident() - before) / tasks;
    asio::steady_timer timer(executor);
    while (left > 0) {
      timer.expires_after(std::chrono::milliseconds(10));
      co_await timer.async_wait(use_awaitable);
    }
  }
  micro::count_items(state, tasks);
}

awaitable<void> post(State& state) {
  const auto executor = co_await here();
  for (auto _ : state) {
    asio::steady_timer all(executor, micro::far);
    int left = micro::posts;
    std::thread poster([&] {
      for (int i = 0; i < micro::posts; ++i)
        asio::post(executor, [&] {
          if (--left == 0) all.cancel();
        });
    });
    std::error_code stopped;
    co_await all.async_wait(asio::redirect_error(use_awaitable, stopped));
    poster.join();
  }
  micro::count_items(state, micro::posts);
}

awaitable<void> to_thread(State& state) {
  const auto executor = co_await here();
  asio::thread_pool pool(1);
  int answer = 0;
  auto ask = [](auto handler, asio::thread_pool::executor_type on, auto back) {
    asio::post(on, [handler = std::move(handler), back]() mutable {
      asio::post(back, [handler = std::move(handler)]() mutable { std::move(handler)(1); });
    });
  };
  for (auto _ : state)
    answer += co_await asio::async_initiate<const asio::use_awaitable_t<>, void(int)>(
        ask, use_awaitable, pool.get_executor(), executor);
  micro::count_items(state);
}

awaitable<void> fail(int frames) {
  if (frames == 1) throw std::runtime_error("no");
  co_await fail(frames - 1);
}

awaitable<void> exception(State& state) {
  for (auto _ : state) {
    try {
      co_await fail(3);
    } catch (const std::runtime_error&) {
    }
  }
  micro::count_items(state);
}

awaitable<void> wait_for_ever() {
  asio::steady_timer timer(co_await here(), micro::far);
  co_await timer.async_wait(use_awaitable);
}

awaitable<void> cancel(State& state) {
  const auto executor = co_await here();
  for (auto _ : state) {
    asio::cancellation_signal signal;
    bool done = false;
    asio::co_spawn(executor, wait_for_ever(),
                   asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr) { done = true; }));
    co_await asio::post(executor, use_awaitable);
    signal.emit(asio::cancellation_type::terminal);
    while (!done) co_await asio::post(executor, use_awaitable);
  }
  micro::count_items(state);
}

template <awaitable<void> (*Operation)(State&)>
void run(State& state) {
  asio::io_context context(1);
  asio::co_spawn(context, Operation(state), [](std::exception_ptr error) {
    if (error) std::rethrow_exception(error);
  });
  context.run();
}

template <awaitable<void> (*Operation)(State&)>
void run_with_threads(State& state) {
  asio::io_context context;
  asio::co_spawn(context, Operation(state), [](std::exception_ptr error) {
    if (error) std::rethrow_exception(error);
  });
  context.run();
}

}  // namespace

BENCHMARK(run<await_child>)->Name("await_child");
BENCHMARK(run<spawn>)->Name("spawn");
BENCHMARK(run<spawn_join>)->Name("spawn_join");
BENCHMARK(run<yield>)->Name("yield");
BENCHMARK(run<queue>)->Name("queue");
BENCHMARK(run<timer>)->Name("timer");
BENCHMARK(run<sleeps>)->Name("sleeps")->Iterations(1);
BENCHMARK(run_with_threads<post>)->Name("post")->UseRealTime();
BENCHMARK(run_with_threads<to_thread>)->Name("to_thread")->UseRealTime();
BENCHMARK(run<exception>)->Name("exception");
BENCHMARK(run<cancel>)->Name("cancel");
BENCHMARK_MAIN();
