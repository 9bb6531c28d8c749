// Queue<T>: items from those who put to those who get; what the other queues have in common with it.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <exception>
#include <optional>
#include <stdexcept>
#include <utility>

#include "../core/item.hpp"
#include "../core/wait_list.hpp"

HEDDLE_HEADER_BEGIN

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

/// Items, oldest first.
template <class T>
class FifoStore {
 public:
  bool empty() const noexcept { return items_.empty(); }
  std::size_t size() const noexcept { return items_.size(); }
  /// Items are being compared, and must stay.
  static constexpr bool in_use() noexcept { return false; }
  void push(Item<T>& item) noexcept { items_.push_back(std::move(item)); }
  Item<T> pop() noexcept { return items_.pop_front(); }
  /// An item that was popped is the next to be again.
  void put_back(Item<T>&& item) noexcept { items_.push_front(std::move(item)); }
  void swap(FifoStore& other) noexcept { items_.swap(other.items_); }

 private:
  ItemList<T> items_;
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
  [[noreturn]] static void throw_put_already();

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

/// A queue of T that keeps its items in a `Store`: size(), empty(), in_use(), push(Item<T>&), which takes the
/// item unless it throws, Item<T> pop(), put_back(Item<T>&&), swap(). See Queue.
template <class T, class Store>
class BasicQueue : public detail::QueueBase {
 public:
  class [[nodiscard]] PutOperation;
  class [[nodiscard]] GetOperation;

  explicit BasicQueue(std::size_t maxsize = 0) noexcept : detail::QueueBase(maxsize) {}
  /// The items that are left are destroyed when nothing can be put any more.
  ~BasicQueue() {
    shut_down_ = true;
    Store dropped;
    items_.swap(dropped);
  }

  /// The number of items in it. Those of tasks that wait in put() aren't yet.
  std::size_t qsize() const noexcept { return items_.size(); }
  bool empty() const noexcept { return items_.empty(); }
  bool full() const noexcept { return items_.size() >= maxsize_; }

  /// `co_await queue.put(item)` waits while the queue is full. Throws QueueShutDown. Cancel-safe: when it is
  /// cancelled the item was not put, and is destroyed with the operation.
  PutOperation put(T item) {
    static_assert(
        detail::fits_in_frame<T>,
        "a coroutine's frame isn't aligned for such an item: try_put() it, or put a std::unique_ptr");
    return PutOperation(*this, std::move(item));
  }
  /// `T item = co_await queue.get();` waits while the queue is empty. Throws QueueShutDown. Cancel-safe: no
  /// item is lost, because a request to stop that comes when there is one for this task already is thrown by
  /// the next co_await.
  GetOperation get() noexcept {
    static_assert(
        detail::fits_in_frame<T>,
        "a coroutine's frame isn't aligned for such an item: try_get() it, or get a std::unique_ptr");
    return GetOperation(*this);
  }

  /// Puts the item if there is room. If not, returns false and leaves `item` as it is. Throws QueueShutDown.
  bool try_put(T&& item) { return offer(std::move(item), "Queue.try_put()"); }
  bool try_put(const T& item) { return offer(item, "Queue.try_put()"); }
  /// The next item, if there is one. Throws QueueShutDown if there isn't and never will be.
  std::optional<T> try_get() {
    if (!can_take("Queue.try_get()")) return std::nullopt;
    return take<std::optional<T>>();
  }
  /// The same two, throwing QueueFull and QueueEmpty.
  void put_nowait(T item) {
    if (!offer(std::move(item), "Queue.put_nowait()")) throw_full();
  }
  T get_nowait() {
    if (!can_take("Queue.get_nowait()")) throw_empty();
    return take<T>();
  }

  /// No more items are taken: put() throws QueueShutDown, for those who wait as well, and so does get() once
  /// the queue is empty. `immediate`: the items in it are dropped, and count as done for join(). (Not from
  /// within a comparison of a PriorityQueue: there they stay, to be got.)
  void shutdown(bool immediate = false) noexcept {
    getters_.use("Queue.shutdown()");
    Store dropped;  // destroyed when all is as it will be
    if (immediate && !items_.in_use()) {
      items_.swap(dropped);
      forget_unfinished(dropped.size());
    }
    close_entry();
  }

 private:
  using Item = detail::Item<T>;

  bool has_room(const char* operation) const {
    getters_.use(operation);
    if (shut_down_) [[unlikely]]
      throw_shut_down(operation);
    return !getters_.empty() || !full();
  }

  template <class U>
  bool offer(U&& value, const char* operation) {
    if (!has_room(operation)) return false;
    Item item(std::forward<U>(value));
    if (shut_down_) [[unlikely]]
      throw_shut_down(operation);  // by the item's own constructor
    accept(item);
    return true;
  }

