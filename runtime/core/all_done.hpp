// AllDone: one task waits until something else says that all is done; mostly the children of a TaskOwner. For
// .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include <coroutine>
#include <utility>

#include "operation.hpp"
#include "task_owner.hpp"

namespace heddle::detail {

/// Waits, unless it is `done` from the start, until notify() is called for `waiting`, which is where the
/// waiting operation enters itself: one at a time. Cancel-safe.
class HEDDLE_EXPORT AllDone final : public Operation {
 public:
  /// `what`: of static storage, for dumps; `for_children`: nothing but children and requests to stop end it.
  AllDone(AllDone*& waiting, bool done, const char* what, bool for_children) noexcept
      : waiting_(waiting), what_(what), done_(done), for_children_(for_children) {}
  /// Of the children of `owner`, to whom requests to stop are passed on: `asked` is set then.
  AllDone(AllDone*& waiting, TaskOwner& owner, bool& asked) noexcept
      : AllDone(waiting, owner.first_child() == nullptr, "its children", true) {
    owner_ = &owner;
    asked_ = &asked;
  }

  /// Wakes the one who waits, if somebody does.
  static void notify(AllDone*& waiting) noexcept {
    if (waiting != nullptr) std::exchange(waiting, nullptr)->wake();
  }

  /// Requests to stop end the wait from now on.
  void pass_nothing_on() noexcept { owner_ = nullptr; }
  /// What is waited for has changed meanwhile.
  void describe_as(const char* what, bool for_children) noexcept {
    what_ = what;
    for_children_ = for_children;
  }

  bool await_ready() {
    begin();
    return done_;
  }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
    waiting_ = this;
    suspend(*this, coroutine);
  }
  void await_resume() const {
    if (stopped_) throw_cancelled();
  }

  Stop cancel() noexcept override;
  Joined joined() const noexcept override;
  WaitInfo describe() const noexcept override;

 private:
  AllDone*& waiting_;
  const char* what_;
  TaskOwner* owner_ = nullptr;  // requests are passed on to its children, and noted in asked_
  bool* asked_ = nullptr;
  bool done_;
  bool for_children_;
  bool stopped_ = false;
};

inline AllDone TaskOwner::all_done() noexcept {
  return AllDone(waiting_, children_ == nullptr, "its children", true);
}
inline AllDone TaskOwner::all_done(bool& asked) noexcept { return AllDone(waiting_, *this, asked); }

}  // namespace heddle::detail
