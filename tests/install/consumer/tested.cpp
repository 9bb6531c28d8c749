// Uses heddle::testing: a program's own test, in which a scenario is cancelled, fails and runs out of memory
// everywhere.
// SPDX-License-Identifier: MIT
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <heddle/heddle.hpp>
#include <heddle/runtime/testing/allocation_faults.hpp>
#include <heddle/runtime/testing/testing.hpp>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;

static void check(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "tested: not true: %s\n", what);
  std::exit(1);
}

static heddle::Task<void> producer(heddle::Queue<std::string>& queue) {
  for (int i = 0; i < 3; i++) co_await queue.put(std::to_string(i));
}
static heddle::Task<void> consumer(heddle::Queue<std::string>& queue) {
  for (int i = 0; i < 3; i++) {
    co_await heddle::timeout(1h, queue.get());
    co_await heddle::sleep(1s);
  }
}
static heddle::Task<void> good() {
  heddle::Queue<std::string> queue(1);
  co_await heddle::timeout(24h, heddle::gather(producer(queue), consumer(queue)));
}

static heddle::Lock forgotten;
static heddle::Task<void> bad() {
  co_await forgotten.acquire();
  co_await heddle::yield();
  forgotten.release();
}

int main() {
  check(heddle::allocations_are_observed(), "operator new is the library's");
  heddle::DisturbOptions options;
  options.loop.virtual_time = true;
  const auto usual = [](const heddle::DisturbedRun& run) {
    if (!run.failed_with<heddle::TimeoutError>()) heddle::check_usual_end(run);
  };
  check(heddle::cancel_everywhere(good, usual, options).places > 10, "cancelled");
  const auto injected = std::make_exception_ptr(std::runtime_error("injected"));
  check(heddle::throw_everywhere(good, injected, usual, options).failed > 2, "failed");
  check(heddle::fail_allocations(good, usual, options).failed > 5, "without memory");
  bool found = false;
  try {
    heddle::cancel_everywhere(bad, [](const heddle::DisturbedRun&) {
      if (forgotten.locked()) throw std::logic_error("the lock is held");
    });
  } catch (const heddle::DisturbanceError& error) {
    found = std::string(error.what()).find("the lock is held") != std::string::npos;
  }
  check(found, "the lock that is not released");
  std::puts("tested with heddle");
}
