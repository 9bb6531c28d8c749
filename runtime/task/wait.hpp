// wait: until some or all of several tasks are done, without stopping any.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <coroutine>
#include <cstddef>
#include <vector>

#include "../../selector/timeout.hpp"
#include "../core/operation.hpp"
#include "../core/timer_heap.hpp"
#include "join_handle.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// What wait() waits for.
enum class ReturnWhen : unsigned char {
  FIRST_COMPLETED,  ///< one task is done
  FIRST_EXCEPTION,  ///< one has failed, or all are done
  ALL_COMPLETED,    ///< all are done
};

namespace detail {

class HEDDLE_EXPORT WaitTasksOperation final : public Operation, private Timer {
 public:
  template <class T>
  WaitTasksOperation(const std::vector<JoinHandle<T>>& handles, ReturnWhen when, Timeout timeout)
      : WaitTasksOperation(handles.size(), when, timeout) {
    for (const JoinHandle<T>& handle : handles) add(handle);
  }
  template <class... T>
  WaitTasksOperation(ReturnWhen when, Timeout timeout, const JoinHandle<T>&... handles)
      : WaitTasksOperation(sizeof...(T), when, timeout) {
    (add(handles), ...);
  }
  /// Only before it is awaited.
  WaitTasksOperation(WaitTasksOperation&& other) noexcept;
  ~WaitTasksOperation();

  bool await_ready();
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) {
    begin_wait();
    suspend(*this, coroutine);
  }
  std::size_t await_resume() const;

  Stop cancel() noexcept override;

 private:
  struct Watched;

  WaitTasksOperation(std::size_t tasks, ReturnWhen when, Timeout timeout);
  template <class T>
  void add(const JoinHandle<T>& handle) {
    if (!handle) throw_empty_handle();
    add(handle.state());
  }
  void add(TaskState& task) noexcept;
  void begin_wait();
  void end_wait() noexcept;
  void count(const TaskState& task) noexcept;
  bool satisfied() const noexcept;
  static void expire(Timer& timer) noexcept;

  Watched* tasks_;
  std::size_t size_ = 0;
  std::size_t left_ = 0;
  Timeout timeout_;
  ReturnWhen when_;
  bool failed_ = false;
  bool waits_ = false;
  bool stopped_ = false;
};

}  // namespace detail

/// Waits until what `when` says is so of the tasks that `handles` refer to, or `timeout` has passed, and
/// yields how many of them are done, as asyncio's wait() does: nobody is cancelled, neither by the timeout
/// nor when the caller is, and every result stays in its handle. A task that was cancelled is done and hasn't
/// failed. The handles may be dropped meanwhile. Throws std::logic_error for a handle that refers to nothing.
template <class T>
detail::WaitTasksOperation wait(const std::vector<JoinHandle<T>>& handles,
                                ReturnWhen when = ReturnWhen::ALL_COMPLETED, Timeout timeout = {}) {
  return detail::WaitTasksOperation(handles, when, timeout);
}
/// The same for handles of different types.
template <class... T>
detail::WaitTasksOperation wait(ReturnWhen when, Timeout timeout, const JoinHandle<T>&... handles) {
  return detail::WaitTasksOperation(when, timeout, handles...);
}

}  // namespace heddle

HEDDLE_HEADER_END
