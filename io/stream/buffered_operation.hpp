// BufferedOperation: an awaitable that mostly has what it needs, and else awaits a coroutine.
// SPDX-License-Identifier: MIT
#pragma once

#include <coroutine>
#include <optional>

#include "../../runtime/core/current.hpp"
#include "../../runtime/core/operation.hpp"
#include "../../runtime/core/task.hpp"

namespace heddle {

/// One more operation of the task is done without suspending. False when it has spent its budget and the
/// others are to have their turn.
inline bool charge_budget() noexcept { return --current.budget >= 0; }

/// An Op derives from it and has begin() (throws if it must not be used now), `bool ready()` (it can be done
/// without waiting), `T take()` (does it), and `Task<T> slowly()` (waits for what it needs; when ready(), for
/// its turn, and does it then).
template <class Op, class T>
class [[nodiscard]] BufferedOperation {
 public:
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
    return slow_.emplace(self().slowly().release()).await_suspend(parent);
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

}  // namespace heddle
