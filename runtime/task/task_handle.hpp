// TaskHandle: any task, whatever it yields: its name, its end, and asking it to stop. all_tasks,
// current_task.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstdint>
#include <exception>
#include <source_location>
#include <string_view>
#include <vector>

#include "../core/ref.hpp"
#include "../core/report.hpp"
#include "../core/task_state.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

class Scheduler;

}  // namespace detail

/// Refers to a task, counted: the task may end meanwhile. For the loop's own thread. An empty handle refers
/// to none: that one is done, and has neither a number nor a name nor an error; state() and set_name() throw
/// std::logic_error.
class HEDDLE_EXPORT TaskHandle {
 public:
  TaskHandle() noexcept = default;
  explicit TaskHandle(detail::TaskState& state) noexcept : state_(state) {}

  /// A number that no other task of the loop ever has, in the order in which they were spawned.
  std::uint64_t id() const noexcept { return state_ ? state_->id() : 0; }
  /// Empty when it has none.
  std::string_view name() const noexcept { return state_ ? state_->name() : std::string_view(); }
  void set_name(std::string_view name) const { state().set_name(name); }
  /// Where it was spawned.
  std::source_location where() const noexcept { return state_ ? state_->where() : std::source_location(); }

  bool done() const noexcept { return !state_ || state_->done(); }
  bool cancelled() const noexcept { return state_ && state_->outcome() == detail::Outcome::CANCELLED; }
  /// What it failed with; null otherwise. It counts as retrieved by that.
  std::exception_ptr error() const noexcept {
    if (!state_) return nullptr;
    if (done()) state_->mark_retrieved();
    return state_->error();
  }
  /// The way that exception took; empty if it did not fail.
  std::span<const std::source_location> trace() const noexcept {
    return state_ ? state_->trace() : std::span<const std::source_location>();
  }

  /// Asks it to stop (see TaskState::cancel); false if it was done already.
  bool cancel() const noexcept { return state_ && state_->cancel(); }
  /// How many requests to stop are standing, as asyncio's Task.cancelling().
  unsigned cancelling() const noexcept { return state_ ? state_->cancel_requests() : 0; }
  /// Takes one request back and returns how many are left, as asyncio's Task.uncancel(): for who has caught
  /// the Cancelled of a request and means to go on.
  unsigned uncancel() const noexcept { return state_ ? state_->uncancel() : 0; }

  detail::TaskState& state() const {
    if (!state_) [[unlikely]]
      throw_empty();
    return *state_;
  }
  explicit operator bool() const noexcept { return static_cast<bool>(state_); }
  friend bool operator==(const TaskHandle&, const TaskHandle&) noexcept = default;

 private:
  [[noreturn]] static void throw_empty();

  detail::Ref<detail::TaskState> state_;
};

/// The task that runs; an empty handle in a callback.
HEDDLE_EXPORT TaskHandle current_task() noexcept;

/// Every task of the loop that isn't done, in the order in which they were spawned. Without an argument of
/// the running loop: throws std::logic_error if none runs.
HEDDLE_EXPORT std::vector<TaskHandle> all_tasks(const detail::Scheduler& loop);
HEDDLE_EXPORT std::vector<TaskHandle> all_tasks();

}  // namespace heddle

HEDDLE_HEADER_END
