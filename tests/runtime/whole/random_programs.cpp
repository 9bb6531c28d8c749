// random_programs FIRST COUNT: runs the programs of these seeds and prints each with what happened.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <cstdlib>

#include "program.hpp"

using namespace heddle::test;

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: random_programs FIRST COUNT\n", stderr);
    return 2;
  }
  const std::uint64_t first = std::strtoull(argv[1], nullptr, 10);
  const std::uint64_t count = std::strtoull(argv[2], nullptr, 10);
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    const Program program = make_program(seed);
    std::fputs(in_words(program).c_str(), stdout);
    const Played played = play(program);
    for (const std::string& line : played.log) std::printf("%s\n", line.c_str());
    if (played.failure.empty()) continue;
    std::fprintf(stderr, "seed %llu: %s\n", static_cast<unsigned long long>(seed), played.failure.c_str());
    return 1;
  }
  return 0;
}
