// Task<T>: a coroutine that runs when it is awaited, or beside its caller when it is spawned.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <concepts>
#include <coroutine>
#include <exception>
#include <new>
#include <source_location>
#include <type_traits>
#include <utility>

#include "async_frame.hpp"
#include "call.hpp"
#include "foreign.hpp"
#include "frame_allocator.hpp"
#include "transfer.hpp"

#if defined(__has_cpp_attribute)
#if __has_cpp_attribute(clang::coro_return_type) && __has_cpp_attribute(clang::coro_lifetimebound)
#define HEDDLE_CORO_TASK [[clang::coro_return_type, clang::coro_lifetimebound]]
#endif
#endif
#ifndef HEDDLE_CORO_TASK
#define HEDDLE_CORO_TASK
#endif

HEDDLE_HEADER_BEGIN

namespace heddle {

template <class T>
class Task;

namespace detail {

/// ERROR or CANCELLED, by the exception that is being handled now, and that leaves the coroutine of `frame`.
HEDDLE_EXPORT Outcome outcome_in_flight(const AsyncFrame& frame) noexcept;
/// The same where it leaves no coroutine.
HEDDLE_EXPORT Outcome outcome_in_flight() noexcept;
/// Destroys a coroutine that was never started, and reports that nobody awaited it.
HEDDLE_EXPORT void drop_unawaited(std::coroutine_handle<> coroutine, const AsyncFrame& frame) noexcept;
[[noreturn]] HEDDLE_EXPORT void throw_task_spent();

/// Awaits an operation that lives elsewhere.
template <class Awaiter>
class AwaiterReference {
 public:
  using Native = void;

  explicit AwaiterReference(Awaiter& awaiter) noexcept : awaiter_(awaiter) {}

  decltype(auto) await_ready() { return awaiter_.await_ready(); }
  template <class Promise>
  decltype(auto) await_suspend(std::coroutine_handle<Promise> coroutine) {
    return awaiter_.await_suspend(coroutine);
  }
  decltype(auto) await_resume() { return awaiter_.await_resume(); }

 private:
  Awaiter& awaiter_;
};

/// The part of a Task's promise that doesn't depend on its result.
class TaskPromiseBase : public AsyncFrame {
 public:
  static void* operator new(std::size_t size) { return allocate_frame(size); }
  static void operator delete(void* frame, std::size_t size) noexcept { free_frame(frame, size); }

  std::suspend_always initial_suspend() noexcept { return {}; }

  struct FinalAwaiter {
    bool await_ready() noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> self) noexcept {
      if (std::coroutine_handle<> next = self.promise().continuation()) [[likely]]
        return transfer(next);
      return leave_task();
    }
    void await_resume() noexcept {}
  };
  FinalAwaiter final_suspend() noexcept { return {}; }

  /// Notes the place of each co_await before it is entered. What is awaited itself, and not through an
  /// operator co_await, is awaited by reference, because GCC 12 would await a copy.
  template <NativeAwaitable Awaitable>
  decltype(auto) await_transform(Awaitable&& awaitable,
                                 SourcePlace here = __builtin_source_location()) noexcept {
    where = std::bit_cast<std::source_location>(here);
    if constexpr (requires { awaitable.await_ready(); })
      return AwaiterReference<std::remove_reference_t<Awaitable>>(awaitable);
    else
      return static_cast<Awaitable&&>(awaitable);
  }

  /// The same for what isn't heddle's. Throws what its operator co_await does.
  template <class Awaitable>
  ForeignAwaiter<Awaitable> await_transform(Awaitable&& awaitable,
                                            SourcePlace here = __builtin_source_location()) {
    where = std::bit_cast<std::source_location>(here);
    return ForeignAwaiter<Awaitable>(std::forward<Awaitable>(awaitable));
  }

  using AsyncFrame::continuation;
  using AsyncFrame::set_awaited_by;
  using AsyncFrame::set_root;
};

template <class T>
class TaskPromise final : public TaskPromiseBase {
  static_assert(alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__,
                "a coroutine's frame is aligned as operator new aligns: return a std::unique_ptr to that");

 public:
  TaskPromise() noexcept {}
  TaskPromise(const TaskPromise&) = delete;
  TaskPromise& operator=(const TaskPromise&) = delete;
  ~TaskPromise() {
    if (outcome_ == Outcome::VALUE)
      value_.~Stored();
    else if (outcome_ != Outcome::PENDING)
      error_.~exception_ptr();
  }

  HEDDLE_CORO_OWNER Task<T> get_return_object(SourcePlace here = __builtin_source_location()) noexcept;

  template <class U = T>
    requires std::convertible_to<U&&, T>
  void return_value(U&& value) {
    ::new (static_cast<void*>(&value_)) Stored(static_cast<U&&>(value));
    outcome_ = Outcome::VALUE;
  }

