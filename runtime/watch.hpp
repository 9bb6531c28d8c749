// Watch, DescriptorOperation: who waits for which direction of a descriptor, and what is known of its
// readiness. SPDX-License-Identifier: MIT
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
    DescriptorOperation* first =
        nullptr;  ///< the waiters, in the order they came; the first one is woken by an event
    DescriptorOperation* last = nullptr;
    Callback* callback = nullptr;  ///< of add_reader / add_writer
    bool ready = false;            ///< an operation might succeed: try before waiting
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
  bool hangup = false;      ///< the peer sends no more: reads don't block
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
class HEDDLE_EXPORT DescriptorOperation : public Operation {
 public:
  bool advance() noexcept final;
  Stop cancel() noexcept final;

 protected:
  /// `slot` must live until the operation is suspended or done. `owned`: the slot's owner closes the
  /// descriptor through EventLoop::release, so the registration may stay.
  DescriptorOperation(WatchSlot& slot, int fd, Direction direction, bool owned) noexcept
      : slot_(&slot), fd_(fd), direction_(direction), owned_(owned) {}
  DescriptorOperation(const DescriptorOperation&) noexcept = default;
  ~DescriptorOperation() = default;

  /// Tries the operation without waiting: true when it is done (well or not), false if it would block. To
  /// mark_drained() is its business.
  virtual bool attempt(int fd) noexcept = 0;
  /// The operation can't go on: ECANCELED when the descriptor was closed by its owner, EBADF when by others.
  virtual void fail(int error) noexcept = 0;

  /// The first try, to be called by await_ready().
  bool start();
  /// For await_suspend(): queues behind those who wait already. Throws what registering throws, and then
  /// nothing has changed and the coroutine is not suspended.
  template <class Promise>
  void start_waiting(std::coroutine_handle<Promise> coroutine) {
    wait();
    suspend(coroutine);
  }
  void wait();
  /// For await_resume(): throws Cancelled if cancel() stopped the operation.
  void check_cancelled() const {
    if (state_ == State::STOPPED) [[unlikely]]
      throw Cancelled();
  }

  /// In attempt(): an event has just said that the descriptor is ready.
  bool woken_by_event() const noexcept { return state_ == State::WOKEN; }
  /// It has its result, or what it failed with.
  bool done() const noexcept { return state_ == State::DONE; }
  /// It stands in the queue of its direction.
  bool waiting() const noexcept {
    return state_ == State::WAITING || state_ == State::WOKEN || state_ == State::PASSED_ON;
  }
  /// Null before the first wait for the descriptor.
  const Watch* watch() const noexcept { return watch_; }
  WatchSlot& slot() const noexcept { return *slot_; }
  int fd() const noexcept { return fd_; }
  Direction direction() const noexcept { return direction_; }
  bool owned() const noexcept { return owned_; }

  /// The next operation has to wait for an event first.
  void mark_drained() noexcept;
  /// As mark_drained(), unless the peer has hung up: then the end is still to be read.
  void mark_drained_unless_hangup() noexcept;

 private:
  friend class EventLoop;

  enum class State : std::uint8_t { NEW, WAITING, WOKEN, PASSED_ON, DONE, STOPPED };

  void leave() noexcept;
  void notify(State state) noexcept;
  void abandon(int error) noexcept;  // the watch is going away

  WatchSlot* slot_;
  Watch* watch_ = nullptr;
  DescriptorOperation* previous_ = nullptr;
  DescriptorOperation* next_ = nullptr;
  int fd_;
  Direction direction_;
  bool owned_;
  State state_ = State::NEW;
};

}  // namespace heddle
