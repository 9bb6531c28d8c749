// WaitScope: what a task does in a coroutine of an object, until the object's destructor ends it.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include "stop_requests.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

class TaskState;

/// For an object whose coroutines wait for something else: its destructor can't end that wait, but has the
/// task asked to stop there, and the coroutine throws std::logic_error in place of the Cancelled that comes.
/// To live in such a coroutine, which uses nothing of the object after a co_await before check().
class HEDDLE_EXPORT WaitScope {
 public:
  /// Of the current task.
  WaitScope() noexcept;
  WaitScope(const WaitScope&) = delete;
  WaitScope& operator=(const WaitScope&) = delete;
  ~WaitScope() { take_back(); }

  /// The object is being destroyed.
  void abandon() noexcept;
  /// Throws if it was: Cancelled, if the task was asked to stop by others too, or else std::logic_error that
  /// names the object. `operation` as for throw_destroyed().
  void check(const char* operation) {
    if (abandoned_) [[unlikely]]
      throw_abandoned(operation);
  }
  /// In a catch block: the same, or throws the exception again.
  [[noreturn]] void rethrow(const char* operation);

 private:
  [[noreturn]] void throw_abandoned(const char* operation);
  void take_back() noexcept;

  TaskState& task_;
  unsigned requests_before_;
  unsigned shields_;
  StopRequests::Count own_request_ = 0;  // the mark of ours, once it is made
  bool abandoned_ = false;
  bool requested_ = false;  // and not taken back yet
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
