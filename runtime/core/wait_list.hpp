// WaitList, WaitOperation: a queue of waiting tasks, first come, first served.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <coroutine>

#include "current.hpp"
#include "intrusive_list.hpp"
#include "operation.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

class WaitList;

/// What waits in a WaitList for something to be given to it. The list goes through these operations, which
/// live in the frames of those who await them: waiting allocates nothing.
///
/// Who is woken has already got what it waited for, so nobody can take it before the task's turn comes. A
/// request to stop that arrives in between is TOO_LATE, so what was given isn't lost either.
class HEDDLE_EXPORT WaitOperation : public Operation, private ListLink<WaitOperation> {
 public:
  WaitOperation(const WaitOperation& other) noexcept : Operation(other), ListLink() {}

  Stop cancel() noexcept override;

  /// What it waits for is being destroyed: the co_await throws std::logic_error.
  void abandon() noexcept { end_wait(State::ABANDONED); }

 protected:
  enum class State : unsigned char {
    GRANTED,    // it has what it waits for, or never waited
    WAITING,    // it is in a list
    FAILED,     // it won't get it; the derived class knows why
    STOPPED,    // it was cancelled
    ABANDONED,  // what it waited for was destroyed
  };

  WaitOperation() noexcept {}

  /// What await_ready() returns: true if it was `granted` without waiting and the task may go on.
  bool attempt(bool granted) noexcept {
    state_ = granted ? State::GRANTED : State::WAITING;
    return granted && finished();
  }
  /// What await_suspend() does after that: enters the list or, if it was granted and only the task's budget
  /// is spent, queues the task for another turn.
  template <class Promise>
  void wait(WaitList& list, std::coroutine_handle<Promise> coroutine) noexcept {
    wait_in(list, coroutine, frame_of(coroutine.promise()));
  }
  /// What await_resume() begins with: throws if the wait was STOPPED or ABANDONED. `name` is the operation's
  /// in the message: "Lock.acquire()". FAILED is for the derived class to handle: see failed().
  void check(const char* name) const {
    if (state_ > State::FAILED) [[unlikely]]
      throw_ended(name);
  }
  bool failed() const noexcept { return state_ == State::FAILED; }
  void leave_list() noexcept { IntrusiveList<WaitOperation>::remove(*this); }

  State state_ = State::GRANTED;

 private:
  friend class WaitList;
  friend class IntrusiveList<WaitOperation>;

  void wait_in(WaitList& list, std::coroutine_handle<> coroutine, AsyncFrame* frame) noexcept;
  void end_wait(State state) noexcept;
  [[noreturn]] void throw_ended(const char* name) const;
};

/// Operations that wait, in the order in which they came. Neither copied nor moved. Those that still wait
/// when it is destroyed are abandoned.
class HEDDLE_EXPORT WaitList {
 public:
  WaitList() noexcept = default;
  WaitList(const WaitList&) = delete;
  WaitList& operator=(const WaitList&) = delete;
  ~WaitList() {
    if (!empty()) [[unlikely]]
      end_all(WaitOperation::State::ABANDONED);
  }

  bool empty() const noexcept { return operations_.empty(); }
  WaitOperation& first() const noexcept { return operations_.front(); }
  void push(WaitOperation& operation) noexcept { operations_.push_back(operation); }

  /// Wakes the first, which has been given what it waits for.
  void grant_first() noexcept { first().end_wait(WaitOperation::State::GRANTED); }
  void grant_all() noexcept { end_all(WaitOperation::State::GRANTED); }
  /// Wakes all, whose operations throw on their turn.
  void fail_all() noexcept { end_all(WaitOperation::State::FAILED); }

 private:
  void end_all(WaitOperation::State state) noexcept;

  IntrusiveList<WaitOperation> operations_;
};

/// For errors that can't be thrown: prints `message` on stderr and ends the program.
[[noreturn]] HEDDLE_EXPORT void terminate_with(const char* message) noexcept;

}  // namespace heddle::detail

HEDDLE_HEADER_END
