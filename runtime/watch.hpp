// Watch, DescriptorOperation: who waits for which direction of a descriptor, and what is known of its
// readiness.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "../selector/events.hpp"
#include "operation.hpp"

namespace heddle {

class Callback;
class DescriptorOperation;
class EventLoop;

/// The two directions of a descriptor, as an index.
enum class Direction : std::uint8_t { READ = 0, WRITE = 1 };

constexpr EventMask event_of(Direction direction) noexcept {
  return direction == Direction::READ ? EVENT_READ : EVENT_WRITE;
}

/// One descriptor as its loop knows it. Made when the descriptor is first waited for.
///
/// Of a descriptor that heddle owns the registration is sticky. Where the selector can, it is edge-triggered
/// for both directions: an event sets `ready`, and only an operation that found the descriptor drained clears
/// it, so nothing is asked of the kernel in between. Elsewhere it is level-triggered, and a direction is
/// dropped when it fires and nobody waits. The registration of a raw descriptor number lasts only as long as
/// somebody waits, because others may close it.
class HEDDLE_EXPORT Watch : public FrameAllocated {
 public:
  struct Side {
    DescriptorOperation* first = nullptr;  ///< the waiters, as they came; an event wakes the first
    DescriptorOperation* last = nullptr;
    Callback* callback = nullptr;  ///< of add_reader / add_writer
    bool ready = true;             ///< an operation might succeed: try before waiting
  };

  Watch(EventLoop& its_loop, int number) noexcept : loop(&its_loop), fd(number) {}

  Side& side(Direction direction) noexcept { return sides[static_cast<unsigned>(direction)]; }
  bool idle() const noexcept {
    return sides[0].first == nullptr && sides[1].first == nullptr && sides[0].callback == nullptr &&
           sides[1].callback == nullptr;
  }

  EventLoop* loop;  ///< nullptr after the loop has closed
  int fd;
  EventMask registered{0};  ///< what the selector was asked for
  bool edge = false;        ///< the registration is edge-triggered
  bool owned = false;       ///< an owner of the descriptor holds this watch and will release it
  bool hangup = false;      ///< a short read doesn't mean that the next would block: an end, or urgent data
  Side sides[2];
  Watch* next = nullptr;  // the loop's list
  Watch** link = nullptr;
};

/// A descriptor and its watch, as the descriptor's owner holds them. The watch is null until the first wait.
struct WatchSlot {
  int fd = -1;
  Watch* watch = nullptr;
};

/// An operation that waits for one direction of a descriptor. Operations of one direction complete in the
/// order in which they were started; one that would block keeps its place.
///
/// A final class Op derives from this and has `bool attempt(Watch*) noexcept` (tries without waiting: true
/// when it is done, well or not; false, after drained(), if it would block) and `side_of(watch)`, the
/// direction it waits for. It is awaited by try_first() and suspend_waiting(), or by start(), which is both.
class HEDDLE_EXPORT DescriptorOperation : public Operation {
 public:
  Stop cancel() noexcept final;

 protected:
  enum class State : std::uint8_t { NEW, WAITING, PAUSED, WOKEN, PASSED_ON, DONE, STOPPED };

  /// `slot` must live until the operation is suspended or done. `owned`: the slot's owner closes the
  /// descriptor through EventLoop::release, so the registration may stay.
  DescriptorOperation(WatchSlot& slot, int fd, Direction direction, bool owned) noexcept
      : slot_(&slot), fd_(fd), state_(State::NEW), direction_(direction), owned_(owned), spare_(0) {}
  DescriptorOperation(const DescriptorOperation& other) noexcept
      : DescriptorOperation(*other.slot_, other.fd_, other.direction_, other.owned_) {}
  ~DescriptorOperation() = default;

  /// The operation can't go on: ECANCELED when the descriptor was closed by its owner, EBADF when by others.
  virtual void fail(int error) noexcept = 0;
  /// It leaves its queue: it is done, stopped, or (then the watch mustn't be touched) the watch is going. For
  /// operations that pause().
  virtual void leaving(bool watch_is_going) noexcept;

  /// Notes the current task and tries, if nobody waits already; true when the operation is done. Throws
  /// Cancelled and std::logic_error as begin() does.
  template <class Op>
  static bool try_first(Op& self);
  /// After try_first(): suspends the task, to wait, or only for its next turn when the operation is done.
  /// Throws what registering with the selector throws; then nothing has changed.
  template <class Op>
  static void suspend_waiting(Op& self, std::coroutine_handle<> coroutine, AsyncFrame* frame);
  /// In place of try_first(), for an operation that tries in its own way.
  void set_watch() noexcept { watch_ = slot_->watch; }
  /// It is done before it had to wait.
  void finish() noexcept { state_ = State::DONE; }
  /// Both: true when the task is suspended.
  template <class Op>
  static bool start(Op& self, std::coroutine_handle<> coroutine, AsyncFrame* frame);
  /// The usual case of start() by itself, for inlining: it is known that the operation would block, and
  /// nobody waits. False: start() has to be called. Op::step is its turn.
  template <class Op>
  static bool wait_at_once(Op& self, std::coroutine_handle<> coroutine, AsyncFrame* frame) noexcept;
  /// For Op::advance().
  template <class Op>
  static bool advance(Op& self) noexcept;

