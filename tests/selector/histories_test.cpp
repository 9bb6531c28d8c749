// All selectors agree with the contract, and so with each other, over random histories.
// SPDX-License-Identifier: MIT
#include "../support/catch.hpp"
#include "files.hpp"
#include "history.hpp"

using namespace heddle::test;

namespace {

void agree(std::uint64_t first, std::uint64_t count) {
  const int before = open_descriptors();
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    const Outcome outcome = play(make_history(seed));
    if (outcome.failure.empty()) continue;
    FAIL("seed " << seed << " (selector_histories " << seed << " 1 prints and repeats it)\n"
                 << outcome.failure << "\nafter\n"
                 << in_words(outcome));
  }
  CHECK(open_descriptors() == before);
}

}  // namespace

TEST_CASE("every selector reports what the contract says over hundreds of random histories") {
  agree(1, 300);
}

TEST_CASE("every selector reports what the contract says over thousands of random histories", "[soak]") {
  agree(1'000'000, 5000);
}
