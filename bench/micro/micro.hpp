// What the C++ programs of the question `micro` share.
// SPDX-License-Identifier: MIT
#pragma once

#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace micro {

constexpr int batch = 1000;
constexpr int posts = 100'000;
constexpr std::chrono::hours far(1);

// How many tasks sleep at once.
inline int tasks() {
  static const int count = [] {
    const char* const given = std::getenv("HEDDLE_BENCH_TASKS");
    return given != nullptr ? std::atoi(given) : 1'000'000;
  }();
  return count;
}

// When task `i` wakes, counted from the start: after all have gone to sleep, within a second, in no order.
inline std::chrono::nanoseconds nap(int i) {
  const auto asleep = std::chrono::microseconds(5) * tasks();
  return asleep + std::chrono::nanoseconds(static_cast<std::uint32_t>(i) * 2654435761u % 1'000'000'000u);
}

// Memory of this process that is its own, in bytes.
inline double resident() {
  std::FILE* const file = std::fopen("/proc/self/status", "r");
  char line[256];
  long kilobytes = 0;
  while (file != nullptr && std::fgets(line, sizeof line, file) != nullptr)
    if (std::sscanf(line, "RssAnon: %ld kB", &kilobytes) == 1) break;
  if (file != nullptr) std::fclose(file);
  return static_cast<double>(kilobytes) * 1024;
}

inline void count_items(benchmark::State& state, std::int64_t each = 1) {
  state.SetItemsProcessed(state.iterations() * each);
}

}  // namespace micro
