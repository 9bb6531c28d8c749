// ForeignAwaiter: what a Task does with an awaitable that isn't heddle's; and what a coroutine that isn't
// heddle's does at one of heddle's operations.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <concepts>
#include <coroutine>
#include <type_traits>
#include <utility>

#include "awaitable.hpp"
#include "frame_allocator.hpp"
#include "operation.hpp"
#include "runnable.hpp"
#include "transfer.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

class GuestTask;

/// An awaiter of heddle's: an operation, or one that says so because it hands on to such a one.
template <class Awaiter>
concept NativeAwaiter = std::derived_from<Awaiter, Operation> || requires { typename Awaiter::Native; };

template <class A>
concept NativeAwaitable = NativeAwaiter<std::remove_cvref_t<decltype(get_awaiter(std::declval<A>()))>>;

/// The wait of a task for an awaitable that knows nothing of tasks. What that is to resume is not the task's
/// coroutine but a `Signal`, from any thread, which queues the task: so it goes on in a turn of its own.
///
/// Where the awaitable is a coroutine of another type that awaits operations of heddle's, those are suspended
/// at a GuestTask, and a request to stop is passed on to that. Otherwise nobody can stop the wait: the
/// request stays for the next co_await.
class HEDDLE_EXPORT ForeignAwait : public Operation {
 public:
  ForeignAwait(const ForeignAwait&) = delete;

  Stop cancel() noexcept override;
  Joined joined() const noexcept override;
  WaitInfo describe() const noexcept override;

  /// The coroutine that is resumed in place of the task's. It destroys itself then.
  struct Signal {
    struct promise_type : FrameAllocated {
      explicit promise_type(ForeignAwait& to) noexcept : wait(to) {}
      Signal get_return_object() noexcept {
        return {std::coroutine_handle<promise_type>::from_promise(*this)};
      }
      std::suspend_always initial_suspend() noexcept { return {}; }
      std::suspend_never final_suspend() noexcept { return {}; }
      void return_void() noexcept { wait.resumed(); }
      void unhandled_exception() noexcept {}

      ForeignAwait& wait;
    };
    std::coroutine_handle<promise_type> coroutine;
  };

 protected:
  ForeignAwait() noexcept = default;
  ~ForeignAwait() = default;

  /// The task is suspended from now on. Throws std::bad_alloc and std::logic_error, and then it isn't.
  Signal begin_wait(std::coroutine_handle<> coroutine, AsyncFrame* frame);
  /// The awaitable has the signal, and has suspended.
  void wait_on() noexcept;
  /// It hasn't suspended: the task isn't either.
  void end_at_once(Signal signal) noexcept;

 private:
  friend class GuestTask;
  friend class TaskState;
  struct Message final : Runnable {
    explicit Message(ForeignAwait& to) noexcept : Runnable(&on_resumed), wait(to) {}
    ForeignAwait& wait;
  };

  static Signal make_signal(ForeignAwait& wait);
  static void on_resumed(Runnable& message) noexcept;
  void resumed() noexcept;
  void expect_outside_work() noexcept;
  void end_outside_work() noexcept;
  void end_wait() noexcept;

  GuestTask* guest_ = nullptr;  // at which the awaited coroutine is suspended
  bool outside_work_ = false;   // counted with the loop: nobody on it is known to resume the signal
  Message message_{*this};
};

/// ForeignAwait for `co_await awaitable`, where that is an A.
template <class A>
class ForeignAwaiter final : public ForeignAwait {
 public:
  explicit ForeignAwaiter(A&& awaitable) : awaiter_(get_awaiter(std::forward<A>(awaitable))) {}

  bool await_ready() { return static_cast<bool>(awaiter_.await_ready()); }
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> coroutine) {
    const Signal signal = begin_wait(coroutine, frame_of(coroutine.promise()));
    using Answer = decltype(awaiter_.await_suspend(signal.coroutine));
    try {
      if constexpr (std::is_void_v<Answer>) {
        awaiter_.await_suspend(signal.coroutine);
      } else if constexpr (std::is_same_v<Answer, bool>) {
        if (!awaiter_.await_suspend(signal.coroutine)) {
          end_at_once(signal);
          return coroutine;
        }
      } else {
        const std::coroutine_handle<> next = awaiter_.await_suspend(signal.coroutine);
        wait_on();
        return transfer(next);
      }
    } catch (...) {
      end_at_once(signal);
      throw;
    }
    wait_on();
    return std::noop_coroutine();
  }
  decltype(auto) await_resume() { return awaiter_.await_resume(); }

 private:
  decltype(get_awaiter(std::declval<A>())) awaiter_;
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
