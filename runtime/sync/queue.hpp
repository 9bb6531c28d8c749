// Queue<T>: items from those who put to those who get; what the other queues have in common with it.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <new>
#include <optional>
#include <stdexcept>
#include <utility>

#include "../core/wait_list.hpp"
#include "ring_buffer.hpp"

namespace heddle {

/// get_nowait() of a queue without items.
struct HEDDLE_EXPORT QueueEmpty : std::runtime_error {
  QueueEmpty();
  ~QueueEmpty() override;
};
/// put_nowait() into a full queue.
struct HEDDLE_EXPORT QueueFull : std::runtime_error {
  QueueFull();
  ~QueueFull() override;
};
/// put into a queue that was shut down, or get from it when it has no items any more.
struct HEDDLE_EXPORT QueueShutDown : std::runtime_error {
  explicit QueueShutDown(const char* operation);
  ~QueueShutDown() override;
};

namespace detail {

class QueueBase;

class [[nodiscard]] QueueJoinOperation final : public WaitOperation {
 public:
  explicit QueueJoinOperation(QueueBase& queue) noexcept : queue_(queue) {}

  inline bool await_ready();
  template <class Promise>
  inline void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept;
  void await_resume() const { check("Queue.join()"); }

 private:
  QueueBase& queue_;
};

/// The part of a queue that doesn't depend on its items.
class HEDDLE_EXPORT QueueBase {
 public:
  /// How many items it takes; 0: any number.
  std::size_t maxsize() const noexcept { return maxsize_ == unbounded ? 0 : maxsize_; }
  bool is_shut_down() const noexcept { return shut_down_; }

  /// To be called by who has got an item, when the work on it is done. Throws ValueError when called more
  /// often than items were put.
  void task_done();
  /// `co_await queue.join()` returns when task_done() was called for every item that was put. Cancel-safe.
  QueueJoinOperation join() noexcept { return QueueJoinOperation(*this); }

 protected:
  static constexpr std::size_t unbounded = static_cast<std::size_t>(-1);

  explicit QueueBase(std::size_t maxsize) noexcept : maxsize_(maxsize == 0 ? unbounded : maxsize) {}
  ~QueueBase() = default;

  void close_entry() noexcept;
  void forget_unfinished(std::size_t items) noexcept;
  [[noreturn]] static void throw_shut_down(const char* operation);
  [[noreturn]] static void throw_empty();
  [[noreturn]] static void throw_full();

  WaitList getters_;  // they wait only while there is no item,
  WaitList putters_;  // and they while it is full
  std::size_t maxsize_;
  std::size_t unfinished_ = 0;
  bool shut_down_ = false;

 private:
  friend class QueueJoinOperation;
  WaitList joiners_;
};

}  // namespace detail

/// A queue of T that keeps its items in a `Store`: size(), empty(), push(T&&), T pop(), clear(). See Queue.
template <class T, class Store>
class BasicQueue : public detail::QueueBase {
 public:
  class [[nodiscard]] PutOperation;
  class [[nodiscard]] GetOperation;

  explicit BasicQueue(std::size_t maxsize = 0) noexcept : detail::QueueBase(maxsize) {}

  /// The number of items in it. Those of tasks that wait in put() aren't yet.
  std::size_t qsize() const noexcept { return items_.size(); }
  bool empty() const noexcept { return items_.empty(); }
  bool full() const noexcept { return items_.size() >= maxsize_; }

  /// `co_await queue.put(item)` waits while the queue is full. Throws QueueShutDown. Cancel-safe: when it is
  /// cancelled the item was not put, and is destroyed with the operation.
  PutOperation put(T item) { return PutOperation(*this, std::move(item)); }
  /// `T item = co_await queue.get();` waits while the queue is empty. Throws QueueShutDown. Cancel-safe: no
  /// item is lost, because a request to stop that comes when there is one for this task already is thrown by
  /// the next co_await.
  GetOperation get() noexcept { return GetOperation(*this); }

  /// Puts the item if there is room. If not, returns false and leaves `item` as it is. Throws QueueShutDown.
  bool try_put(T&& item) { return offer(item, "Queue.try_put()"); }
  bool try_put(const T& item) {
    T copy(item);
    return offer(copy, "Queue.try_put()");
  }
  /// The next item, if there is one. Throws QueueShutDown if there isn't and never will be.
  std::optional<T> try_get() {
    if (!can_take("Queue.try_get()")) return std::nullopt;
    return take();
  }
  /// The same two, throwing QueueFull and QueueEmpty.
  void put_nowait(T item) {
    if (!offer(item, "Queue.put_nowait()")) throw_full();
  }
  T get_nowait() {
    if (!can_take("Queue.get_nowait()")) throw_empty();
    return take();
  }

