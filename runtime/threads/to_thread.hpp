// to_thread: blocking work, done on another thread and awaited on this one.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <utility>

#include "thread_pool.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// Calls `function(arguments...)`, copies of both, on a thread of a bounded pool that the process shares;
/// yields what it returns or throws what it throws. When the waiting task is cancelled the wait ends at once;
/// a call that has begun runs on and its result is dropped, so it must not refer to anything that may be gone
/// by then; unless the function takes a StopToken first: see ThreadPool::run().
template <class F, class... A>
auto to_thread(F&& function, A&&... arguments) {
  return ThreadPool::shared().run(std::forward<F>(function), std::forward<A>(arguments)...);
}

}  // namespace heddle

HEDDLE_HEADER_END
