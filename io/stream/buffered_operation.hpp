// BufferedOperation: an awaitable that is done from a buffer, or else, when it has to wait, by a coroutine.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <coroutine>
#include <optional>

#include "../../runtime/core/current.hpp"
#include "../../runtime/core/operation.hpp"
#include "../../runtime/core/task.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// Counts an operation that is done without suspending. False when the task has spent its budget, so that
/// other tasks are to get a turn first.
inline bool charge_budget() noexcept { return --current.budget >= 0; }

/// An `Op` derives from it and has begin() (throws if it must not be used now), `bool ready()` (whether it
/// can be done without waiting), `T take()` (does it), and `Task<T> slow_path()` (waits for what is missing,
/// or, when ready(), for the task's next turn; then does it).
template <class Op, class T>
class [[nodiscard]] BufferedOperation {
 public:
  using Native = void;

  BufferedOperation() noexcept = default;
  BufferedOperation(const BufferedOperation&) noexcept {}
  BufferedOperation& operator=(const BufferedOperation&) = delete;

  bool await_ready() {
    if (current.budget < 0) [[unlikely]]
      check_task();
    self().begin();
    return self().ready() && charge_budget();
  }
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> parent) {
    return slow_.emplace(self().slow_path().release()).await_suspend(parent);
  }
  T await_resume() {
    if (slow_) return slow_->await_resume();
    return self().take();
  }

 protected:
  ~BufferedOperation() = default;

 private:
  Op& self() noexcept { return static_cast<Op&>(*this); }

  std::optional<typename Task<T>::Awaiter> slow_;
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
