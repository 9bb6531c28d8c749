// fuzz_selectors: libFuzzer writes the histories, and every selector must do what the contract says.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "../selector/history.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t steps = 150;
  const heddle::test::Outcome outcome = heddle::test::play({data, std::min(size, 3 * steps)});
  if (outcome.failure.empty()) return 0;
  std::fprintf(stderr, "%s\nafter\n%s", outcome.failure.c_str(), heddle::test::in_words(outcome).c_str());
  std::abort();
}
