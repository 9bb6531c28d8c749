// AsyncGenerator<T>: a coroutine that yields one item after another, and may wait in between.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "../core/task.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

template <class T>
class AsyncGenerator;

namespace detail {

[[noreturn]] HEDDLE_EXPORT void throw_generator_empty();
[[noreturn]] HEDDLE_EXPORT void throw_generator_running();
[[noreturn]] HEDDLE_EXPORT void throw_generator_destroyed();

template <class T>
class AsyncGeneratorPromise final : public TaskPromiseBase {
 public:
  AsyncGenerator<T> get_return_object() noexcept;
  void return_void() noexcept {}
  void unhandled_exception() noexcept { error_ = std::current_exception(); }

  /// Back to who asked for the item, which stays in the generator's frame till then.
  class Yield {
   public:
    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<AsyncGeneratorPromise> self) noexcept {
      return transfer(self.promise().continuation());
    }
    void await_resume() const noexcept {}
  };
  class YieldCopy : public Yield {
   public:
    explicit YieldCopy(const T& item) : item_(item) {}
    std::coroutine_handle<> await_suspend(std::coroutine_handle<AsyncGeneratorPromise> self) noexcept {
      self.promise().item_ = &item_;
      return Yield::await_suspend(self);
    }

   private:
    T item_;
  };
  Yield yield_value(T&& item) noexcept {
    item_ = __builtin_addressof(item);
    return Yield();
  }
  YieldCopy yield_value(const T& item) { return YieldCopy(item); }

 private:
  friend class AsyncGenerator<T>;

  T* item_ = nullptr;  // until it is taken
  std::exception_ptr error_;
  bool running_ = false;    // somebody waits for the next item
  bool abandoned_ = false;  // and owns the coroutine now: the generator was destroyed
};

}  // namespace detail

/// The result of a coroutine function that says `co_yield item` (and `co_await`, where it has to):
///
///     AsyncGenerator<Line> lines(TcpStream& stream);
///     auto all = lines(stream);
///     while (std::optional<Line> line = co_await all.next()) use(*line);
///
/// The body runs only while somebody waits for next(), as a part of that task: a request to stop the task
/// comes out of the co_await in the body. What the body throws comes out of next(). When the generator goes
/// before its end, the body's locals are destroyed where it stands, at a co_yield. For one task at a time.
/// When it is destroyed while a task waits for next(), the body goes on to its next co_yield, or its end;
/// then its locals are destroyed, and that task gets std::logic_error, or what the body has thrown.
/// Parameters are kept as in a Task. (GCC 12 destroys an aggregate twice in `co_yield Aggregate{...}`: name
/// it first, and co_yield std::move(name).)
template <class T>
class [[nodiscard]] HEDDLE_CORO_TASK AsyncGenerator {
  static_assert(!std::is_reference_v<T> && !std::is_void_v<T>,
                "an AsyncGenerator yields values: use a pointer instead of a reference");
  static_assert(detail::fits_in_frame<T>,
                "a coroutine's frame is aligned as operator new aligns: yield a std::unique_ptr to that");

 public:
  using promise_type = detail::AsyncGeneratorPromise<T>;
  using Handle = std::coroutine_handle<promise_type>;
  using value_type = T;

  AsyncGenerator() noexcept = default;
  explicit AsyncGenerator(Handle coroutine) noexcept : coroutine_(coroutine) {}
  AsyncGenerator(AsyncGenerator&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  AsyncGenerator& operator=(AsyncGenerator&& other) noexcept {
    AsyncGenerator taken(std::move(other));
    std::swap(coroutine_, taken.coroutine_);
    return *this;
  }
  ~AsyncGenerator() {
    if (!coroutine_) return;
    if (coroutine_.promise().running_)
      coroutine_.promise().abandoned_ = true;
    else
      coroutine_.destroy();
  }

  class [[nodiscard]] Next {
   public:
    using Native = void;

    explicit Next(Handle coroutine) noexcept : coroutine_(coroutine) {}

    bool await_ready() const {
      if (!coroutine_) detail::throw_generator_empty();
      if (coroutine_.promise().running_) detail::throw_generator_running();
      return coroutine_.done() || coroutine_.promise().item_ != nullptr;
    }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> parent) noexcept {
      static_assert(
          std::derived_from<Promise, detail::AsyncFrame>,
          "next() is awaited by a coroutine that isn't heddle's: let it await a task that does that");
      promise_type& promise = coroutine_.promise();
      promise.running_ = true;
      promise.set_awaited_by(parent);
      return detail::transfer(coroutine_);
    }
    std::optional<T> await_resume() {
      promise_type& promise = coroutine_.promise();
      promise.running_ = false;
      if (promise.abandoned_) [[unlikely]]
        end_abandoned();
      if (promise.error_) std::rethrow_exception(std::exchange(promise.error_, nullptr));
      std::optional<T> item;  // one variable is returned, so that it isn't moved any more
      if (!coroutine_.done()) {
        item.emplace(std::move(*promise.item_));
        promise.item_ = nullptr;
      }
      return item;
    }

   private:
    [[noreturn]] void end_abandoned() {
      const std::exception_ptr error = std::move(coroutine_.promise().error_);
      coroutine_.destroy();
      if (error) std::rethrow_exception(error);
      detail::throw_generator_destroyed();
    }

    Handle coroutine_;
  };

  /// `co_await generator.next()` runs the body up to its next co_yield and yields what it yielded; nullopt
  /// when the body has ended, and ever after. Throws what the body throws, and std::logic_error if a task
  /// waits for it already, or it was moved from. What moving the item throws comes out, too; the next next()
  /// yields that item then.
  Next next() noexcept { return Next(coroutine_); }

 private:
  Handle coroutine_;
};

template <class T>
AsyncGenerator<T> detail::AsyncGeneratorPromise<T>::get_return_object() noexcept {
  return AsyncGenerator<T>(std::coroutine_handle<AsyncGeneratorPromise>::from_promise(*this));
}

}  // namespace heddle

HEDDLE_HEADER_END