  /// No more items are taken: put() throws QueueShutDown, for those who wait as well, and so does get() once
  /// the queue is empty. `immediate`: the items in it are dropped, and count as done for join().
  void shutdown(bool immediate = false) noexcept {
    if (immediate) {
      forget_unfinished(items_.size());
      items_.clear();
    }
    close_entry();
  }

 private:
  // Moves the item to the task that has waited longest in get(), or into the store; false if that is full.
  bool offer(T& item, const char* operation) {
    if (shut_down_) [[unlikely]]
      throw_shut_down(operation);
    if (!getters_.empty())
      static_cast<GetOperation&>(getters_.first()).hold(std::move(item)), getters_.grant_first();
    else if (!full())
      items_.push(std::move(item));
    else
      return false;
    ++unfinished_;
    return true;
  }

  bool can_take(const char* operation) const {
    if (!items_.empty()) return true;
    if (shut_down_) [[unlikely]]
      throw_shut_down(operation);
    return false;
  }

  // The place that is free now is filled with the item of the task that has waited longest in put(). (There
  // is memory for it. If moving it threw, that item would be lost: admit() is noexcept.)
  T take() {
    T item(items_.pop());
    if (!putters_.empty()) admit();
    return item;
  }
  void admit() noexcept {
    items_.push(std::move(static_cast<PutOperation&>(putters_.first()).item_));
    ++unfinished_;
    putters_.grant_first();
  }

  Store items_;
};

template <class T, class Store>
class BasicQueue<T, Store>::PutOperation final : public detail::WaitOperation {
 public:
  PutOperation(BasicQueue& queue, T&& item) : queue_(queue), item_(std::move(item)) {}

  bool await_ready() {
    check_can_begin();
    return attempt(queue_.offer(item_, "Queue.put()"));
  }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
    wait(queue_.putters_, coroutine);
  }
  void await_resume() const {
    check("Queue.put()");
    if (failed()) [[unlikely]]
      throw_shut_down("Queue.put()");
  }

 private:
  friend BasicQueue;

  BasicQueue& queue_;
  T item_;
};

template <class T, class Store>
class BasicQueue<T, Store>::GetOperation final : public detail::WaitOperation {
 public:
  explicit GetOperation(BasicQueue& queue) noexcept : queue_(queue) {}
  GetOperation(const GetOperation& other) noexcept : detail::WaitOperation(other), queue_(other.queue_) {}
  ~GetOperation() {}

  bool await_ready() {
    check_can_begin();
    return attempt(queue_.can_take("Queue.get()"));
  }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) {
    // The budget is spent, so other tasks run before this one: they must not get its item.
    if (state_ == State::GRANTED) hold(queue_.take());
    wait(queue_.getters_, coroutine);
  }
  T await_resume() {
    check("Queue.get()");
    if (failed()) [[unlikely]]
      throw_shut_down("Queue.get()");
    if (!holds_) return queue_.take();
    holds_ = false;
    const Destroyer destroyer{item_};
    return T(std::move(item_));
  }

  /// Gives it an item, which it keeps until it is resumed.
  void hold(T&& item) {
    ::new (static_cast<void*>(&item_)) T(std::move(item));
    holds_ = true;
  }

 private:
  struct Destroyer {
    T& item;
    ~Destroyer() { item.~T(); }
  };

  BasicQueue& queue_;
  bool holds_ = false;
  union {
    T item_;  // while holds_; await_resume() always takes it
  };
};

/// First in, first out, as asyncio.Queue. At most `maxsize` items (0: any number); T is any movable type.
/// Tasks that wait in get() or put() are served in the order in which they came. On the loop's thread only.
/// Who waits when it is destroyed gets std::logic_error.
template <class T>
class Queue : public BasicQueue<T, detail::RingBuffer<T>> {
 public:
  using BasicQueue<T, detail::RingBuffer<T>>::BasicQueue;
};

namespace detail {

inline bool QueueJoinOperation::await_ready() {
  check_can_begin();
  return attempt(queue_.unfinished_ == 0);
}

template <class Promise>
void QueueJoinOperation::await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
  wait(queue_.joiners_, coroutine);
}

}  // namespace detail

}  // namespace heddle
