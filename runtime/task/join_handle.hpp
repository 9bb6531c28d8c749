// spawn / JoinHandle: tasks that run beside the one that started them.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <concepts>
#include <source_location>
#include <string_view>
#include <type_traits>
#include <utility>

#include "../core/call.hpp"
#include "../core/operation.hpp"
#include "../core/ref.hpp"
#include "../core/spawned_task.hpp"
#include "task_handle.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

/// Waits for a task's end. A request to stop is passed on to that task, as in asyncio, and the wait ends with
/// it; also one that was made while the waiting task ran. Or else, where the task is shielded, the wait alone
/// is stopped.
class HEDDLE_EXPORT JoinOperation : public Operation, private TaskObserver {
 public:
  explicit JoinOperation(TaskState& target, bool passes_on = true) noexcept
      : target_(target), passes_on_(passes_on) {
    target.add_reference();
  }
  ~JoinOperation() { target_.release(); }

  bool await_ready() {
    if (current.task == &target_) [[unlikely]]
      throw_awaits_itself();
    if (current.budget < 0) [[unlikely]]
      return begin_unusually();
    return target_.done() && finished();
  }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
    task_ = current.task;
    suspend(*this, coroutine);
    if (target_.done()) [[unlikely]]
      return wake();
    target_.add_observer(*this);
    if (task_->cancel_due()) [[unlikely]]
      pass_on_what_is_due();
  }

  Stop cancel() noexcept override;
  Joined joined() const noexcept override;
  void stop_joining() noexcept override;
  WaitInfo describe() const noexcept override;

 protected:
  void check_cancelled() const {
    if (stopped_) [[unlikely]]
      throw_cancelled();
  }

  TaskState& target_;

 private:
  [[noreturn]] static void throw_awaits_itself();
  bool begin_unusually();
  void pass_on_what_is_due() noexcept;
  void task_done(TaskState& target) noexcept override;

  bool passes_on_;  // a request to stop, to the target
  bool stopped_ = false;
};

[[noreturn]] HEDDLE_EXPORT void throw_not_done();
[[noreturn]] HEDDLE_EXPORT void throw_empty_handle();

}  // namespace detail

template <class T>
class ShieldedHandle;

