// selector_histories FIRST COUNT: plays the histories of these seeds and prints each step with what it led
// to. SPDX-License-Identifier: MIT
#include <cstdio>
#include <cstdlib>

#include "history.hpp"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: selector_histories FIRST COUNT\n", stderr);
    return 2;
  }
  const std::uint64_t first = std::strtoull(argv[1], nullptr, 10);
  const std::uint64_t count = std::strtoull(argv[2], nullptr, 10);
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    const heddle::test::Outcome outcome = heddle::test::play(heddle::test::make_history(seed));
    std::printf("seed %llu\n%s", static_cast<unsigned long long>(seed),
                heddle::test::in_words(outcome).c_str());
    if (outcome.failure.empty()) continue;
    std::fprintf(stderr, "seed %llu: %s\n", static_cast<unsigned long long>(seed), outcome.failure.c_str());
    return 1;
  }
  return 0;
}