  /// For await_resume(): throws Cancelled if cancel() stopped the operation.
  void check_cancelled() const {
    if (state_ == State::STOPPED) [[unlikely]]
      throw Cancelled();
  }

  // For attempt().

  int fd() const noexcept { return fd_; }
  /// An event has just said that the descriptor is ready.
  bool woken_by_event() const noexcept { return state_ == State::WOKEN; }
  /// The next operation of this direction has to wait for an event first.
  template <class Op>
  static void drained(const Op& self, Watch* watch) noexcept {
    if (watch != nullptr) [[likely]]
      self.side_of(*watch).ready = false;
  }
  /// The same, unless the peer has hung up: then the end, or the error, is still to be met.
  template <class Op>
  static void drained_unless_hangup(const Op& self, Watch* watch) noexcept {
    if (watch != nullptr && !watch->hangup) [[likely]]
      self.side_of(*watch).ready = false;
  }
  /// While waiting(), first in the queue: events wake nobody until unpause(), which then tries again.
  void pause() noexcept { state_ = State::PAUSED; }
  void unpause() noexcept;

  // For operations that are made of others.

  Direction direction() const noexcept { return direction_; }
  bool owned() const noexcept { return owned_; }
  WatchSlot& slot() const noexcept { return *slot_; }
  /// It has its result, or what it failed with.
  bool done() const noexcept { return state_ == State::DONE; }
  /// It stands in the queue of its direction.
  bool waiting() const noexcept { return state_ >= State::WAITING && state_ <= State::PASSED_ON; }
  /// Queues behind those who wait. Throws as start() does.
  void wait();

 private:
  friend class EventLoop;

  void leave() noexcept;
  void notify(State state) noexcept;
  void abandon(int error) noexcept;  // the watch is going away

  WatchSlot* slot_;
  Watch* watch_;                   // set when it waits
  DescriptorOperation* previous_;  // of the first in the queue and the last these two
  DescriptorOperation* next_;      // mean nothing
  int fd_;
  State state_;  // these four are set by one store
  Direction direction_;
  bool owned_;
  std::uint8_t spare_;
};

// The direction of most operations is known when they are compiled: Op::side_of() saves looking it up.
template <class Op>
bool DescriptorOperation::try_first(Op& self) {
  check_can_begin();
  Watch* const watch = self.slot_->watch;
  self.watch_ = watch;
  if (watch != nullptr) [[likely]] {
    const Watch::Side& side = self.side_of(*watch);
    if (!side.ready || side.first != nullptr) {
      self.state_ = State::NEW;  // it may have been awaited before
      return false;
    }
  }
  const bool done = self.attempt(watch);
  self.state_ = done ? State::DONE : State::NEW;
  return done;
}

template <class Op>
void DescriptorOperation::suspend_waiting(Op& self, std::coroutine_handle<> coroutine, AsyncFrame* frame) {
  self.task_ = current.task;
  self.wait();
  self.suspend(self, coroutine, frame);
}

template <class Op>
bool DescriptorOperation::start(Op& self, std::coroutine_handle<> coroutine, AsyncFrame* frame) {
  if (try_first(self) && finished()) return false;
  suspend_waiting(self, coroutine, frame);
  return true;
}

template <class Op>
inline bool DescriptorOperation::wait_at_once(Op& self, std::coroutine_handle<> coroutine,
                                              AsyncFrame* frame) noexcept {
  Watch* const watch = self.slot_->watch;
  if (current.budget <= 0 || watch == nullptr || !watch->edge || watch->loop != current.loop) [[unlikely]]
    return false;
  Watch::Side& side = self.side_of(*watch);
  if (side.ready || side.first != nullptr) [[unlikely]]
    return false;
  self.task_ = current.task;
  self.watch_ = watch;
  self.state_ = State::WAITING;
  side.first = side.last = &self;
  current.task->suspend(self, &Op::step, coroutine, frame);
  return true;
}

template <class Op>
bool DescriptorOperation::advance(Op& self) noexcept {
  if (self.state_ != State::WOKEN && self.state_ != State::PASSED_ON) [[unlikely]]
    return self.state_ != State::WAITING;
  Watch& watch = *self.watch_;
  if (!self.attempt(&watch)) [[unlikely]] {
    if (self.state_ != State::PAUSED) self.state_ = State::WAITING;
    return false;
  }
  Watch::Side& side = self.side_of(watch);
  if (side.first == side.last && self.owned()) [[likely]]
    side.first = side.last = nullptr;
  else
    self.leave();
  self.state_ = State::DONE;
  return true;
}

inline void DescriptorOperation::notify(State state) noexcept {
  if (state_ != State::WAITING) return;
  state_ = state;
  wake();
}

}  // namespace heddle