/// Refers to a spawned task; `co_await handle` waits for it and yields its result or throws what it threw;
/// Cancelled if it was cancelled. Any number of tasks may wait for it: a result goes to the first that takes
/// it, and who comes after that gets std::logic_error; a failure, or a mere end (void), goes to each. A
/// request to stop who waits is passed on to the task: shield(handle) stops the wait alone. A handle that is
/// dropped leaves the task to its owner. On the loop's thread only. One that refers to no task
/// (default-constructed, moved from) is done, without a result, error or name; what needs a task throws
/// std::logic_error.
template <class T = void>
class JoinHandle {
 public:
  JoinHandle() noexcept = default;
  /// Takes over a reference that is counted already.
  explicit JoinHandle(detail::SpawnedTask<T>& state) noexcept : state_(&state) {}
  JoinHandle(JoinHandle&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  JoinHandle& operator=(JoinHandle&& other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~JoinHandle() {
    if (state_ != nullptr) state_->release();
  }

  /// Asks the task to stop (see TaskState::cancel); false if it was done already.
  bool cancel() noexcept { return state_ != nullptr && state_->cancel(); }
  bool done() const noexcept { return state_ == nullptr || state_->done(); }
  bool cancelled() const noexcept {
    return state_ != nullptr && state_->outcome() == detail::Outcome::CANCELLED;
  }
  /// What the task failed with, null otherwise.
  std::exception_ptr error() const noexcept {
    if (state_ == nullptr) return nullptr;
    if (done()) state_->mark_retrieved();
    return state_->error();
  }
  /// The result of a task that is done(), as co_await gives it. Throws std::logic_error when it isn't done.
  T result() {
    if (!done()) detail::throw_not_done();
    return referred().take();
  }
  /// Names the task in dumps and reports.
  JoinHandle& set_name(std::string_view name) & {
    referred().set_name(name);
    return *this;
  }
  JoinHandle&& set_name(std::string_view name) && {
    referred().set_name(name);
    return std::move(*this);
  }
  std::string_view name() const noexcept { return state_ != nullptr ? state_->name() : std::string_view(); }
  /// The same task, without the type of its result.
  TaskHandle task() const noexcept { return state_ != nullptr ? TaskHandle(*state_) : TaskHandle(); }
  detail::TaskState& state() const { return referred(); }
  explicit operator bool() const noexcept { return state_ != nullptr; }

  class Awaiter final : public detail::JoinOperation {
   public:
    explicit Awaiter(detail::SpawnedTask<T>& state, bool passes_on = true) noexcept
        : detail::JoinOperation(state, passes_on) {}
    T await_resume() {
      this->check_cancelled();
      return static_cast<detail::SpawnedTask<T>&>(this->target_).take();
    }
  };
  /// Throws std::logic_error for a handle that refers to nothing.
  Awaiter operator co_await() const { return Awaiter(referred()); }
  /// What shield(handle) yields. Throws std::logic_error for a handle that refers to nothing.
  ShieldedHandle<T> shielded() const { return ShieldedHandle<T>(referred()); }

 private:
  detail::SpawnedTask<T>& referred() const {
    if (state_ == nullptr) [[unlikely]]
      detail::throw_empty_handle();
    return *state_;
  }

  detail::SpawnedTask<T>* state_ = nullptr;
};

/// To be awaited as the JoinHandle from which shield() has made it; but a request to stop who waits ends the
/// wait at once, and the task goes on. If it fails then, and nobody else waits for it, that is reported.
template <class T>
class [[nodiscard]] ShieldedHandle {
 public:
  explicit ShieldedHandle(detail::SpawnedTask<T>& task) noexcept : task_(task) {}

  typename JoinHandle<T>::Awaiter operator co_await() const {
    return typename JoinHandle<T>::Awaiter(*task_, false);
  }

 private:
  detail::Ref<detail::SpawnedTask<T>> task_;
};

namespace detail {

// Apart from what each caller has to do with the Task it has.
template <class T>
[[gnu::noinline]] SpawnedTask<T>& start_task(typename Task<T>::Handle coroutine, TaskOwner& owner,
                                             std::source_location where) {
  coroutine.promise().set_root();
  Task<T> task(coroutine);  // until there is memory for its state
  owner.loop().use("spawn_for()");
  owner.loop().check_open();
  return *new SpawnedTask<T>(task.release(), owner, where);
}

}  // namespace detail

/// Starts `task` as a child of `owner`, behind what is queued on its loop already. Throws std::logic_error
/// once the loop has closed.
template <class T>
JoinHandle<T> spawn_for(detail::TaskOwner& owner, Task<T>&& task, std::source_location where) {
  return JoinHandle<T>(detail::start_task<T>(task.release(), owner, where));
}

namespace detail {

/// A coroutine that owns a function and its arguments while it runs what the function returns.
template <class F, class... A>
auto invoke_owned(F function, A... arguments) -> Task<typename std::invoke_result_t<F&, A...>::value_type> {
  static_assert(fits_in_frame<F> && (fits_in_frame<A> && ...),
                "a coroutine's frame isn't aligned for such an argument: pass a std::unique_ptr to it");
  co_return co_await call(function, std::move(arguments)...);
}

}  // namespace detail

/// A callable that returns a Task when it is given A...
template <class F, class... A>
concept CoroutineFunction = requires { typename std::invoke_result_t<F&, A...>::promise_type; };

/// Starts `task` beside the caller, behind what is queued already: the loop owns it. The exception of a
/// task whose handle is dropped goes to the loop's report handler. Throws std::logic_error if no loop runs
/// on this thread.
template <class T>
JoinHandle<T> spawn(Task<T> task HEDDLE_CORO_BOUND,
                    std::source_location where = std::source_location::current()) {
  return spawn_for(detail::running_loop(), std::move(task), where);
}

/// The same for `function(arguments...)`, which returns a Task. The new task owns both, so nothing dangles.
template <class F, class... A>
  requires CoroutineFunction<std::decay_t<F>, std::decay_t<A>...>
auto spawn(F&& function, A&&... arguments) {
  return spawn_for(detail::running_loop(),
                   detail::invoke_owned<std::decay_t<F>, std::decay_t<A>...>(std::forward<F>(function),
                                                                             std::forward<A>(arguments)...),
                   std::source_location());
}

}  // namespace heddle

HEDDLE_HEADER_END