  // To the task that has waited longest in get(), or into the store.
  void accept(Item& item) {
    if (!getters_.empty())
      hand_to_getter(item);
    else
      items_.push(item);
    ++unfinished_;
  }
  void hand_to_getter(Item& item) noexcept {
    static_cast<GetOperation&>(getters_.first()).item_ = std::move(item);
    getters_.grant_first();
  }

  bool can_take(const char* operation) const {
    getters_.use(operation);
    if (!items_.empty()) return true;
    if (shut_down_) [[unlikely]]
      throw_shut_down(operation);
    return false;
  }

  // The value of the next item, whose place is then given to who waits in put(). Throws what moving the value
  // throws, with the item back in its place.
  template <class Result>
  Result take() {
    Item item = items_.pop();
    Result value(unwrap<Result>(item));
    admit();
    return value;
  }
  template <class Result>
  Result unwrap(Item& item) {
    try {
      return Result(std::move(*item));
    } catch (...) {
      if (!getters_.empty())
        hand_to_getter(item);
      else
        items_.put_back(std::move(item));
      throw;
    }
  }

  // What is free now is filled with the items of the tasks that have waited longest in put(). One whose item
  // can't be stored hears of that in its put().
  void admit() noexcept {
    while (!putters_.empty() && !full()) {
      auto& putter = static_cast<PutOperation&>(putters_.first());
      putters_.grant_first();  // it can't be cancelled any more
      try {
        items_.push(putter.item_);
        ++unfinished_;
      } catch (...) {
        putter.fail(std::current_exception());
      }
    }
  }

  Store items_;
};

template <class T, class Store>
class BasicQueue<T, Store>::PutOperation final : public detail::WaitOperation {
 public:
  PutOperation(BasicQueue& queue, T&& item) : queue_(queue), item_(std::move(item)) {}
  /// Only before it is awaited.
  PutOperation(PutOperation&& other) noexcept
      : detail::WaitOperation(other), queue_(other.queue_), item_(std::move(other.item_)) {}

  /// Throws std::logic_error if the item was put already.
  bool await_ready() {
    check_can_begin();
    if (!item_) [[unlikely]]
      throw_put_already();
    const bool has_room = queue_.has_room("Queue.put()");
    if (has_room) queue_.accept(item_);
    return attempt(has_room);
  }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
    wait(queue_.putters_, coroutine);
  }
  void await_resume() const {
    check("Queue.put()");
    if (!failed()) [[likely]]
      return;
    if (error_) std::rethrow_exception(error_);
    throw_shut_down("Queue.put()");
  }

 private:
  friend BasicQueue;

  void fail(std::exception_ptr error) noexcept {
    state_ = State::FAILED;
    error_ = std::move(error);
  }

  BasicQueue& queue_;
  detail::Item<T> item_;  // none once it was put
  std::exception_ptr error_;
};

template <class T, class Store>
class BasicQueue<T, Store>::GetOperation final : public detail::WaitOperation {
 public:
  explicit GetOperation(BasicQueue& queue) noexcept : queue_(queue) {}
  GetOperation(const GetOperation& other) noexcept : detail::WaitOperation(other), queue_(other.queue_) {}

  bool await_ready() {
    check_can_begin();
    return attempt(queue_.can_take("Queue.get()"));
  }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) {
    // The budget is spent, so other tasks run before this one: they must not get its item.
    if (state_ == State::GRANTED) {
      item_ = queue_.items_.pop();
      queue_.admit();
    }
    wait(queue_.getters_, coroutine);
  }
  T await_resume() {
    check("Queue.get()");
    if (failed()) [[unlikely]]
      throw_shut_down("Queue.get()");
    if (!item_) return queue_.template take<T>();
    Item item(std::move(item_));
    return queue_.template unwrap<T>(item);
  }

 private:
  friend BasicQueue;

  BasicQueue& queue_;
  detail::Item<T> item_;  // what it was given, until it is resumed
};

/// First in, first out, as asyncio.Queue. At most `maxsize` items (0: any number); T is any movable type.
/// Tasks that wait in get() or put() are served in the order in which they came. On the loop's thread only.
/// Who waits when it is destroyed gets std::logic_error.
///
/// What moving an item throws comes out of the call that moves it, and the queue is as it was: an item that
/// couldn't be got is the next one still. (For one that a task had been given while it waited, there may be
/// one more than maxsize then.) An item's constructors and destructor may use the queue.
template <class T>
class Queue : public BasicQueue<T, detail::FifoStore<T>> {
 public:
  using BasicQueue<T, detail::FifoStore<T>>::BasicQueue;
};

namespace detail {

inline bool QueueJoinOperation::await_ready() {
  check_can_begin();
  queue_.getters_.use("Queue.join()");
  return attempt(queue_.unfinished_ == 0);
}

template <class Promise>
void QueueJoinOperation::await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
  wait(queue_.joiners_, coroutine);
}

}  // namespace detail

}  // namespace heddle

HEDDLE_HEADER_END
