// WaitList, WaitOperation: a queue of waiting tasks, first come, first served.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <coroutine>

#include "current.hpp"
#include "home_loop.hpp"
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
///
/// Once it has ended it never touches what it waited for, which may be gone by its task's turn. What it was
/// given may need that still (a lock has to be released): then it is on a list of it until its turn.
class HEDDLE_EXPORT WaitOperation : public Operation, private ListLink<WaitOperation> {
 public:
  WaitOperation(const WaitOperation& other) noexcept : Operation(other), ListLink() {}

  Stop cancel() noexcept override;

  /// What it waits for is being destroyed: the co_await throws std::logic_error; but Cancelled, if the task
  /// is asked to stop before its turn comes.
  void abandon() noexcept { end_wait(State::ABANDONED); }

 protected:
  enum class State : unsigned char {
    GRANTED,    // it has what it waits for, or never waited
    LISTED,     // the same, and it is on a list of what it has until its turn: see take()
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
    wait_in(list, nullptr, coroutine, frame_of(coroutine.promise()));
  }
  /// The same for what must be there until the task's turn. Who is granted it is on the list `granted` then.
  template <class Promise>
  void wait(WaitList& list, WaitList& granted, std::coroutine_handle<Promise> coroutine) noexcept {
    wait_in(list, &granted, coroutine, frame_of(coroutine.promise()));
  }
  /// What await_resume() begins with: throws if the wait was STOPPED or ABANDONED. `name` is the object's and
  /// the operation's in the message: "Lock.acquire()". FAILED is for the derived class to handle: see
  /// failed().
  void check(const char* name) const {
    if (state_ > State::FAILED) [[unlikely]]
      throw_ended(name);
  }
  /// The same for who may be LISTED, and is so no more.
  void take(const char* name) {
    check(name);
    leave_if_listed();
  }
  void leave_if_listed() noexcept {
    if (state_ != State::LISTED) return;
    leave_list();
    state_ = State::GRANTED;
  }
  bool failed() const noexcept { return state_ == State::FAILED; }
  void leave_list() noexcept { IntrusiveList<WaitOperation>::remove(*this); }

  State state_ = State::GRANTED;

 private:
  friend class WaitList;
  friend class IntrusiveList<WaitOperation>;

  void wait_in(WaitList& list, WaitList* granted, std::coroutine_handle<> coroutine,
               AsyncFrame* frame) noexcept;
  void end_wait(State state) noexcept;
  [[noreturn]] void throw_ended(const char* name) const;
};

/// Operations that wait, in the order in which they came. Neither copied nor moved. Those that are still in
/// it when it is destroyed are abandoned: so an object that tasks wait at may go at any time.
class HEDDLE_EXPORT WaitList {
 public:
  WaitList() noexcept = default;
  WaitList(const WaitList&) = delete;
  WaitList& operator=(const WaitList&) = delete;
  ~WaitList() {
    if (!empty()) [[unlikely]]
      end_all(WaitOperation::State::ABANDONED);
  }

  /// An operation of the object whose list it is begins: see HomeLoop.
  void use(const char* operation) const noexcept { home_.use(operation); }
  bool empty() const noexcept { return operations_.empty(); }
  WaitOperation& first() const noexcept { return operations_.front(); }
  void push(WaitOperation& operation) noexcept { operations_.push_back(operation); }

  /// Wakes the first, which has been given what it waits for.
  void grant_first() noexcept { first().end_wait(WaitOperation::State::GRANTED); }
  /// The same where it stays on a list until its turn.
  void grant_first(WaitList& granted) noexcept;
  void grant_all(WaitList& granted) noexcept {
    while (!empty()) grant_first(granted);
  }
  void grant_all() noexcept { end_all(WaitOperation::State::GRANTED); }
  /// Wakes all, whose operations throw on their turn.
  void fail_all() noexcept { end_all(WaitOperation::State::FAILED); }

 private:
  void end_all(WaitOperation::State state) noexcept;

  IntrusiveList<WaitOperation> operations_;
  HomeLoop home_;
};

/// The end of a wait whose object was destroyed: throws Cancelled if the current task was asked to stop, or
/// else std::logic_error that names the object: it is what `operation`, "Lock.acquire()", begins with, unless
/// it is said otherwise.
[[noreturn]] HEDDLE_EXPORT void throw_destroyed(const char* operation, const char* object = nullptr);

}  // namespace heddle::detail

HEDDLE_HEADER_END
