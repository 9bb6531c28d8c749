// as_completed / AsCompleted: tasks in the order in which they are done.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <coroutine>
#include <cstddef>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "../core/intrusive_list.hpp"
#include "../core/ref.hpp"
#include "../core/wait_list.hpp"
#include "join_handle.hpp"
#include "nothing.hpp"
#include "task_scope.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

/// What AsCompleted does whatever its tasks yield.
class HEDDLE_EXPORT CompletionList {
 public:
  CompletionList(const CompletionList&) = delete;
  CompletionList& operator=(const CompletionList&) = delete;

  /// How many tasks next() has not yielded yet.
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }

 protected:
  class Entry;
  class HEDDLE_EXPORT Next : public WaitOperation {
   public:
    explicit Next(CompletionList& list) noexcept : list_(list) {}

    bool await_ready();
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
      wait(list_.waiters_, coroutine);
    }

   protected:
    /// The task; empty when none is left.
    Ref<TaskState> take();

   private:
    friend class CompletionList;

    CompletionList& list_;
    Ref<TaskState> task_done_;  // what it was given
  };

  CompletionList() noexcept = default;
  ~CompletionList();
  void add_task(TaskState& task);

 private:
  void completed(Entry& entry) noexcept;
  Ref<TaskState> pop() noexcept;
  void grant_waiters() noexcept;

  IntrusiveList<Entry> pending_;
  IntrusiveList<Entry> done_;  // the first to be done first
  WaitList waiters_;
  std::size_t size_ = 0;
};

}  // namespace detail

/// Yields tasks in the order in which they are done. It watches them and nothing more: who owns them goes on
/// to, and when it is destroyed they run on. More may be added at any time. To be used on their loop's
/// thread.
template <class T = void>
class AsCompleted final : public detail::CompletionList {
 public:
  AsCompleted() noexcept = default;
  explicit AsCompleted(std::vector<JoinHandle<T>> handles) {
    for (JoinHandle<T>& handle : handles) add(std::move(handle));
  }

  /// Throws std::logic_error for a handle that refers to nothing.
  void add(JoinHandle<T> handle) {
    if (!handle) detail::throw_empty_handle();
    add_task(handle.state());
  }

  class NextOperation final : public Next {
   public:
    explicit NextOperation(detail::CompletionList& list) noexcept : Next(list) {}
    JoinHandle<T> await_resume() {
      detail::TaskState* const task = take().detach();
      if (task == nullptr) return JoinHandle<T>();
      return JoinHandle<T>(static_cast<detail::SpawnedTask<T>&>(*task));  // which takes the reference over
    }
  };
  /// Waits for the next task to be done and yields its handle, which has the result; a handle that is false
  /// when there are no more tasks. Cancelling it loses none. Who waits when this is destroyed gets
  /// std::logic_error.
  NextOperation next() noexcept { return NextOperation(*this); }
};

/// Runs all `tasks` at the same time and `body(results)`, which returns a Task and takes their handles from
/// `results.next()` in the order in which they are done; yields what `body` returns. What is not done by then
/// is cancelled and joined. A task that fails stops nobody: its exception is in its handle.
template <class T, class Body>
auto as_completed(std::vector<Task<T>> tasks, Body body) -> std::invoke_result_t<Body&, AsCompleted<T>&> {
  using R = typename std::invoke_result_t<Body&, AsCompleted<T>&>::value_type;
  detail::TaskScope scope;
  Task<bool> closing = scope.close();
  AsCompleted<T> results;
  std::exception_ptr failure;
  std::optional<detail::ValueOrNothing<R>> result;
  try {
    for (Task<T>& task : tasks) results.add(scope.spawn(std::move(task)));
    if constexpr (std::is_void_v<R>)
      co_await body(results);
    else
      result.emplace(co_await body(results));
  } catch (...) {
    failure = std::current_exception();
  }
  if (co_await std::move(closing)) scope.put_off_stop(failure);
  if (failure) std::rethrow_exception(failure);
  if constexpr (!std::is_void_v<R>) co_return std::move(*result);
}

}  // namespace heddle

HEDDLE_HEADER_END
