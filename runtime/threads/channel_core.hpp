// ChannelCore, ChannelState: the shared state of a Channel: its lock, items, and two lists of waiters.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "../../selector/timeout.hpp"
#include "../core/intrusive_list.hpp"
#include "../core/item.hpp"
#include "../core/operation.hpp"
#include "../core/ref.hpp"
#include "../core/runnable.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

class Mailbox;

}  // namespace detail

/// Something was sent to a Channel that is closed.
class HEDDLE_EXPORT ChannelClosed : public std::runtime_error {
 public:
  ChannelClosed();
  ChannelClosed(const ChannelClosed&) noexcept;
  ~ChannelClosed() override;
};

namespace detail {

class ChannelOperation;

/// Who waits to send or to receive, in a list of the channel's.
struct ChannelWaiter : ListLink<ChannelWaiter> {
  enum class State : unsigned char { IDLE, WAITING, DONE, CLOSED };

  ChannelOperation* operation = nullptr;  // null for a thread that is blocked
  void* item = nullptr;                   // the Item that is sent, or to which the received one is moved
  State state = State::IDLE;
};

/// The waiters of one side, first in, first out. No WaitList: threads without a loop wait here too, and any
/// thread may serve any of them, so they are listed under the channel's lock and woken when it is released.
using ChannelList = IntrusiveList<ChannelWaiter>;

/// The part of a channel that doesn't depend on the type of its items. Counted references.
class HEDDLE_EXPORT ChannelCore {
 public:
  void add_reference() noexcept;
  void release() noexcept;

  /// One more Channel, or one less; when the last of them goes it is closed.
  void add_handle() noexcept;
  void drop_handle() noexcept;

  void close() noexcept;
  bool closed() noexcept;
  std::size_t size() noexcept;

 protected:
  explicit ChannelCore(std::size_t capacity);
  virtual ~ChannelCore();

  /// Holds the channel's mutex; when it has released that it wakes the waiters that were served meanwhile.
  class HEDDLE_EXPORT Lock {
   public:
    explicit Lock(ChannelCore& channel) noexcept;
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;
    ~Lock();

   private:
    ChannelCore& channel_;
  };
  friend class ChannelOperation;

  /// Takes the waiter off its list, and has it woken: its item was moved, or the channel is closed.
  void serve(ChannelWaiter& waiter, ChannelWaiter::State state) noexcept;
  /// Blocks the thread until it is served, with the lock held but while it sleeps. False when `timeout` has
  /// passed.
  bool block(ChannelWaiter& waiter, Timeout timeout);

  ChannelList senders_;
  ChannelList receivers_;
  std::size_t capacity_;
  std::size_t size_ = 0;
  bool closed_ = false;

 private:
  struct Sync;
  Sync* sync_;
  ChannelList served_;  // to be woken when the lock is released
  // Atomic accesses only. One reference is that of all handles.
  unsigned references_ = 1;
  unsigned handles_ = 1;
};

/// How the Channels are counted.
struct ChannelSide {
  static void add(ChannelCore& channel) noexcept { channel.add_handle(); }
  static void drop(ChannelCore& channel) noexcept { channel.drop_handle(); }
};

/// The core with its items. Under its lock only pointers to them move: what their constructors and destructor
/// do, they do outside of it.
template <class T>
class ChannelState final : public ChannelCore {
  static_assert(std::is_nothrow_move_constructible_v<T>,
                "what goes through a Channel must move without throwing");

 public:
  explicit ChannelState(std::size_t capacity) : ChannelCore(capacity) {}

  using State = ChannelWaiter::State;

