// turns, end_of: for tests of tasks that wait for each other.
// SPDX-License-Identifier: MIT
#pragma once

#include <exception>
#include <string>
#include <utility>

#include "../../runtime/core/cancelled.hpp"
#include "../../runtime/core/task.hpp"
#include "../../runtime/task/sleep.hpp"

namespace heddle::test {

/// Lets all others have `n` turns.
inline Task<void> turns(int n) {
  for (int i = 0; i < n; ++i) co_await yield();
}

/// Awaits `awaitable` and says how that ended: "done", "cancelled", or what() of the exception.
template <class A>
Task<std::string> end_of(A awaitable) {
  try {
    static_cast<void>(co_await std::move(awaitable));
  } catch (const Cancelled&) {
    co_return "cancelled";
  } catch (const std::exception& error) {
    co_return error.what();
  }
  co_return "done";
}

}  // namespace heddle::test
