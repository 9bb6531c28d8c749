// Random programs of tasks that wait for each other, checked against what must always hold.
// SPDX-License-Identifier: MIT
#include "../../support/catch.hpp"
#include "program.hpp"

using namespace heddle::test;

namespace {

struct Sum {
  int stuck = 0;
  int cancelled = 0;
  int timed_out = 0;
};

Sum hold(std::uint64_t first, std::uint64_t count) {
  Sum sum;
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    const Program program = make_program(seed);
    const Played played = play(program);
    sum.stuck += played.stuck;
    sum.cancelled += played.cancelled;
    sum.timed_out += played.timed_out;
    if (played.failure.empty()) continue;
    std::string log;
    for (const std::string& line : played.log) log += line + "\n";
    FAIL("seed " << seed << " (random_programs " << seed << " 1 prints and repeats it): " << played.failure
                 << "\n"
                 << in_words(program) << log);
  }
  return sum;
}

}  // namespace

TEST_CASE("what must hold holds at every step of hundreds of random programs") {
  const Sum sum = hold(1, 500);
  // They are not all harmless.
  CHECK(sum.stuck > 50);
  CHECK(sum.cancelled > 50);
  CHECK(sum.timed_out > 50);
}

TEST_CASE("what must hold holds at every step of thousands of random programs", "[soak]") {
  hold(1'000'000, 10'000);
}

TEST_CASE("a random program is the same each time it is run") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    const Program program = make_program(seed);
    CHECK(in_words(program) == in_words(make_program(seed)));
    CHECK(play(program).log == play(program).log);
  }
}
