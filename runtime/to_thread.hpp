// to_thread: blocking work, done on another thread and awaited on this one.
// SPDX-License-Identifier: MIT
#pragma once

#include <exception>
#include <new>
#include <type_traits>
#include <utility>

#include "call.hpp"
#include "operation.hpp"
#include "runnable.hpp"

namespace heddle {

class Mailbox;
class ThreadJobWaiter;

/// A piece of work on its way to a thread and back. Shared by the thread and the operation that waits for it.
class HEDDLE_EXPORT ThreadJob : public Runnable {
 public:
  /// Queues the job for a thread of the process's pool. Throws std::system_error when not one thread can be
  /// started.
  void submit(ThreadJobWaiter& waiter);
  /// Nobody waits any more: it isn't begun if it wasn't yet.
  void abandon() noexcept;
  void release() noexcept;

  // The pool's side.
  void perform() noexcept;
  ThreadJob* next_job = nullptr;

 protected:
  ThreadJob() noexcept : Runnable(&deliver) {}
  virtual ~ThreadJob();
  virtual void work() = 0;

  std::exception_ptr error_;

 private:
  static void deliver(Runnable& runnable) noexcept;

  ThreadJobWaiter* waiter_ = nullptr;
  Mailbox* mailbox_ = nullptr;
  unsigned references_ = 1;  // atomic accesses only
  bool abandoned_ = false;   // atomic accesses only
};

class HEDDLE_EXPORT ThreadJobWaiter : public Operation {
 public:
  explicit ThreadJobWaiter(ThreadJob& job) noexcept : job_(&job) {}
  ThreadJobWaiter(ThreadJobWaiter&& other) noexcept : job_(std::exchange(other.job_, nullptr)) {}
  ~ThreadJobWaiter() {
    if (job_ != nullptr) job_->release();
  }

  bool await_ready() {
    begin();
    return false;
  }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) {
    job_->submit(*this);
    suspend(*this, coroutine);
  }

  Stop cancel() noexcept override;
  WaitInfo describe() const noexcept override;
  void job_done() noexcept;

 protected:
  void check_cancelled() const {
    if (stopped_) throw_cancelled();
  }

  ThreadJob* job_;

 private:
  bool done_ = false;
  bool stopped_ = false;
};

template <class Function, class T>
class ThreadJobOf final : public ThreadJob {
 public:
  explicit ThreadJobOf(Function&& function) : function_(std::move(function)) {}

  T take() {
    if (error_) std::rethrow_exception(std::move(error_));
    if constexpr (!std::is_void_v<T>) return static_cast<T&&>(result_.value);
  }

 private:
  // The one member is made when the work is done.
  union Result {
    Result() noexcept {}
    ~Result() {}
    std::conditional_t<std::is_void_v<T>, char, T> value;
  };

  ~ThreadJobOf() override {
    if constexpr (!std::is_void_v<T>)
      if (has_result_) result_.value.~T();
  }

  void work() override {
    if constexpr (std::is_void_v<T>) {
      function_();
    } else {
      ::new (static_cast<void*>(&result_.value)) T(function_());
      has_result_ = true;
    }
  }

  Function function_;
  Result result_;
  bool has_result_ = false;
};

template <class Function, class T>
class [[nodiscard]] ThreadOperation final : public ThreadJobWaiter {
 public:
  explicit ThreadOperation(Function&& function)
      : ThreadJobWaiter(*new ThreadJobOf<Function, T>(std::move(function))) {}

  T await_resume() {
    check_cancelled();
    return static_cast<ThreadJobOf<Function, T>*>(job_)->take();
  }
};

/// Calls `function(arguments...)`, copies of both, on a thread of a bounded pool that the process shares;
/// yields what it returns or throws what it throws. When the waiting task is cancelled the wait ends at once;
/// a call that has begun runs on and its result is dropped, so it must not refer to anything that may be gone
/// by then.
template <class F, class... A>
auto to_thread(F&& function, A&&... arguments) {
  auto work = [function = std::forward<F>(function), ... arguments = std::forward<A>(arguments)]() mutable {
    return heddle::call(function, std::move(arguments)...);
  };
  using Work = decltype(work);
  return ThreadOperation<Work, std::invoke_result_t<Work&>>(std::move(work));
}

}  // namespace heddle
