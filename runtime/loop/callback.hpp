// Callback, CallHandle: plain functions that an event loop calls, now, later, or when a descriptor is ready.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <type_traits>
#include <utility>

#include "../core/call.hpp"
#include "../core/frame_allocator.hpp"
#include "../core/runnable.hpp"
#include "../core/timer_heap.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

class Scheduler;

/// A function with its arguments, for a loop to call. Counted references: the loop's and the CallHandles'.
class HEDDLE_EXPORT Callback : public Runnable, public Timer, public FrameAllocated {
 public:
  void add_reference() noexcept { ++references_; }
  void release() noexcept {
    if (--references_ == 0) delete this;
  }

  void cancel() noexcept;
  bool cancelled() const noexcept { return cancelled_; }

  /// Queues a call on `loop`, unless one is queued already.
  void schedule(Scheduler& loop) noexcept;
  /// It may be called again and again: it isn't given up after a call.
  void set_repeats() noexcept { repeats_ = true; }
  /// The loop gives up a callback that repeats: it won't be called again.
  void abandon() noexcept {
    cancelled_ = true;
    release();
  }
  /// Queues a call at `deadline`. Throws std::bad_alloc.
  void schedule_at(Scheduler& loop, TimePoint when);
  TimePoint when() const noexcept { return when_; }

 protected:
  Callback() noexcept;
  virtual ~Callback();
  virtual void call() = 0;

 private:
  static void run_callback(Runnable& runnable) noexcept;
  static void fire_callback(Timer& timer) noexcept;

  unsigned references_ = 1;
  bool cancelled_ = false;
  bool repeats_ = false;
  bool queued_ = false;
  Scheduler* loop_ = nullptr;
  TimePoint when_{};
};

}  // namespace detail

/// Refers to a queued call; copies refer to the same. To be used on the loop's own thread.
class HEDDLE_EXPORT CallHandle {
 public:
  CallHandle() noexcept = default;
  explicit CallHandle(detail::Callback& callback) noexcept : callback_(&callback) {
    callback.add_reference();
  }
  CallHandle(const CallHandle& other) noexcept : callback_(other.callback_) {
    if (callback_ != nullptr) callback_->add_reference();
  }
  CallHandle(CallHandle&& other) noexcept : callback_(std::exchange(other.callback_, nullptr)) {}
  CallHandle& operator=(CallHandle other) noexcept {
    std::swap(callback_, other.callback_);
    return *this;
  }
  ~CallHandle() {
    if (callback_ != nullptr) callback_->release();
  }

  /// The call won't be made, if it wasn't yet.
  void cancel() noexcept;
  bool cancelled() const noexcept { return callback_ != nullptr && callback_->cancelled(); }
  /// When a call_later or call_at is due.
  TimePoint when() const noexcept { return callback_ != nullptr ? callback_->when() : TimePoint(); }

 private:
  detail::Callback* callback_ = nullptr;
};

namespace detail {

template <class Function>
class CallbackOf final : public Callback {
 public:
  explicit CallbackOf(Function&& function) : function_(std::move(function)) {}

 private:
  void call() override { function_(); }

  Function function_;
};

/// A call that another thread has posted. It is made once and can't be called off, so it is small: it comes
/// from another core's cache.
class HEDDLE_EXPORT PostedCall : public Runnable, public FrameAllocated {
 public:
  virtual ~PostedCall();

 protected:
  PostedCall() noexcept : Runnable(&run_posted) {}
  virtual void call() = 0;

 private:
  static void run_posted(Runnable& runnable) noexcept;
};

template <class Function>
class PostedCallOf final : public PostedCall {
 public:
  explicit PostedCallOf(Function&& function) : function_(std::move(function)) {}

 private:
  void call() override { function_(); }

  Function function_;
};

/// A `Kind` of call that owns `function` and `arguments` and calls the one with the others, as lvalues.
template <template <class> class Kind, class F, class... A>
auto& make_call(F&& function, A&&... arguments) {
  static_assert(std::is_invocable_v<std::decay_t<F>&, std::decay_t<A>&...>,
                "the function can't be called with these arguments (they are passed as lvalues)");
  auto call = [function = std::forward<F>(function), ... arguments = std::forward<A>(arguments)]() mutable {
    detail::call(function, arguments...);
  };
  return *new Kind<decltype(call)>(std::move(call));
}

template <class F, class... A>
Callback& make_callback(F&& function, A&&... arguments) {
  return make_call<CallbackOf>(std::forward<F>(function), std::forward<A>(arguments)...);
}

}  // namespace detail

}  // namespace heddle

HEDDLE_HEADER_END
