// RemoteHandle, spawn_threadsafe: tasks seen from other threads than their loop's.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <coroutine>
#include <exception>
#include <new>
#include <source_location>
#include <type_traits>
#include <utility>

#include "../../selector/process_mark.hpp"
#include "../core/blocking.hpp"
#include "../core/operation.hpp"
#include "../core/ref.hpp"
#include "../core/runnable.hpp"
#include "../core/task.hpp"
#include "../core/task_state.hpp"
#include "../task/join_handle.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

class EventLoop;

namespace detail {

class Mailbox;
class RemoteWait;

/// A task as other threads know it; it may outlive the task and its loop. Counted references.
class HEDDLE_EXPORT RemoteTask : private TaskObserver {
 public:
  /// On the thread of the task's loop.
  static Ref<RemoteTask> of(TaskState& task);

  void add_reference() noexcept;
  void release() noexcept;

  // Any thread.

  bool cancel() noexcept;
  bool done() const noexcept;
  /// Blocks the thread until it is done.
  void wait() const;

 protected:
  /// null for a task that is done.
  explicit RemoteTask(Mailbox* mailbox) noexcept;
  virtual ~RemoteTask();

  /// Has start() called on the loop's thread. False if the loop has closed: this has been cancelled.
  bool post_start() noexcept;
  /// This represents `task` from now on. On the loop's thread.
  void watch(TaskState& task) noexcept;
  void finish() noexcept;
  [[noreturn]] static void throw_was_cancelled();

  // Read by other threads once it is done().
  Outcome outcome_ = Outcome::PENDING;
  std::exception_ptr error_;

 private:
  friend class RemoteWait;
  struct Message final : Runnable {
    Message(RemoteTask& to, void (*function)(Runnable&)) noexcept : Runnable(function), task(to) {}
    RemoteTask& task;
  };

  /// Starts the task, on the loop's thread, and watch()es it.
  virtual void start(EventLoop& loop);
  /// The task is done: takes its result.
  virtual void take_outcome(TaskState& task) noexcept;
  void task_done(TaskState& task) noexcept override;
  static void on_start(Runnable& message) noexcept;
  static void on_cancel(Runnable& message) noexcept;

  Ref<Mailbox> mailbox_;
  TaskState* task_ = nullptr;  // the loop's thread only
  Message start_message_{*this, &on_start};
  Message cancel_message_{*this, &on_cancel};
  const ProcessMark process_;  // in the child of a fork() another loop's task never ends
  // Atomic accesses only:
  // The newest of those who wait, or a mark when it is done. Linked one way, as a stack that threads push to
  // without a lock; all are taken at once.
  RemoteWait* waiting_ = nullptr;
  unsigned references_ = 1;
  unsigned done_ = 0;
  bool cancel_posted_ = false;
};

}  // namespace detail

/// Refers to a task from any thread; copies refer to the same. It may be kept longer than the task, and than
/// its loop.
class HEDDLE_EXPORT RemoteHandle {
 public:
  RemoteHandle() noexcept = default;
  /// To be made on the loop's thread. Throws std::logic_error for a handle that refers to nothing.
  template <class T>
  explicit RemoteHandle(const JoinHandle<T>& handle) {
    if (!handle) detail::throw_empty_handle();
    task_ = detail::RemoteTask::of(handle.state());
  }
  explicit RemoteHandle(detail::TaskState& task) : task_(detail::RemoteTask::of(task)) {}

  /// Has the task's loop ask it to stop, which happens there as soon as it takes messages; calls before that
  /// are one request. False, and nothing happens, if the task is done or its loop has closed.
  bool cancel() const noexcept { return task_ && task_->cancel(); }
  bool done() const noexcept { return !task_ || task_->done(); }
  explicit operator bool() const noexcept { return static_cast<bool>(task_); }

 private:
  detail::Ref<detail::RemoteTask> task_;
};

namespace detail {

/// Waits on one loop for a task of another. A request to stop is passed on to that task, also one that was
/// made while the waiting task ran, and the wait ends with it; in the child of a fork(), where that task
/// isn't, it ends the wait.
class HEDDLE_EXPORT RemoteWait : public Operation {
 public:
  explicit RemoteWait(RemoteTask& target) noexcept : target_(target) {}
  RemoteWait(const RemoteWait&) = delete;

  bool await_ready() {
    if (current.budget < 0) [[unlikely]]
      return begin_unusually();
    task_ = current.task;
    return target_->done() && finished();
  }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
    suspend(*this, coroutine);
    begin_wait();
  }

  Stop cancel() noexcept override;

 protected:
  /// Throws Cancelled if the wait was ended, not the task.
  void check_stopped() const {
    if (stopped_) [[unlikely]]
      throw_cancelled();
  }

  Ref<RemoteTask> target_;
  bool asked_ = false;  // a request to stop was passed on

 private:
  friend class RemoteTask;
  struct Message final : Runnable {
    explicit Message(RemoteWait& to) noexcept : Runnable(&on_done), wait(to) {}
    RemoteWait& wait;
  };

  static void on_done(Runnable& message) noexcept;
  bool begin_unusually();
  bool is_lost() const noexcept;
  void begin_wait() noexcept;
  void end_wait() noexcept;

  RemoteWait* next_ = nullptr;  // the one that came before
  bool outside_ = false;        // the task is another loop's
  bool stopped_ = false;
  Mailbox* mailbox_ = nullptr;
  Message message_{*this};
};

