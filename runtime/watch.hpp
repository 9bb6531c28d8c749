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
/// for both directions: an event makes a direction ready, and only an operation that found it drained makes
/// it not, so nothing is asked of the kernel in between. Elsewhere it is level-triggered, and a direction is
/// dropped when it fires and nobody waits. The registration of a raw descriptor number lasts only as long as
/// somebody waits, because others may close it.
class HEDDLE_EXPORT Watch : public FrameAllocated {
 public:
  /// Who waits for a direction. There is mostly one, so the first is kept apart.
  struct Side {
    DescriptorOperation* first = nullptr;   ///< an event wakes it
    DescriptorOperation* others = nullptr;  ///< behind it, as they came; there are none without a first
    Callback* callback = nullptr;           ///< of add_reader / add_writer

    /// The first leaves.
    void promote() noexcept;
  };

  Watch(EventLoop& its_loop, int number) noexcept : loop(&its_loop), fd(number) {}

  Side& side(Direction direction) noexcept { return sides[static_cast<unsigned>(direction)]; }
  /// An operation might succeed: try before waiting.
  bool ready(Direction direction) const noexcept { return (known_ & ready_bit(direction)) != 0; }
  void set_ready(EventMask events) noexcept {
    known_ = static_cast<std::uint8_t>(known_ | static_cast<unsigned>(events.bits()));
  }
  void set_drained(Direction direction) noexcept {
    known_ = static_cast<std::uint8_t>(known_ & ~ready_bit(direction));
  }
  /// The registration is edge-triggered.
  bool edge() const noexcept { return (known_ & no_edge) == 0; }
  void set_edge(bool edge) noexcept {
    known_ = static_cast<std::uint8_t>(edge ? known_ & ~no_edge : known_ | no_edge);
  }
  /// An edge will tell when the direction is ready; until then an operation has nothing to try or to ask for.
  bool edge_to_come(Direction direction) const noexcept {
    return (known_ & (ready_bit(direction) | no_edge)) == 0;
  }
  /// The peer sends no more: reads don't block.
  bool hangup() const noexcept { return (known_ & hung_up) != 0; }
  void set_hangup() noexcept { known_ |= hung_up; }
  bool idle() const noexcept {
    return sides[0].first == nullptr && sides[1].first == nullptr && sides[0].callback == nullptr &&
           sides[1].callback == nullptr;
  }

  EventLoop* loop;  ///< nullptr after the loop has closed
  int fd;
  EventMask registered{0};  ///< what the selector was asked for
  bool owned = false;       ///< an owner of the descriptor holds this watch and will release it
  Side sides[2];
  Watch* next = nullptr;  // the loop's list
  Watch** link = nullptr;

 private:
  static constexpr std::uint8_t hung_up = 4;
  static constexpr std::uint8_t no_edge = 8;
  static constexpr unsigned ready_bit(Direction direction) noexcept {
    return static_cast<unsigned>(event_of(direction).bits());
  }

  // Ready for EVENT_READ, for EVENT_WRITE, and the two above: in one byte, so that one look tells more than
  // one of them.
  std::uint8_t known_ = 3 | no_edge;
};

/// A descriptor and its watch, as the descriptor's owner holds them. The watch is null until the first wait.
struct WatchSlot {
  int fd = -1;
  Watch* watch = nullptr;
};

/// An operation that waits for one direction of a descriptor. Operations of one direction complete in the
/// order in which they were started; one that would block keeps its place.
///
/// A final class Op derives from this and has `bool attempt(int fd, Watch*) noexcept` (tries without waiting:
/// true when it is done, well or not; false, after drained(), if it would block). Where they are known when
/// it is compiled it has direction() and owned() of its own. It is awaited by try_first() and
/// suspend_waiting(), or by start(), which is both.
class HEDDLE_EXPORT DescriptorOperation : public Operation {
 public:
  Stop cancel() noexcept final;

 protected:
  // From PAUSED on it stands in its queue, from PASSED_ON on it has been woken.
  enum class State : std::uint8_t { NEW, STOPPED, DONE, PAUSED, WAITING, PASSED_ON, WOKEN };

