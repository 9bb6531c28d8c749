// FdWatch, DescriptorOperation: who waits for which direction of a descriptor, and what is known of its
// readiness.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstdint>

#include "../../selector/events.hpp"
#include "../core/frame_allocator.hpp"
#include "../core/intrusive_list.hpp"
#include "../core/operation.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

class Callback;
class DescriptorOperation;
class DescriptorTable;

/// The two directions of a descriptor, as an index.
enum class Direction : std::uint8_t { READ = 0, WRITE = 1 };

}  // namespace detail

constexpr EventMask event_of(detail::Direction direction) noexcept {
  return direction == detail::Direction::READ ? EVENT_READ : EVENT_WRITE;
}

namespace detail {

/// One descriptor as its loop knows it. Made when the descriptor is first waited for.
///
/// Of a descriptor that heddle owns the registration is sticky. Where the selector can, it is edge-triggered
/// for both directions: an event makes a direction ready, and only an operation that found it drained makes
/// it not, so nothing is asked of the kernel in between. Elsewhere it is level-triggered, and a direction is
/// dropped when it fires and nobody waits. The registration of a raw descriptor number lasts only as long as
/// somebody waits, because others may close it.
class HEDDLE_EXPORT FdWatch : public FrameAllocated, public ListLink<FdWatch> {
 public:
  /// Who waits for a direction. There is mostly one, so the first is kept apart.
  class Side {
   public:
    DescriptorOperation* others = nullptr;  ///< behind it, as they came; there are none without a first
    Callback* callback = nullptr;           ///< of add_reader / add_writer

    /// An operation might succeed: try before waiting.
    bool ready() const noexcept { return (state_ & drained) == 0; }
    /// True if somebody waits.
    bool set_ready() noexcept {
      state_ &= taken;
      return state_ != 0;
    }
    void set_drained() noexcept { state_ |= drained; }

    /// An operation need not wait, nor queue behind others, before it tries.
    bool may_try() const noexcept { return state_ == 0; }
    /// An operation would block, and nobody waits.
    bool may_wait() const noexcept { return state_ == drained; }

    /// Whom an event wakes; nullptr when nobody waits.
    DescriptorOperation* first() const noexcept { return (state_ & taken) != 0 ? first_ : nullptr; }
    /// The same where somebody waits.
    DescriptorOperation& front() const noexcept { return *first_; }
    void enter(DescriptorOperation& operation) noexcept {
      first_ = &operation;
      state_ |= taken;
    }
    /// The first leaves, and there are no others.
    void clear() noexcept { state_ &= drained; }
    /// The same, and it has found the direction drained.
    void clear_drained() noexcept { state_ = drained; }
    /// The first leaves.
    void promote() noexcept;
    /// Nobody waits here any more, nor may try: every operation has to ask FdWatch::lost().
    void lose() noexcept { state_ = lost_; }
    bool lost() const noexcept { return (state_ & lost_) != 0; }

   private:
    // In one byte, so that one test answers what may_try() and may_wait() ask.
    static constexpr std::uint8_t drained = 1;
    static constexpr std::uint8_t taken = 2;  // there is a first
    static constexpr std::uint8_t lost_ = 4;
    std::uint8_t state_ = 0;
    DescriptorOperation* first_ = nullptr;  // while it is taken
  };

  /// Stands for the watch of a descriptor that has none yet, so that who reads one needn't ask whether
  /// there is one. It never changes: of it everything may be tried and nothing waited for.
  static FdWatch none;

  FdWatch(DescriptorTable& its_table, int number) noexcept : table(&its_table), fd(number) {}

  Side& side(Direction direction) noexcept { return sides[static_cast<unsigned>(direction)]; }
  const Side& side(Direction direction) const noexcept { return sides[static_cast<unsigned>(direction)]; }
  /// The registration is edge-triggered.
  bool edge() const noexcept { return edge_table != nullptr; }
  /// A new registration begins with a report of what is there, so no second look is needed.
  void set_edge(bool edge) noexcept {
    edge_table = edge ? table : nullptr;
    awaits_second_look = false;
  }
  /// The descriptor was closed behind its owner's back, and another file has its number: see
  /// DescriptorTable::give_way().
  bool lost() const noexcept { return sides[0].lost(); }
  bool idle() const noexcept {
    return sides[0].first() == nullptr && sides[1].first() == nullptr && sides[0].callback == nullptr &&
           sides[1].callback == nullptr;
  }

  DescriptorTable* table = nullptr;       ///< its loop's; nullptr after the loop has closed
  DescriptorTable* edge_table = nullptr;  ///< the same, while the registration is edge-triggered
  int fd = -1;
  EventMask registered{0};  ///< what the selector was asked for
  bool owned = false;       ///< an owner of the descriptor holds this watch and will release it
  /// The peer sends no more, or there is urgent data: until a read finds nothing, a short one proves nothing.
  bool hangup = false;
  bool awaits_second_look = false;  ///< the loop will check whether there is more to read: see SecondLook
  bool more_may_follow = false;  ///< it has found some: until a read finds none, a short one proves nothing
  bool reset = false;            ///< its connection is being reset: who waits is to learn that, whatever else
  Side sides[2];