template <class T>
class RemoteTaskOf : public RemoteTask {
 public:
  RemoteTaskOf(Mailbox& mailbox, Task<T> task, std::source_location where) noexcept
      : RemoteTask(&mailbox), task_(std::move(task)), where_(where) {}

  /// A task that will never begin isn't one that nobody awaited.
  void begin() noexcept {
    if (!post_start()) task_.release().destroy();
  }

  T take() {
    if (outcome_ == Outcome::CANCELLED) throw_was_cancelled();
    if (outcome_ == Outcome::ERROR) std::rethrow_exception(error_);
    if constexpr (!std::is_void_v<T>) return static_cast<T&&>(result_.value);
  }

 protected:
  ~RemoteTaskOf() override {
    if constexpr (!std::is_void_v<T>)
      if (outcome_ == Outcome::VALUE) result_.value.~T();
  }

  void start(EventLoop& loop) override;
  void start_for(TaskOwner& owner) { this->watch(spawn_for(owner, std::move(task_), where_).state()); }
  /// In place of start_for().
  void cancel_unstarted() noexcept {
    outcome_ = Outcome::CANCELLED;
    task_.release().destroy();
    this->finish();
  }

  void take_outcome(TaskState& task) noexcept override;

 private:
  // Raw memory: the member is constructed when the task is done.
  union Result {
    Result() noexcept {}
    ~Result() {}
    std::conditional_t<std::is_void_v<T>, char, T> value;
  };

  Task<T> task_;
  std::source_location where_;
  Result result_;
};

/// The mailbox of a loop, from any thread, and that loop as the owner of a task.
HEDDLE_EXPORT Mailbox& mailbox_of(EventLoop& loop) noexcept;
HEDDLE_EXPORT TaskOwner& owner_of(EventLoop& loop) noexcept;

template <class T>
void RemoteTaskOf<T>::start(EventLoop& loop) {
  start_for(owner_of(loop));
}

template <class T>
void RemoteTaskOf<T>::take_outcome(TaskState& task) noexcept {
  if (task.outcome() == Outcome::CANCELLED) {
    outcome_ = Outcome::CANCELLED;
    return;
  }
  try {
    auto& spawned = static_cast<SpawnedTask<T>&>(task);
    if constexpr (std::is_void_v<T>)
      spawned.take();
    else
      ::new (static_cast<void*>(&result_.value)) T(spawned.take());
    outcome_ = Outcome::VALUE;
  } catch (...) {
    error_ = std::current_exception();
    outcome_ = Outcome::ERROR;
  }
}

}  // namespace detail

/// Refers to a task that was started on a loop by spawn_threadsafe(). A handle that is dropped leaves the
/// task to that loop. On any thread, but by one at a time.
template <class T = void>
class [[nodiscard]] RemoteJoinHandle {
 public:
  RemoteJoinHandle() noexcept = default;
  /// Takes over a reference.
  explicit RemoteJoinHandle(detail::RemoteTaskOf<T>& task) noexcept
      : task_(detail::Ref<detail::RemoteTaskOf<T>>::adopt(task)) {}
  RemoteJoinHandle(RemoteJoinHandle&&) noexcept = default;
  RemoteJoinHandle& operator=(RemoteJoinHandle&&) noexcept = default;

  /// As RemoteHandle's.
  bool cancel() const noexcept { return task_ && task_->cancel(); }
  bool done() const noexcept { return !task_ || task_->done(); }
  explicit operator bool() const noexcept { return static_cast<bool>(task_); }

  /// Blocks the thread until the task is done and returns its result (once), or throws what it threw;
  /// Cancelled if it was cancelled or its loop closed before it began. Throws std::logic_error where a loop
  /// runs on this thread: await it there.
  T get() {
    if (!task_) detail::throw_empty_handle();
    detail::check_may_block("get()", "co_await the handle");
    task_->wait();
    return task_->take();
  }

  class Awaiter final : public detail::RemoteWait {
   public:
    explicit Awaiter(detail::RemoteTaskOf<T>& task) noexcept : detail::RemoteWait(task) {}
    T await_resume() {
      this->check_stopped();
      return static_cast<detail::RemoteTaskOf<T>&>(*this->target_).take();
    }
  };
  /// The same without blocking. A request to stop is passed on to the task, and the wait ends with it.
  Awaiter operator co_await() const {
    if (!task_) detail::throw_empty_handle();
    return Awaiter(*task_);
  }

 private:
  detail::Ref<detail::RemoteTaskOf<T>> task_;
};

/// Starts `task` on `loop`, which has to exist during the call, from any thread: asyncio's
/// run_coroutine_threadsafe. Nothing of the task runs on this thread. If the loop closes before it began, it
/// has been cancelled.
template <class T>
RemoteJoinHandle<T> spawn_threadsafe(EventLoop& loop, Task<T> task,
                                     std::source_location where = std::source_location::current()) {
  auto* const remote = new detail::RemoteTaskOf<T>(detail::mailbox_of(loop), std::move(task), where);
  RemoteJoinHandle<T> handle(*remote);
  remote->begin();
  return handle;
}
/// The same for `function(arguments...)`, which returns a Task and is called on the loop's thread. The new
/// task owns both.
template <class F, class... A>
  requires CoroutineFunction<std::decay_t<F>, std::decay_t<A>...>
auto spawn_threadsafe(EventLoop& loop, F&& function, A&&... arguments) {
  return spawn_threadsafe(loop,
                          detail::invoke_owned<std::decay_t<F>, std::decay_t<A>...>(
                              std::forward<F>(function), std::forward<A>(arguments)...),
                          std::source_location());
}

}  // namespace heddle

HEDDLE_HEADER_END
