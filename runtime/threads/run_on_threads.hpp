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

/// Which threads run_on_threads() uses.
struct ThreadsOptions {
  /// 0: as many as this process may use processors.
  std::size_t threads = 0;
  /// Each runs on one core alone, in order of their numbers, of those that the calling thread may use
  /// (taskset, cpusets); where they are fewer than the threads, some share one: the threads begin anew with
  /// the first. Threads of heddle's own, as those of a ThreadPool, may use all; others inherit the core of
  /// the thread that starts them. The caller's thread is as before when run_on_threads() returns. For Linux.
  bool pin = false;
};

namespace detail {

/// What run_on_threads() calls on each thread.
class HEDDLE_EXPORT ThreadMain {
 public:
  virtual Task<void> operator()(std::size_t index) = 0;

 protected:
  ~ThreadMain() = default;
};

HEDDLE_EXPORT void drive_threads(const ThreadsOptions& threads, ThreadMain& function,
                                 const LoopOptions& options);
/// On how many threads drive_threads() will run it.
HEDDLE_EXPORT std::size_t number_of(const ThreadsOptions& threads) noexcept;

}  // namespace detail

/// Runs `function(index)`, which returns a Task<void>, on an event loop on each of `threads` threads, the
/// caller's (index 0) among them, and returns when all are done. As with run(), what is still alive on a loop
/// when its task is done is cancelled and joined.
///
///     heddle::run_on_threads({.threads = 4, .pin = true}, [](std::size_t) -> heddle::Task<void> {
///       co_await serve(listen_with_reuse_port(address));
///     });
///
/// The function is called on all threads at once: what it shares it has to protect. If one task fails all
/// others are cancelled, and an ExceptionGroup with everything that failed is thrown at the end; a thread
/// that can't be started, or its loop, has failed too. The first SIGINT cancels all, and then this returns
/// normally unless something fails; the second one ends the process. A task that ends stops nobody. Throws
/// std::logic_error when a loop runs on this thread, ValueError for several threads on one custom selector
/// and for pinning where the system can't, std::system_error when the caller's thread can't be pinned.
///
/// For one service on all of them see Sharded; for connections that are spread evenly, ServerSpread.
template <class F>
void run_on_threads(const ThreadsOptions& threads, F function, const LoopOptions& options = {}) {
  struct Main final : detail::ThreadMain {
    explicit Main(F& f) noexcept : function(f) {}
    HEDDLE_CORO_WRAPPER Task<void> operator()(std::size_t index) override { return function(index); }
    F& function;
  } main(function);
  detail::drive_threads(threads, main, options);
}
/// The same on `threads` threads, not pinned.
template <class F>
void run_on_threads(std::size_t threads, F function, const LoopOptions& options = {}) {
  run_on_threads(ThreadsOptions{.threads = threads}, std::move(function), options);
}

}  // namespace heddle

HEDDLE_HEADER_END