  /// `slot` must live until the operation is suspended or done. For an Op with its own direction() and
  /// owned(); what an operation that is done at once doesn't need is left for later.
  explicit DescriptorOperation(WatchSlot& slot) noexcept : slot_(&slot) {}
  /// `owned`: the slot's owner closes the descriptor through EventLoop::release, so the registration may
  /// stay.
  DescriptorOperation(WatchSlot& slot, int fd, Direction direction, bool owned) noexcept
      : slot_(&slot), fd_(fd), place_{State::NEW, direction, owned, 0} {}
  DescriptorOperation(const DescriptorOperation&) = delete;
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
  /// What try_first() begins with, for an operation that tries in its own way. It may have been awaited
  /// before.
  void begin_first() noexcept {
    fd_ = slot_->fd;
    watch_ = slot_->watch;
    place_.state = State::NEW;
  }
  /// It has its result, or what it failed with.
  void finish() noexcept { place_.state = State::DONE; }
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
    if (place_.state == State::STOPPED) [[unlikely]]
      throw Cancelled();
  }

  // For attempt().

  /// The descriptor, once the operation has begun.
  int fd() const noexcept { return fd_; }
  /// An event has just said that the descriptor is ready.
  bool woken_by_event() const noexcept { return place_.state == State::WOKEN; }
  /// The next operation of this direction has to wait for an event first.
  static void drained(Direction direction, Watch* watch) noexcept {
    if (watch != nullptr) [[likely]]
      watch->set_drained(direction);
  }
  /// The same, unless the peer has hung up: then the end, or the error, is still to be met.
  static void drained_unless_hangup(Direction direction, Watch* watch) noexcept {
    if (watch != nullptr && !watch->hangup()) [[likely]]
      watch->set_drained(direction);
  }
  /// While waiting(), first in the queue: events wake nobody until unpause(), which then tries again.
  void pause() noexcept { place_.state = State::PAUSED; }
  void unpause() noexcept;

  // For operations that are made of others.

  Direction direction() const noexcept { return place_.direction; }
  bool owned() const noexcept { return place_.owned; }
  WatchSlot& slot() const noexcept { return *slot_; }
  /// It has its result, or what it failed with.
  bool done() const noexcept { return place_.state == State::DONE; }
  /// It stands in the queue of its direction.
  bool waiting() const noexcept { return place_.state >= State::PAUSED; }
  /// Queues behind those who wait. Throws as start() does.
  void wait();

 private:
  friend class EventLoop;
  friend struct Watch::Side;

  // Set by one store.
  struct Place {
    State state;
    Direction direction;
    bool owned;
    std::uint8_t spare;
  };

  static void append(DescriptorOperation*& list, DescriptorOperation& last) noexcept;
  static void remove(DescriptorOperation*& list, DescriptorOperation& member) noexcept;
  void leave() noexcept;
  void notify(State state) noexcept;
  void abandon(int error) noexcept;  // the watch is going away

  WatchSlot* slot_;
  Watch* watch_;                   // set when it waits
  DescriptorOperation* next_;      // of the others of its Side: nullptr for the last,
  DescriptorOperation* previous_;  // and of the first of them the last
  int fd_;
  Place place_;
};

template <class Op>
bool DescriptorOperation::try_first(Op& self) {
  check_can_begin();
  self.begin_first();
  Watch* const watch = self.watch_;
  if (watch != nullptr && (!watch->ready(self.direction()) || watch->side(self.direction()).first != nullptr))
    return false;
  if (!self.attempt(self.fd_, watch)) return false;
  self.finish();
  return true;
}

template <class Op>
void DescriptorOperation::suspend_waiting(Op& self, std::coroutine_handle<> coroutine, AsyncFrame* frame) {
  self.task_ = current.task;
  self.place_ = {self.place_.state, self.direction(), self.owned(), 0};
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
  if (current.budget < 0 || watch == nullptr || watch->loop != current.loop) [[unlikely]]
    return false;
  Watch::Side& side = watch->side(Op::direction());
  if (!watch->edge_to_come(Op::direction()) || side.first != nullptr) [[unlikely]]
    return false;
  self.task_ = current.task;
  self.watch_ = watch;
  self.place_ = {State::WAITING, Op::direction(), Op::owned(), 0};
  side.first = &self;
  current.task->suspend(self, &Op::step, coroutine, frame);
  return true;
}

template <class Op>
bool DescriptorOperation::advance(Op& self) noexcept {
  if (self.place_.state < State::PASSED_ON) [[unlikely]]
    return !self.waiting();
  Watch& watch = *self.watch_;
  self.fd_ = watch.fd;
  if (!self.attempt(watch.fd, &watch)) [[unlikely]] {
    if (self.place_.state != State::PAUSED) self.place_.state = State::WAITING;
    return false;
  }
  Watch::Side& side = watch.side(self.direction());
  if (side.others == nullptr && self.owned()) [[likely]]
    side.first = nullptr;
  else
    self.leave();
  self.finish();
  return true;
}

inline void DescriptorOperation::notify(State state) noexcept {
  if (place_.state != State::WAITING) return;
  place_.state = state;
  wake();
}

}  // namespace heddle
