// selector_histories FIRST COUNT: plays the histories of these seeds and prints each step with what it led
// to.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <cstdlib>

#include "history.hpp"

using namespace heddle::test;

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    std::fputs("usage: selector_histories FIRST COUNT [python: only the selectors that Python has]\n",
               stderr);
    return 2;
  }
  const Who who = argc == 4 ? Who::PYTHON : Who::EVERY;
  const std::uint64_t first = std::strtoull(argv[1], nullptr, 10);
  const std::uint64_t count = std::strtoull(argv[2], nullptr, 10);
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    const Outcome outcome = play(make_history(seed), who);
    std::printf("seed %llu\n%s", static_cast<unsigned long long>(seed), in_words(outcome).c_str());
    if (outcome.failure.empty()) continue;
    std::fprintf(stderr, "seed %llu: %s\n", static_cast<unsigned long long>(seed), outcome.failure.c_str());
    return 1;
  }
  return 0;
}