  void unhandled_exception() noexcept {
    ::new (static_cast<void*>(&error_)) std::exception_ptr(std::current_exception());
    outcome_ = outcome_in_flight(*this);
  }

  Outcome outcome() const noexcept { return outcome_; }
  const std::exception_ptr& error() const noexcept { return error_; }

  T take() {
    if (outcome_ != Outcome::VALUE) [[unlikely]]
      std::rethrow_exception(error_);
    return static_cast<T&&>(value_);
  }

 private:
  using Stored = std::remove_cv_t<T>;

  union {
    Stored value_;
    std::exception_ptr error_;
  };
  Outcome outcome_ = Outcome::PENDING;
};

template <>
class TaskPromise<void> final : public TaskPromiseBase {
 public:
  HEDDLE_CORO_OWNER Task<void> get_return_object(SourcePlace here = __builtin_source_location()) noexcept;
  void return_void() noexcept {}
  void unhandled_exception() noexcept {
    error_ = std::current_exception();
    if (outcome_in_flight(*this) == Outcome::CANCELLED) set_cancelled();
  }

  /// Of a coroutine that has ended.
  Outcome outcome() const noexcept {
    return !error_ ? Outcome::VALUE : was_cancelled() ? Outcome::CANCELLED : Outcome::ERROR;
  }
  const std::exception_ptr& error() const noexcept { return error_; }

  void take() {
    if (error_) [[unlikely]]
      std::rethrow_exception(error_);
  }

 private:
  std::exception_ptr error_;
};

}  // namespace detail

/// The result of a coroutine function that yields a T (any movable type, or void). The body doesn't start
/// before the Task is awaited, spawned or run; then it can be awaited no more (std::logic_error). What the
/// body throws comes out of the co_await. An awaited Task is cancelled through its leaf: see
/// TaskHandle::cancel.
///
/// A coroutine keeps references and the captures of a lambda as references: they must outlive it. Pass by
/// value what may not, or let spawn(function, arguments...) own them. Compilers align a coroutine's frame as
/// operator new does and no further: a local or a parameter that is alignas(64), say, isn't aligned there, so
/// keep it behind a std::unique_ptr. What heddle itself would put into a frame is refused when it is
/// compiled.
template <class T = void>
class [[nodiscard]] HEDDLE_CORO_TASK Task {
  static_assert(!std::is_reference_v<T>, "a Task yields a value: return a pointer instead of a reference");

 public:
  using promise_type = detail::TaskPromise<T>;
  using Handle = std::coroutine_handle<promise_type>;
  using value_type = T;

  Task() noexcept = default;
  explicit Task(Handle coroutine) noexcept : coroutine_(coroutine) {}
  Task(Task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      drop();
      coroutine_ = std::exchange(other.coroutine_, nullptr);
    }
    return *this;
  }
  /// A Task that was never awaited is reported (see EventLoop::set_report_handler), as Python does, because
  /// that is nearly always a mistake; unless it goes while an exception does, or with a task that was
  /// cancelled before it started.
  ~Task() { drop(); }

  /// False once it was awaited, spawned, run or moved from.
  bool valid() const noexcept { return static_cast<bool>(coroutine_); }

  /// Hands over the coroutine, not yet started; the caller owns it.
  Handle release() {
    if (!coroutine_) detail::throw_task_spent();
    return std::exchange(coroutine_, nullptr);
  }

  class Awaiter {
   public:
    using Native = void;

    explicit Awaiter(Handle coroutine) noexcept : coroutine_(coroutine) {}
    Awaiter(const Awaiter&) = delete;
    Awaiter& operator=(const Awaiter&) = delete;
    ~Awaiter() { coroutine_.destroy(); }

    bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> parent) noexcept {
      static_assert(std::derived_from<Promise, detail::AsyncFrame>,
                    "a Task is awaited by a coroutine that isn't heddle's: let it await spawn(task)");
      coroutine_.promise().set_awaited_by(parent);
      return detail::transfer(coroutine_);
    }
    T await_resume() { return coroutine_.promise().take(); }

   private:
    Handle coroutine_;
  };

  Awaiter operator co_await() { return Awaiter(release()); }

 private:
  void drop() noexcept {
    if (coroutine_) [[unlikely]]
      detail::drop_unawaited(coroutine_, coroutine_.promise());
  }

  Handle coroutine_;
};

template <class T>
HEDDLE_CORO_OWNER Task<T> detail::TaskPromise<T>::get_return_object(detail::SourcePlace here) noexcept {
  where = std::bit_cast<std::source_location>(here);
  return Task<T>(std::coroutine_handle<TaskPromise>::from_promise(*this));
}

HEDDLE_CORO_OWNER inline Task<void> detail::TaskPromise<void>::get_return_object(
    detail::SourcePlace here) noexcept {
  where = std::bit_cast<std::source_location>(here);
  return Task<void>(std::coroutine_handle<TaskPromise>::from_promise(*this));
}

}  // namespace heddle

HEDDLE_HEADER_END