 private:
  constexpr FdWatch() noexcept = default;
};

/// A descriptor and its watch, as the descriptor's owner holds them.
struct WatchSlot {
  int fd = -1;
  FdWatch* watch = &FdWatch::none;  ///< there is one from the first wait on
};

/// An operation that waits for one direction of a descriptor. Operations of one direction complete in the
/// order in which they were started; one that would block keeps its place.
///
/// A final class Op derives from this and has `bool attempt(int fd, FdWatch*) noexcept` (tries without
/// waiting: true when it is done, well or not; false, after drained(), if it would block). Where they are
/// known when it is compiled it has direction() and owned() of its own. It is awaited by try_first() and
/// suspend_waiting(), or by start(), which is both: see the table in runtime/loop/README.md.
class HEDDLE_EXPORT DescriptorOperation : public Operation {
 public:
  Stop cancel() noexcept final;
  WaitInfo describe() const noexcept override;

 protected:
  // From PAUSED on it stands in its queue, from PASSED_ON on it has been woken.
  enum class State : std::uint8_t { NEW, STOPPED, DONE, PAUSED, WAITING, PASSED_ON, WOKEN };

  /// `slot` must live until the operation is suspended or done. For an Op with its own direction() and
  /// owned(); what an operation that is done at once doesn't need is left for later.
  explicit DescriptorOperation(WatchSlot& slot) noexcept : slot_(&slot) {}
  /// `owned`: the slot's owner closes the descriptor through DescriptorTable::release, so the registration
  /// may stay.
  DescriptorOperation(WatchSlot& slot, int fd, Direction direction, bool owned) noexcept
      : slot_(&slot), fd_(fd), place_{State::NEW, direction, owned, false} {}
  DescriptorOperation(const DescriptorOperation&) = delete;
  ~DescriptorOperation() = default;

  /// The operation can't go on: ECANCELED when the descriptor was closed by its owner, EBADF when by others.
  virtual void fail(int error) noexcept = 0;
  /// What there is it will take, so nobody else may try before. False of one that only waits for readiness.
  virtual bool takes() const noexcept { return true; }
  /// It leaves its queue: it is done, stopped, or (then the watch mustn't be touched) the watch is going. For
  /// operations that pause().
  virtual void leaving(bool watch_is_going) noexcept;

  /// Notes the current task and tries, if nobody waits already; true when the operation is done. Throws
  /// Cancelled and std::logic_error as begin() does.
  template <class Op>
  static bool try_first(Op& self);
  /// Tries and doesn't wait: true when the operation is done, false where it would block, or not yet may try:
  /// others wait, or the task has used up its turn or is to stop, and has to await something. Throws
  /// std::logic_error without a running loop, or when the descriptor is in use on another.
  template <class Op>
  static bool try_once(Op& self);
  /// After try_first(): suspends the task, to wait, or only for its next turn when the operation is done.
  /// Throws what registering with the selector throws; then nothing has changed.
  template <class Op>
  static void suspend_waiting(Op& self, std::coroutine_handle<> coroutine, AsyncFrame* frame);
  /// For try_once(): out of the ordinary.
  static bool may_begin_now();
  static bool may_try_now(const FdWatch& watch, Direction direction);
  /// It has its result, or what it failed with.
  void finish() noexcept { place_.state = State::DONE; }
  /// try_first(), and if it isn't done by that suspend_waiting(): true when the task is suspended.
  template <class Op>
  static bool start(Op& self, std::coroutine_handle<> coroutine, AsyncFrame* frame);
  /// The usual case of start() by itself, for inlining: it is known that the operation would block, and
  /// nobody waits. False: start() has to be called. Op::step is the turn of an operation that was woken.
  template <class Op>
  static bool wait_at_once(Op& self, std::coroutine_handle<> coroutine, AsyncFrame* frame) noexcept;
  /// For Op::advance().
  template <class Op>
  static bool advance(Op& self) noexcept;
  /// The part of it that follows attempt(), whose answer is `done`.
  template <class Op>
  static bool settled(Op& self, bool done) noexcept;

  /// For await_resume(): throws Cancelled if cancel() stopped the operation.
  void check_cancelled() const {
    if (place_.state == State::STOPPED) [[unlikely]]
      throw_cancelled();
  }

  // For attempt().

