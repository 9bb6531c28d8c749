// ThreadPool: threads for work that blocks, awaited on an event loop; StopToken: asks that work to stop.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <exception>
#include <new>
#include <stdexcept>
#include <string_view>
#include <type_traits>
#include <utility>

#include "../../selector/process_mark.hpp"
#include "../core/call.hpp"
#include "../core/frame_allocator.hpp"
#include "../core/intrusive_list.hpp"
#include "../core/operation.hpp"
#include "../core/ref.hpp"
#include "../core/runnable.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

class Mailbox;
class ThreadJobWaiter;
class ThreadPoolState;

}  // namespace detail

class ThreadPool;

namespace detail {

struct TaskLocals;

}  // namespace detail

/// By this work on another thread learns that it has been asked to stop. Valid until the function that got it
/// returns.
class HEDDLE_EXPORT StopToken {
 public:
  explicit StopToken(bool& requested) noexcept : requested_(&requested) {}

  bool stop_requested() const noexcept;
  /// Throws Cancelled if a stop was requested.
  void check() const;

 private:
  bool* requested_;  // atomic accesses only
};

/// A ThreadPool has no thread left, and no place in its queue.
class HEDDLE_EXPORT ThreadPoolFull : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  ~ThreadPoolFull() override;
};

namespace detail {

/// A piece of work on its way to a thread and back. Shared by the thread and the operation that waits for it.
class HEDDLE_EXPORT ThreadJob : public Runnable, private ListLink<ThreadJob> {
 public:
  /// Queues the job. Throws std::system_error when not one thread can be started, ThreadPoolFull.
  void submit(ThreadPool& pool, ThreadJobWaiter& waiter);
  enum class Withdrawal : unsigned char {
    NEVER_BEGUN,  ///< it was taken out of the queue
    ABANDONED,    ///< it runs on, and its result will be dropped
    STOPPING,     ///< it was asked to stop, and the waiter is woken when it has returned
    DONE,         ///< it has returned, and the waiter is woken
  };
  Withdrawal withdraw() noexcept;
  /// What the work threw was Cancelled.
  bool was_cancelled() const noexcept;
  void add_reference() noexcept;
  void release() noexcept;

 protected:
  explicit ThreadJob(bool stoppable) noexcept;
  virtual ~ThreadJob();
  virtual void work(StopToken token) = 0;

  std::exception_ptr error_;

 private:
  friend class heddle::ThreadPool;
  friend class ThreadPoolState;
  friend class IntrusiveList<ThreadJob>;
  enum class State : unsigned char { NEW, QUEUED, RUNNING, DONE };

  static void deliver(Runnable& runnable) noexcept;
  void perform() noexcept;

  ThreadJobWaiter* waiter_ = nullptr;
  Ref<Mailbox> mailbox_;
  TaskLocals* locals_ = nullptr;  // of the task that waits
  Ref<ThreadPoolState> pool_;
  unsigned references_ = 1;   // atomic accesses only
  State state_ = State::NEW;  // the same; until RUNNING, as the place in the queue, under the pool's lock
  bool stop_ = false;         // the same
  bool stoppable_;
  ProcessMark process_;
};

class HEDDLE_EXPORT ThreadJobWaiter : public Operation {
 public:
  /// Takes over a reference to the job.
  ThreadJobWaiter(ThreadPool& pool, ThreadJob& job) noexcept : pool_(&pool), job_(&job) {}
  ThreadJobWaiter(ThreadJobWaiter&& other) noexcept
      : Operation(other), pool_(other.pool_), job_(std::exchange(other.job_, nullptr)) {}
  ~ThreadJobWaiter() {
    if (job_ != nullptr) job_->release();
  }

  bool await_ready() {
    begin();
    return false;
  }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) {
    job_->submit(*pool_, *this);
    suspend(*this, coroutine);
  }

  Stop cancel() noexcept override;
  WaitInfo describe() const noexcept override;

 protected:
  /// For an operation that makes its job when it is awaited, by set_job().
  explicit ThreadJobWaiter(ThreadPool& pool) noexcept : pool_(&pool), job_(nullptr) {}
  /// Before await_suspend(). In place of the one before, which is done.
  void set_job(ThreadJob& job) noexcept {
    if (job_ != nullptr) job_->release();
    job_ = &job;
    stopped_ = stopping_ = false;
  }
  void check_cancelled();

 private:
  friend class ThreadJob;

  ThreadPool* pool_;

 protected:
  ThreadJob* job_;

 private:
  bool stopped_ = false;
  bool stopping_ = false;
};

template <class Function, class T>
class ThreadJobOf final : public ThreadJob {
 public:
  ThreadJobOf(Function&& function, bool stoppable) : ThreadJob(stoppable), function_(std::move(function)) {}

