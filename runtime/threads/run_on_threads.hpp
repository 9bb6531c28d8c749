// run_on_threads: the same program on several threads, each with a loop of its own.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <utility>

#include "../core/call.hpp"
#include "../core/task.hpp"
#include "../loop/event_loop.hpp"
#include "../task/run.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

/// What run_on_threads() calls on each thread.
class HEDDLE_EXPORT ThreadMain {
 public:
  virtual Task<void> operator()(std::size_t index) = 0;

 protected:
  ~ThreadMain() = default;
};

HEDDLE_EXPORT void drive_threads(std::size_t threads, ThreadMain& function, const LoopOptions& options);

}  // namespace detail

/// Runs `function(index)`, which returns a Task<void>, on an event loop on each of `threads` threads, the
/// caller's (index 0) among them, and returns when all are done. 0 threads: as many as this process has
/// processors. As with run(), what is still alive on a loop when its task is done is cancelled and joined.
///
///     heddle::run_on_threads(4, [](std::size_t) -> heddle::Task<void> {
///       co_await serve(listen_with_reuse_port(address));
///     });
///
/// The function is called on all threads at once: what it shares it has to protect. If one task fails all
/// others are cancelled, and an ExceptionGroup with everything that failed is thrown at the end; a thread
/// that can't be started, or its loop, has failed too. The first SIGINT cancels all, and then this returns
/// normally unless something fails; the second one ends the process. A task that ends stops nobody. Throws
/// std::logic_error when a loop runs on this thread, ValueError for several threads on one custom selector.
template <class F>
void run_on_threads(std::size_t threads, F function, const LoopOptions& options = {}) {
  struct Main final : detail::ThreadMain {
    explicit Main(F& f) noexcept : function(f) {}
    HEDDLE_CORO_WRAPPER Task<void> operator()(std::size_t index) override { return function(index); }
    F& function;
  } main(function);
  detail::drive_threads(threads, main, options);
}

}  // namespace heddle

HEDDLE_HEADER_END