  /// The descriptor, once the operation has begun.
  int fd() const noexcept { return fd_; }
  /// An event has just said that the descriptor is ready.
  bool woken_by_event() const noexcept { return place_.state == State::WOKEN; }
  /// The next operation of this direction has to wait for an event first.
  static void drained(Direction direction, FdWatch* watch) noexcept {
    if (watch == nullptr) [[unlikely]]
      return;
    watch->side(direction).set_drained();
    // (What would block has disproved a hang-up: it was urgent data, which has been passed by now.)
    if (direction == Direction::READ) watch->more_may_follow = watch->hangup = false;
  }
  /// The same, unless the peer has hung up: then the end, or the error, is still to be met.
  static void drained_unless_hangup(Direction direction, FdWatch* watch) noexcept {
    if (watch != nullptr && !watch->hangup) [[likely]]
      watch->side(direction).set_drained();
  }
  /// The next read has to wait, as far as can be told: if there is something after all, SecondLook finds it a
  /// little later. False where that can't be, so that the next read has to try.
  static bool perhaps_drained(FdWatch& watch) noexcept;
  /// While waiting(), first in the queue: it is not to try until unpause(). (An edge may wake it all the
  /// same, and it has to pause() again.)
  void pause() noexcept { place_.state = State::PAUSED; }
  void unpause() noexcept;

  // For operations that are made of others.

  Direction direction() const noexcept { return place_.direction; }
  bool owned() const noexcept { return place_.owned; }
  WatchSlot& slot() const noexcept { return *slot_; }
  /// Of an operation that waits.
  FdWatch& watch() const noexcept { return *watch_; }
  TaskState& task() const noexcept { return *task_; }
  /// It has its result, or what it failed with.
  bool done() const noexcept { return place_.state == State::DONE; }
  /// It stands in the queue of its direction.
  bool waiting() const noexcept { return place_.state >= State::PAUSED; }
  /// Queues behind those who wait. Throws as start() does.
  void wait();

 private:
  friend class DescriptorTable;
  friend class FdWatch::Side;

  // Set by one store.
  struct Place {
    State state;
    Direction direction;
    bool owned;
    bool abandoned;  // its owner closed the descriptor
  };

  /// It may have been awaited before.
  void begin_first() noexcept {
    fd_ = slot_->fd;
    watch_ = slot_->watch != &FdWatch::none ? slot_->watch : nullptr;
    place_.state = State::NEW;
  }
  static void append(DescriptorOperation*& list, DescriptorOperation& last) noexcept;
  static void remove(DescriptorOperation*& list, DescriptorOperation& member) noexcept;
  void leave() noexcept;
  void notify(State state) noexcept;
  // The watch is going away: it fails with `error`; but with Cancelled, if its task is asked to stop before
  // its turn comes and the owner has closed the descriptor (and not reset it).
  void abandon(int error) noexcept;

  WatchSlot* slot_;
  FdWatch* watch_;                 // set when it tries or waits; nullptr: there is none yet
  DescriptorOperation* next_;      // of the others of its Side: nullptr for the last,
  DescriptorOperation* previous_;  // and of the first of them the last
  int fd_;
  Place place_;
};

template <class Op>
bool DescriptorOperation::try_first(Op& self) {
  check_can_begin();
  self.begin_first();
  FdWatch* const watch = self.watch_;
  if (watch != nullptr && !watch->side(self.direction()).may_try()) return false;
  if (!self.attempt(self.fd_, watch)) return false;
  self.finish();
  return true;
}

template <class Op>
bool DescriptorOperation::try_once(Op& self) {
  if (--current.budget < 0 && !may_begin_now()) [[unlikely]]
    return false;
  self.begin_first();
  FdWatch* const watch = self.watch_;
  if (watch != nullptr &&
      (watch->edge_table != current.descriptors || !watch->side(self.direction()).may_try()) &&
      !may_try_now(*watch, self.direction()))
    return false;
  return self.attempt(self.fd_, watch);
}

template <class Op>
void DescriptorOperation::suspend_waiting(Op& self, std::coroutine_handle<> coroutine, AsyncFrame* frame) {
  self.task_ = current.task;
  self.place_ = {self.place_.state, self.direction(), self.owned(), false};
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
  FdWatch* const watch = self.slot_->watch;
  FdWatch::Side& side = watch->side(self.direction());
  if (current.budget < 0 || watch->edge_table != current.descriptors || !side.may_wait()) [[unlikely]]
    return false;
  self.task_ = current.task;
  self.watch_ = watch;
  self.place_ = {State::WAITING, self.direction(), self.owned(), false};
  side.enter(self);
  current.task->suspend(self, &Op::step, coroutine, frame);
  return true;
}

template <class Op>
bool DescriptorOperation::advance(Op& self) noexcept {
  if (self.place_.state < State::PASSED_ON) [[unlikely]]
    return !self.waiting();
  return settled(self, self.attempt(self.watch_->fd, self.watch_));
}

template <class Op>
bool DescriptorOperation::settled(Op& self, bool done) noexcept {
  FdWatch& watch = *self.watch_;
  self.fd_ = watch.fd;
  if (!done) {
    if (self.place_.state != State::PAUSED) self.place_.state = State::WAITING;
    self.task_->waits_on();
    return false;
  }
  FdWatch::Side& side = watch.side(self.direction());
  if (side.others == nullptr && self.owned()) [[likely]]
    side.clear();
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

}  // namespace detail

}  // namespace heddle

HEDDLE_HEADER_END