  /// Sends without waiting: DONE, and `item` is none then; CLOSED, or IDLE when there is no room. With a
  /// `waiter`, whose item this is, that one is put on the list then: WAITING.
  State send(Item<T>& item, ChannelWaiter* waiter) {
    const Lock lock(*this);
    return send_locked(item, waiter);
  }
  /// Receives one into `place`, which has none.
  State receive(Item<T>& place, ChannelWaiter* waiter) {
    const Lock lock(*this);
    return receive_locked(place, waiter);
  }
  State send_blocking(Item<T>& item, Timeout timeout) {
    ChannelWaiter waiter;
    waiter.item = &item;
    const Lock lock(*this);
    if (send_locked(item, &waiter) == State::WAITING && !block(waiter, timeout)) return State::WAITING;
    return waiter.state;
  }
  State receive_blocking(Item<T>& place, Timeout timeout) {
    ChannelWaiter waiter;
    waiter.item = &place;
    const Lock lock(*this);
    if (receive_locked(place, &waiter) == State::WAITING && !block(waiter, timeout)) return State::WAITING;
    return waiter.state;
  }
  /// What a send() without waiting would yield now.
  State probe() {
    const Lock lock(*this);
    if (closed_) return State::CLOSED;
    return !receivers_.empty() || size_ < capacity_ ? State::DONE : State::IDLE;
  }
  /// Takes the waiter off its list. False if it has been served already.
  bool withdraw(ChannelWaiter& waiter) noexcept {
    const Lock lock(*this);
    if (waiter.state != State::WAITING) return false;
    ChannelList::remove(waiter);
    waiter.state = State::IDLE;
    return true;
  }

 private:
  ~ChannelState() override = default;

  static State set_state(ChannelWaiter* waiter, State state) noexcept {
    if (waiter != nullptr) waiter->state = state;
    return state;
  }
  static Item<T>& item_of(const ChannelWaiter& waiter) noexcept {
    return *static_cast<Item<T>*>(waiter.item);
  }

  State send_locked(Item<T>& item, ChannelWaiter* waiter) {
    if (closed_) return set_state(waiter, State::CLOSED);
    if (!receivers_.empty()) {
      ChannelWaiter& receiver = receivers_.front();
      item_of(receiver) = std::move(item);
      serve(receiver, State::DONE);
      return set_state(waiter, State::DONE);
    }
    if (size_ < capacity_) {
      push(item);
      return set_state(waiter, State::DONE);
    }
    if (waiter == nullptr) return State::IDLE;
    senders_.push_back(*waiter);
    return set_state(waiter, State::WAITING);
  }

  State receive_locked(Item<T>& place, ChannelWaiter* waiter) {
    ChannelWaiter* const sender = senders_.empty() ? nullptr : &senders_.front();
    if (size_ > 0) {
      place = items_.pop_front();
      --size_;
      if (sender != nullptr) {
        push(item_of(*sender));
        serve(*sender, State::DONE);
      }
      return set_state(waiter, State::DONE);
    }
    if (sender != nullptr) {
      place = std::move(item_of(*sender));
      serve(*sender, State::DONE);
      return set_state(waiter, State::DONE);
    }
    if (closed_) return set_state(waiter, State::CLOSED);
    if (waiter == nullptr) return State::IDLE;
    receivers_.push_back(*waiter);
    return set_state(waiter, State::WAITING);
  }

  void push(Item<T>& item) noexcept {
    items_.push_back(std::move(item));
    ++size_;
  }

  ItemList<T> items_;
};

/// What sending and receiving on a loop have in common.
class HEDDLE_EXPORT ChannelOperation : public Operation {
 public:
  void wake_from_any_thread() noexcept;

 protected:
  explicit ChannelOperation(ChannelCore& channel) noexcept : channel_(channel) {}
  /// Only before it is awaited.
  ChannelOperation(const ChannelOperation& other) noexcept : ChannelOperation(*other.channel_) {}
  ~ChannelOperation() = default;

  /// What await_ready() returns after an attempt that ended in `state`.
  bool is_ready(ChannelWaiter::State state) noexcept;
  void prepare_to_wait(void* item) noexcept;
  /// It is suspended.
  void begin_wait() noexcept;
  /// Its turn has come: throws Cancelled if it was stopped.
  void end_wait() {
    if (std::exchange(waits_, false)) end_outside_work();
    if (stopped_) throw_cancelled();
  }
  /// Throws Cancelled instead, if the task was asked to stop.
  [[noreturn]] static void throw_closed();

  Ref<ChannelCore> channel_;
  ChannelWaiter waiter_;
  bool stopped_ = false;

 private:
  struct Message final : Runnable {
    explicit Message(ChannelOperation& to) noexcept : Runnable(&on_message), operation(to) {}
    ChannelOperation& operation;
  };
  static void on_message(Runnable& message) noexcept;
  static void end_outside_work() noexcept;

  bool waits_ = false;  // from when it is suspended until its turn
  Mailbox* mailbox_ = nullptr;
  Message message_{*this};
};

}  // namespace detail

}  // namespace heddle

HEDDLE_HEADER_END
