// ON_SELECTORS: a test case that is run on a loop over every selector, and how its coroutines are run.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../../runtime/task/run.hpp"
#include "../../selector/mechanisms/make_selector.hpp"
#include "catch.hpp"

/// A test case with `selector`, the name of one, in its body.
/// Where HEDDLE_SELECTOR names one, on that alone: so the whole suite is run on each.
#define ON_SELECTORS(sentence) HEDDLE_ON_SELECTORS(INTERNAL_CATCH_UNIQUE_NAME(on_selectors_), sentence)
#define HEDDLE_ON_SELECTORS(body, sentence)                                   \
  static void body(std::string_view selector);                                \
  TEST_CASE(sentence) {                                                       \
    for (const std::string_view name : ::heddle::test::selectors_to_test()) { \
      DYNAMIC_SECTION(std::string(name)) { body(name); }                      \
    }                                                                         \
  }                                                                           \
  static void body([[maybe_unused]] std::string_view selector)

namespace heddle::test {

inline std::vector<std::string_view> selectors_to_test() {
  const char* const only = std::getenv("HEDDLE_SELECTOR");
  if (only != nullptr && *only != '\0') return {only};
  return available_selectors();
}
/// What the selector calls itself: io_uring_poll is the name by which io_uring is chosen for readiness alone.
inline std::string name_of(std::string_view selector) {
  return selector == "io_uring_poll" ? "io_uring" : std::string(selector);
}
inline bool is_to_be_tested(std::string_view selector) {
  const auto names = selectors_to_test();
  return std::find(names.begin(), names.end(), selector) != names.end();
}

inline LoopOptions loop_options(std::string_view selector = "default", System* system = nullptr) {
  LoopOptions options;
  options.selector = selector;
  options.system = system;
  return options;
}

/// run()s what the coroutine function `body` returns; its captures live as long.
template <class Body>
auto run_on(std::string_view selector, Body body, System* system = nullptr) {
  return run(body(), loop_options(selector, system));
}
template <class Body>
auto run_here(Body body) {
  return run_on("default", std::move(body));
}

inline LoopOptions in_virtual_time() {
  LoopOptions options;
  options.virtual_time = true;
  return options;
}
template <class Body>
auto run_in_virtual_time(Body body) {
  return run(body(), in_virtual_time());
}

/// What `function()` threw, or "nothing".
template <class Error, class Function>
std::string thrown(Function function) {
  try {
    function();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing";
}

}  // namespace heddle::test
