// Channel<T>: items between threads, awaited on loops and waited for on plain threads.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <coroutine>
#include <cstddef>
#include <new>
#include <optional>
#include <utility>

#include "../../selector/timeout.hpp"
#include "../core/blocking.hpp"
#include "../core/cancelled.hpp"
#include "channel_core.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

[[noreturn]] HEDDLE_EXPORT void throw_sent_already();

/// What was received, if anything was.
template <class T>
std::optional<T> take_value(Item<T>& item) {
  if (!item) return std::nullopt;
  const Item<T> received(std::move(item));
  return std::optional<T>(std::move(*received));
}

template <class T>
class [[nodiscard]] ChannelSend final : public ChannelOperation {
 public:
  ChannelSend(ChannelState<T>& channel, T&& item) : ChannelOperation(channel), item_(std::move(item)) {}
  ChannelSend(ChannelSend&& other) noexcept : ChannelOperation(other), item_(std::move(other.item_)) {}

  bool await_ready() {
    begin();
    stopped_ = false;
    if (waiter_.state == ChannelWaiter::State::DONE) throw_sent_already();
    waiter_.state = channel().send(item_, nullptr);
    return is_ready(waiter_.state);
  }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) {
    prepare_to_wait(&item_);
    if (waiter_.state != ChannelWaiter::State::IDLE ||
        channel().send(item_, &waiter_) != ChannelWaiter::State::WAITING)
      wake();
    begin_wait();
    suspend(*this, coroutine);
  }
  void await_resume() {
    end_wait();
    if (waiter_.state == ChannelWaiter::State::CLOSED) throw_closed();
  }

  Stop cancel() noexcept override {
    if (!channel().withdraw(waiter_)) return Stop::TOO_LATE;
    stopped_ = true;
    return Stop::STOPPED;
  }

  /// What was to be sent: it is still here when the send was cancelled or the channel was closed. Throws
  /// std::logic_error when it was sent.
  T& item() {
    if (!item_) throw_sent_already();
    return *item_;
  }

 private:
  ChannelState<T>& channel() const noexcept { return static_cast<ChannelState<T>&>(*channel_); }

  Item<T> item_;
};

template <class T>
class [[nodiscard]] ChannelReceive final : public ChannelOperation {
 public:
  explicit ChannelReceive(ChannelState<T>& channel) noexcept : ChannelOperation(channel) {}
  ChannelReceive(const ChannelReceive& other) noexcept : ChannelOperation(other) {}

  bool await_ready() {
    begin();
    stopped_ = false;
    waiter_.state = channel().receive(item_, nullptr);
    return is_ready(waiter_.state);
  }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) {
    prepare_to_wait(&item_);
    if (waiter_.state != ChannelWaiter::State::IDLE ||
        channel().receive(item_, &waiter_) != ChannelWaiter::State::WAITING)
      wake();
    begin_wait();
    suspend(*this, coroutine);
  }
  std::optional<T> await_resume() {
    end_wait();
    return take_value(item_);
  }

  Stop cancel() noexcept override {
    if (!channel().withdraw(waiter_)) return Stop::TOO_LATE;
    stopped_ = true;
    return Stop::STOPPED;
  }

 private:
  ChannelState<T>& channel() const noexcept { return static_cast<ChannelState<T>&>(*channel_); }

  Item<T> item_;
};

}  // namespace detail

/// Hands items from any number of senders to any number of receivers, tasks of any loops and plain threads,
/// in the order in which they were sent; of those who wait the first is served. A copy refers to the same
/// channel, which is closed when the last of them is destroyed.
///
/// Cancelling loses nothing: an item that was received is delivered, and one that wasn't sent is still in the
/// send operation (see ChannelSend::item()). T must be movable without throwing; its constructors and
/// destructor are called with no lock held, and may use the channel.
template <class T>
class Channel {
 public:
  static constexpr std::size_t unlimited = ~std::size_t{0};

  /// `capacity` items fit in it before senders have to wait. 0: each waits until its item is received.
  explicit Channel(std::size_t capacity) : state_(Shared::adopt(*new detail::ChannelState<T>(capacity))) {}
  // No moves: there is always a channel.
  Channel(const Channel&) noexcept = default;
  Channel& operator=(const Channel&) noexcept = default;

  /// Waits until there is room. Throws ChannelClosed if it is, or while it waits is, closed.
  detail::ChannelSend<T> send(T item) {
    static_assert(detail::fits_in_frame<T>,
                  "a coroutine's frame isn't aligned for such an item: try_send() "
                  "or blocking_send() it, or send a std::unique_ptr");
    return detail::ChannelSend<T>(*state_, std::move(item));
  }
  /// Waits for an item; nullopt when the channel is closed and empty.
  detail::ChannelReceive<T> receive() noexcept {
    static_assert(detail::fits_in_frame<T>,
                  "a coroutine's frame isn't aligned for such an item: "
                  "try_receive() it, or send a std::unique_ptr");
    return detail::ChannelReceive<T>(*state_);
  }

  /// Sends `item` if there is room, or leaves it as it is and returns false. Throws ChannelClosed.
  bool try_send(T& item) {
    if (check_sent(state_->probe()) == State::IDLE) return false;
    detail::Item<T> sent(std::move(item));
    const State state = state_->send(sent, nullptr);
    if (sent) {  // others were faster
      item.~T();
      ::new (static_cast<void*>(__builtin_addressof(item))) T(std::move(*sent));
    }
    return check_sent(state) == State::DONE;
  }
  bool try_send(T&& item) { return try_send(item); }
  /// An item, if there is one now.
  std::optional<T> try_receive() {
    detail::Item<T> item;
    state_->receive(item, nullptr);
    return detail::take_value(item);
  }

  /// send() for a thread without a loop: blocks it. Throws TimeoutError when `timeout` has passed.
  void blocking_send(T item, Timeout timeout = {}) {
    detail::check_may_block("blocking_send()", "co_await send()");
    const Kept kept(*state_);
    detail::Item<T> sent(std::move(item));
    check_sent(kept->send_blocking(sent, timeout));
  }
  /// The same for receive().
  std::optional<T> blocking_receive(Timeout timeout = {}) {
    detail::check_may_block("blocking_receive()", "co_await receive()");
    const Kept kept(*state_);
    detail::Item<T> item;
    if (kept->receive_blocking(item, timeout) == State::WAITING) throw TimeoutError();
    return detail::take_value(item);
  }

  /// Nothing can be sent any more: those who wait to send get ChannelClosed, and who receives gets what is
  /// left and then nullopt. Idempotent.
  void close() noexcept { state_->close(); }
  bool closed() const noexcept { return state_->closed(); }
  /// How many items have been sent and not yet received, by the time it is known.
  std::size_t size() const noexcept { return state_->size(); }

 private:
  using State = detail::ChannelWaiter::State;

  static State check_sent(State state) {
    if (state == State::CLOSED) throw ChannelClosed();
    if (state == State::WAITING) throw TimeoutError();
    return state;
  }

  using Shared = detail::Ref<detail::ChannelState<T>, detail::ChannelSide>;
  using Kept = detail::Ref<detail::ChannelState<T>>;  // while a thread is blocked: this may go meanwhile
  Shared state_;
};

}  // namespace heddle

HEDDLE_HEADER_END
