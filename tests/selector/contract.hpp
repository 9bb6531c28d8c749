// CONTRACT: a test case that is run on every selector, and the words the contract tests are written in.
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <memory>

#include "../support/catch.hpp"
#include "files.hpp"
#include "subjects.hpp"

/// A test case with `subject` (what is tested) and `selector` (a fresh one) in its body.
#define CONTRACT(sentence) HEDDLE_CONTRACT(INTERNAL_CATCH_UNIQUE_NAME(contract_), sentence)
#define HEDDLE_CONTRACT(body, sentence)                                                       \
  static void body(const ::heddle::test::Subject& subject, ::heddle::BaseSelector& selector); \
  TEST_CASE(sentence) {                                                                       \
    for (const ::heddle::test::Subject& subject : ::heddle::test::subjects()) {               \
      DYNAMIC_SECTION(subject.name) {                                                         \
        const auto selector = subject.make();                                                 \
        body(subject, *selector);                                                             \
      }                                                                                       \
    }                                                                                         \
  }                                                                                           \
  static void body([[maybe_unused]] const ::heddle::test::Subject& subject,                   \
                   [[maybe_unused]] ::heddle::BaseSelector& selector)

namespace heddle::test {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

inline constexpr EventMask BOTH = EVENT_READ | EVENT_WRITE;
inline constexpr EventMask NONE{};

/// What a list says of a descriptor; nothing when it is not in it.
inline EventMask in(ReadyList list, int fd) {
  EventMask events;
  int entries = 0;
  for (const auto& [key, fired] : list) {
    if (key.fd != fd) continue;
    events = fired;
    ++entries;
  }
  CHECK(entries <= 1);
  return events;
}
inline EventMask in(ReadyList list, const File& file) { return in(list, file.fileno()); }

/// What is ready now, or within a second where that takes a moment (TCP).
inline EventMask soon(BaseSelector& selector, int fd) { return in(selector.select(1s), fd); }
inline EventMask now(BaseSelector& selector, int fd) { return in(selector.select(0s), fd); }
inline EventMask now(BaseSelector& selector, const File& file) { return now(selector, file.fileno()); }

}  // namespace heddle::test
