// Tasks: several things at once, their results together, a time limit, and a group that ends as one.
// SPDX-License-Identifier: MIT
#include <chrono>
#include <cstdio>
#include <heddle/runtime/task/gather.hpp>
#include <heddle/runtime/task/run.hpp>
#include <heddle/runtime/task/sleep.hpp>
#include <heddle/runtime/task/task_group.hpp>
#include <heddle/runtime/task/timeout.hpp>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;

heddle::Task<std::string> brew(std::string what, std::chrono::milliseconds time) {
  std::printf("%s: begun\n", what.c_str());
  co_await heddle::sleep(time);
  std::printf("%s: done\n", what.c_str());
  co_return what;
}

heddle::Task<void> spill() {
  co_await heddle::sleep(10ms);
  throw std::runtime_error("spilled");
}

heddle::Task<void> breakfast() {
  // Both take 50 ms together, not 80.
  const auto [first, second] = co_await heddle::gather(brew("coffee", 50ms), brew("tea", 30ms));
  std::printf("served %s and %s\n", first.c_str(), second.c_str());

  try {
    co_await heddle::timeout(20ms, brew("cocoa", 10s));
  } catch (const heddle::TimeoutError& error) {
    std::printf("cocoa: %s\n", error.what());
  }

  // A group ends when its last task does; when one fails, the others are cancelled.
  try {
    co_await heddle::task_group([](heddle::TaskGroup& group) -> heddle::Task<void> {
      group.spawn(brew("milk", 10s)).set_name("milk");
      group.spawn(spill());
      co_return;
    });
  } catch (const heddle::ExceptionGroup& error) {
    std::printf("%s\n", error.what());
  }
}

int main() { heddle::run(breakfast()); }