  T take() {
    if (error_) std::rethrow_exception(std::move(error_));
    if constexpr (!std::is_void_v<T>) return static_cast<T&&>(result_.value);
  }

 private:
  // Raw memory: the member is constructed when the work is done.
  union Result {
    Result() noexcept {}
    ~Result() {}
    std::conditional_t<std::is_void_v<T>, char, T> value;
  };

  ~ThreadJobOf() override {
    if constexpr (!std::is_void_v<T>)
      if (has_result_) result_.value.~T();
  }

  void work(StopToken token) override {
    if constexpr (std::is_void_v<T>) {
      function_(token);
    } else {
      ::new (static_cast<void*>(&result_.value)) T(function_(token));
      has_result_ = true;
    }
  }

  Function function_;
  Result result_;
  bool has_result_ = false;
};

template <class Function, class T>
class [[nodiscard]] ThreadOperation final : public ThreadJobWaiter {
  static_assert(fits_in_frame<T>,
                "a coroutine's frame isn't aligned for such a result: return a std::unique_ptr to it");

 public:
  ThreadOperation(ThreadPool& pool, Function&& function, bool stoppable)
      : ThreadJobWaiter(pool, *new ThreadJobOf<Function, T>(std::move(function), stoppable)) {}

  T await_resume() {
    check_cancelled();
    return static_cast<ThreadJobOf<Function, T>*>(job_)->take();
  }
};

}  // namespace detail

/// Threads that are started as they are needed, up to a number, and then wait for more. They take no signals:
/// those are for the loops. In the child of a fork() a pool begins anew, without threads and calls.
class HEDDLE_EXPORT ThreadPool {
 public:
  static constexpr std::size_t unlimited = ~std::size_t{0};

  /// At most `threads` threads (0: four more than there are cores, no more than 32) and, while they are all
  /// busy, at most `queue_limit` calls that wait for one. `name` is the threads' name for debuggers (15 bytes
  /// of it).
  explicit ThreadPool(std::size_t threads = 0, std::size_t queue_limit = unlimited,
                      std::string_view name = "heddle pool");
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  /// shutdown(): so who waits for a call gets what it returned.
  ~ThreadPool();

  /// The pool of to_thread(). It is never shut down, so that a call which hangs can't keep the process from
  /// ending. The child of a fork() gets one of its own.
  static ThreadPool& shared();

  /// Calls `function(arguments...)`, copies of both, on a thread of the pool; yields what it returns or
  /// throws what it throws. It is queued when it is awaited, in order; then ThreadPoolFull is thrown if there
  /// is no place, std::system_error when not one thread can be started, std::logic_error after shutdown().
  ///
  /// When the waiting task is cancelled a call that wasn't begun never is. Of one that was the wait ends at
  /// once: it runs on and its result is dropped, so it must not refer to anything that may be gone by then.
  /// But a function that takes a StopToken as its first argument, as in `[](StopToken stop, int n)`, is told
  /// to stop and waited for. If it then throws Cancelled (StopToken::check() does), so does the co_await;
  /// what it returns, or throws else, is delivered, and the request comes out of the task's next co_await.
  template <class F, class... A>
  auto run(F&& function, A&&... arguments) {
    constexpr bool stoppable = !std::is_invocable_v<std::decay_t<F>&, std::decay_t<A>...>;
    if constexpr (stoppable)
      static_assert(std::is_invocable_v<std::decay_t<F>&, StopToken, std::decay_t<A>...>,
                    "the function can't be called with these arguments (they are passed as rvalues)");
    auto work = [function = std::forward<F>(function),
                 ... arguments = std::forward<A>(arguments)](StopToken token) mutable {
      if constexpr (stoppable)
        return detail::call(function, token, std::move(arguments)...);
      else
        return static_cast<void>(token), detail::call(function, std::move(arguments)...);
    };
    using Work = decltype(work);
    return detail::ThreadOperation<Work, std::invoke_result_t<Work&, StopToken>>(*this, std::move(work),
                                                                                 stoppable);
  }

  /// No more calls are taken; those that were are made, and then the threads end. Waits for that: not to be
  /// called by the pool's own threads. Idempotent.
  void shutdown() noexcept;

  /// How many threads there are now.
  std::size_t threads() const noexcept;
  /// How many calls wait for one.
  std::size_t queued() const noexcept;

 private:
  friend class detail::ThreadJob;

  detail::ThreadPoolState& state() const;

  mutable detail::ThreadPoolState* state_;  // atomic accesses only
};

}  // namespace heddle

HEDDLE_HEADER_END
