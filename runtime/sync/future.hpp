// Promise<T>, Future<T>: a result that somebody will provide, and those who wait for it.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <concepts>
#include <coroutine>
#include <exception>
#include <new>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "../core/frame_allocator.hpp"
#include "../core/ref.hpp"
#include "../core/task.hpp"
#include "../core/wait_list.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// The Promise was destroyed before it had given a result.
struct HEDDLE_EXPORT BrokenPromise : std::runtime_error {
  BrokenPromise();
  ~BrokenPromise() override;
};
/// A result was given twice, or asked for before it was there.
struct HEDDLE_EXPORT InvalidStateError : std::logic_error {
  explicit InvalidStateError(const char* what);
  ~InvalidStateError() override;
};

namespace detail {

/// What a Promise and its Futures share. Deleted with the last of them.
class HEDDLE_EXPORT FutureState : public FrameAllocated {
 public:
  bool done() const noexcept { return outcome_ != Outcome::PENDING; }
  bool cancelled() const noexcept { return outcome_ == Outcome::CANCELLED; }
  /// The Promise was destroyed before it had given a result.
  bool broken() const noexcept { return outcome_ == Outcome::ERROR && !error_; }
  /// The exception that was given instead of a value; it counts as retrieved by that.
  std::exception_ptr error() noexcept;
  bool cancel() noexcept;

  // The Promise's side.

  /// Throws InvalidStateError if the Promise has given a result. False if a result would reach nobody.
  bool check_pending();
  /// It has not, after all.
  void take_back() noexcept { kept_ = false; }
  bool wanted() const noexcept { return !done() && (futures_ > 0 || !was_asked_for_); }
  void fail(std::exception_ptr error) noexcept;
  void finish(Outcome outcome) noexcept {
    outcome_ = outcome;
    waiters_.grant_all();
  }
  void drop_promise() noexcept;

  // The Futures' side.

  void add_future() noexcept {
    was_asked_for_ = true;
    ++futures_;
  }
  void drop_future() noexcept;
  WaitList& waiters() noexcept { return waiters_; }
  /// Throws what was given instead of a value, or InvalidStateError if there is no result yet.
  void check_value() {
    if (outcome_ != Outcome::VALUE) [[unlikely]]
      throw_no_value();
  }

 protected:
  FutureState() noexcept = default;
  virtual ~FutureState();

  Outcome outcome_ = Outcome::PENDING;

 private:
  [[noreturn]] void throw_no_value();
  void delete_if_unused() noexcept;

  WaitList waiters_;
  std::exception_ptr error_;
  unsigned futures_ = 0;
  bool has_promise_ = true;
  bool kept_ = false;  // the Promise has given a result; false if a Future was cancelled
  bool was_asked_for_ = false;
  bool retrieved_ = false;
};

template <class T>
class FutureStateOf final : public FutureState {
 public:
  FutureStateOf() noexcept {}

  /// After check_pending(). False if it was cancelled meanwhile, by what made the value.
  template <class U>
  bool set(U&& value) {
    try {
      ::new (static_cast<void*>(&value_)) T(static_cast<U&&>(value));
    } catch (...) {
      take_back();
      throw;
    }
    if (done()) {
      value_.~T();
      return false;
    }
    finish(Outcome::VALUE);
    return true;
  }
  T& value() noexcept { return value_; }

 private:
  ~FutureStateOf() override {
    if (outcome_ == Outcome::VALUE) value_.~T();
  }

  union {
    T value_;
  };
};

template <>
class FutureStateOf<void> final : public FutureState {
 private:
  ~FutureStateOf() override = default;
};

/// How Refs count the two sides of a FutureState: any number of Futures and those who await them, and the one
/// Promise, which is made with the state.
struct FutureSide {
  static void add(FutureState& state) noexcept { state.add_future(); }
  static void drop(FutureState& state) noexcept { state.drop_future(); }
};
struct PromiseSide {
  static void drop(FutureState& state) noexcept { state.drop_promise(); }
};

[[noreturn]] HEDDLE_EXPORT void throw_empty_future(const char* operation);

/// Waits for the state's outcome, and keeps the state that long.
class FutureOperation : public WaitOperation {
 public:
  explicit FutureOperation(FutureState& state) noexcept : awaited_(state) {}
  FutureOperation(const FutureOperation&) = delete;

  bool await_ready() {
    check_can_begin();
    awaited_->waiters().use("co_await of a Future");
    return attempt(awaited_->done());
  }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
    wait(awaited_->waiters(), coroutine);
  }

 protected:
  void check_value() const {
    check("co_await of a Future");
    if (awaited_->broken()) check_task();
    awaited_->check_value();
  }

  Ref<FutureState, FutureSide> awaited_;
};

}  // namespace detail

template <class T>
class ShieldedFuture;

/// A result to come. Any number of tasks may `co_await future`; each gets a T&, valid as long as the Future
/// is, to copy or move from. `co_await std::move(future)` moves the value out. Both throw the exception that
/// was given instead, BrokenPromise (Cancelled instead, if the task was asked to stop meanwhile), or
/// Cancelled after cancel(). Cancel-safe: unlike asyncio's, the Future isn't cancelled with a task that waits
/// for it. Move-only, and may be empty. On the loop's thread only.
template <class T = void>
class [[nodiscard]] Future {
  static_assert(!std::is_reference_v<T>, "a Future yields a value: use a pointer instead of a reference");

 public:
  Future() noexcept = default;
  explicit Future(detail::FutureStateOf<T>& state) noexcept : state_(state) {}
  Future(Future&&) noexcept = default;
  Future& operator=(Future&&) noexcept = default;

  bool valid() const noexcept { return static_cast<bool>(state_); }
  bool done() const noexcept { return state_ && state_->done(); }
  bool cancelled() const noexcept { return state_ && state_->cancelled(); }
  /// The exception that was given instead of a value, if there is one.
  std::exception_ptr error() const noexcept { return state_ ? state_->error() : nullptr; }
  /// The value, as co_await gives it. Throws InvalidStateError if it isn't there yet.
  std::add_lvalue_reference_t<T> result() const {
    state("Future.result()").check_value();
    if constexpr (!std::is_void_v<T>) return state_->value();
  }
  /// The result isn't wanted any more: all who wait get Cancelled, and the Promise sees it. False if it is
  /// there already.
  bool cancel() noexcept { return state_ && state_->cancel(); }

  class Reference final : public detail::FutureOperation {
   public:
    using detail::FutureOperation::FutureOperation;
    std::add_lvalue_reference_t<T> await_resume() const {
      this->check_value();
      if constexpr (!std::is_void_v<T>)
        return static_cast<detail::FutureStateOf<T>&>(*this->awaited_).value();
    }
  };
  class Value final : public detail::FutureOperation {
    static_assert(detail::fits_in_frame<T>,
                  "a coroutine's frame isn't aligned for such a result: co_await the Future for a T&");

   public:
    using detail::FutureOperation::FutureOperation;
    T await_resume() const {
      this->check_value();
      if constexpr (!std::is_void_v<T>)
        return std::move(static_cast<detail::FutureStateOf<T>&>(*this->awaited_).value());
    }
  };
  /// Throw std::logic_error if it is empty.
  Reference operator co_await() const& { return Reference(state("co_await")); }
  Value operator co_await() && { return Value(state("co_await")); }
  /// What shield(future) yields: the same, as who waits for a Future is stopped without it.
  ShieldedFuture<T> shielded() const& { return ShieldedFuture<T>(Future(state("shield()"))); }
  Future shielded() && { return std::move(*this); }

 private:
  detail::FutureStateOf<T>& state(const char* operation) const {
    if (!state_) detail::throw_empty_future(operation);
    return *state_;
  }

  detail::Ref<detail::FutureStateOf<T>, detail::FutureSide> state_;
};

/// A Future as an lvalue, whatever it is awaited as.
template <class T>
class [[nodiscard]] ShieldedFuture {
 public:
  explicit ShieldedFuture(Future<T>&& future) noexcept : future_(std::move(future)) {}

  typename Future<T>::Reference operator co_await() const { return future_.operator co_await(); }

 private:
  Future<T> future_;
};

/// Gives a result to those who hold its Futures. If it is destroyed before, they get BrokenPromise.
/// Move-only. On the loop's thread only.
template <class T = void>
class Promise {
 public:
  /// Throws std::bad_alloc.
  Promise() : state_(State::adopt(*new detail::FutureStateOf<T>)) {}
  Promise(Promise&&) noexcept = default;
  Promise& operator=(Promise&&) noexcept = default;

  /// One more Future of the same result.
  Future<T> future() const { return Future<T>(state("Promise.future()")); }

  /// Gives the value, and wakes all who wait for it. False, and nothing is done, if no Future is left or it
  /// was cancelled. Throws InvalidStateError if a result was given before; and what making the T throws, and
  /// then the Promise can still give a result.
  template <class U = T>
    requires(!std::is_void_v<T> && std::convertible_to<U &&, T>)
  bool set_result(U&& value) {
    return state("Promise.set_result()").check_pending() && state_->set(std::forward<U>(value));
  }
  bool set_result()
    requires std::is_void_v<T>
  {
    if (!state("Promise.set_result()").check_pending()) return false;
    state_->finish(detail::Outcome::VALUE);
    return true;
  }
  /// The same with an exception, which is reported to the loop's exception handler if nobody ever asks for
  /// it.
  bool set_exception(std::exception_ptr error) {
    if (!state("Promise.set_exception()").check_pending()) return false;
    state_->fail(std::move(error));
    return true;
  }
  /// The same with Cancelled.
  bool cancel() {
    if (!state("Promise.cancel()").check_pending()) return false;
    state_->finish(detail::Outcome::CANCELLED);
    return true;
  }

  /// Whether a result would still reach somebody: none was given, and the Futures were neither cancelled nor
  /// all destroyed.
  bool wanted() const noexcept { return state_ && state_->wanted(); }
  /// A result was given, or a Future cancelled.
  bool done() const noexcept { return state_ && state_->done(); }

 private:
  using State = detail::Ref<detail::FutureStateOf<T>, detail::PromiseSide>;

  detail::FutureStateOf<T>& state(const char* operation) const {
    if (!state_) detail::throw_empty_future(operation);
    return *state_;
  }

  State state_;
};

}  // namespace heddle

HEDDLE_HEADER_END
