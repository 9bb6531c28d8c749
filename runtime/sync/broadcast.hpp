// Broadcast<T>: a channel whose every item reaches every subscriber.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <utility>

#include "../core/frame_allocator.hpp"
#include "publication.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// A subscriber was too slow: this many items were overwritten before it received them.
struct HEDDLE_EXPORT Lagged : std::runtime_error {
  explicit Lagged(std::uint64_t count);
  ~Lagged() override;
  std::uint64_t missed;
};

namespace detail {

/// The part of a Broadcast that doesn't depend on its items.
class HEDDLE_EXPORT BroadcastState : public Publication {
 public:
  std::size_t subscribers() const noexcept { return subscribers_; }
  bool has_item_after(std::uint64_t position) const noexcept { return sent_ != position; }

 protected:
  explicit BroadcastState(std::size_t capacity);

  void check_open() const {
    if (closed()) throw_closed();
  }
  /// True if there is an item at `position`. If that was overwritten, sets it to the oldest item and throws
  /// Lagged.
  bool find(std::uint64_t& position) const {
    const std::uint64_t behind = sent_ - position;
    if (behind > capacity_) [[unlikely]]
      throw_lagged(position);
    return behind != 0;
  }

  std::uint64_t sent_ = 0;
  std::size_t capacity_;
  std::size_t subscribers_ = 0;

 private:
  [[noreturn]] static void throw_closed();
  [[noreturn]] void throw_lagged(std::uint64_t& position) const;
};

/// An item, shared by the ring and who is receiving it just now.
template <class T>
struct BroadcastItem final : FrameAllocated {
  explicit BroadcastItem(T&& its) : value(std::move(its)) {}
  void add_reference() noexcept { ++references; }
  void release() noexcept {
    if (--references == 0) delete this;
  }

  T value;
  std::size_t unseen = 0;  // by so many subscribers; it is in the ring while there are any
  unsigned references = 1;
};

/// The last `capacity` items, each until every subscriber has received it. What an item's constructors and
/// destructor do is done before the ring changes, or when it has.
template <class T>
class BroadcastRing final : public BroadcastState {
 public:
  explicit BroadcastRing(std::size_t capacity) : BroadcastState(capacity), slots_(new Slot[capacity]) {}

  std::size_t send(T&& item) {
    waiting_readers().use("Broadcast.send()");
    check_open();
    if (subscribers_ == 0) return 0;
    Slot sent = Slot::adopt(*new BroadcastItem<T>(std::move(item)));
    check_open();  // the item's own constructor may have changed that
    const std::size_t receivers = subscribers_;
    if (receivers == 0) return 0;
    sent->unseen = receivers;
    slot_of(sent_).swap(sent);  // the one before goes last
    ++sent_;
    wake_readers();
    return receivers;
  }

  // (One variable is returned, so that it isn't moved any more.)
  std::optional<T> receive(std::uint64_t& position) {
    std::optional<T> value;
    if (find(position)) {
      const std::uint64_t at = position;
      const Slot item = slot_of(at);
      if (item->unseen == 1)
        value.emplace(std::move(item->value));
      else
        value.emplace(item->value);
      if (position == at) {
        ++position;
        mark_seen(at, item);
      }
    }
    return value;
  }

  std::uint64_t add_subscriber() noexcept {
    waiting_readers().use("Broadcast.subscribe()");
    ++subscribers_;
    return sent_;
  }
  void remove_subscriber(std::uint64_t position) noexcept {
    waiting_readers().use("the end of a Subscription");
    --subscribers_;
    if (sent_ - position > capacity_) position = sent_ - capacity_;
    for (const std::uint64_t end = sent_; position != end; ++position) {
      if (sent_ - position > capacity_) continue;  // overwritten, by an item that was destroyed here
      const Slot item = slot_of(position);
      mark_seen(position, item);
    }
  }

 private:
  using Slot = Ref<BroadcastItem<T>>;

  ~BroadcastRing() override { delete[] slots_; }  // without subscribers it has no items

  Slot& slot_of(std::uint64_t position) const noexcept { return slots_[position % capacity_]; }
  // The caller's reference keeps it while the ring changes.
  void mark_seen(std::uint64_t position, const Slot& item) noexcept {
    if (--item->unseen == 0 && slot_of(position) == item) slot_of(position).reset();
  }

  Slot* slots_;
};

}  // namespace detail

template <class T>
class Subscription;

namespace detail {

template <class T>
class [[nodiscard]] SubscriptionOperation final : public PublicationOperation {
 public:
  explicit SubscriptionOperation(Subscription<T>& subscription) noexcept
      : PublicationOperation(subscription) {}

  bool await_ready() {
    this->begin("Subscription.receive()");
    return this->attempt(subscription().ring().has_item_after(subscription().position_) ||
                         subscription().ring().closed());
  }
  std::optional<T> await_resume() {
    this->end("Subscription.receive()");
    return subscription().ring().receive(subscription().position_);
  }

 private:
  Subscription<T>& subscription() const noexcept { return static_cast<Subscription<T>&>(this->reader_); }
};

}  // namespace detail

/// One who receives what a Broadcast sends. For one task at a time; it may outlive the Broadcast. Move-only.
template <class T>
class [[nodiscard]] Subscription : public detail::PublicationReader {
 public:
  explicit Subscription(detail::BroadcastRing<T>& ring) noexcept
      : detail::PublicationReader(ring), position_(ring.add_subscriber()) {}
  Subscription(Subscription&& other) noexcept
      : detail::PublicationReader(std::move(other)), position_(other.position_) {}
  ~Subscription() {
    if (this->valid()) ring().remove_subscriber(position_);
  }

  /// `while (auto item = co_await subscription.receive())`: waits for the next item; nullopt when the channel
  /// is closed and everything was received. Throws Lagged if items were missed; the next receive() yields the
  /// oldest that is left. Cancel-safe: no item is lost.
  detail::SubscriptionOperation<T> receive() noexcept {
    static_assert(detail::fits_in_frame<T>,
                  "a coroutine's frame isn't aligned for such an item: try_receive() it, or send a "
                  "std::shared_ptr");
    return detail::SubscriptionOperation<T>(*this);
  }
  /// The same without waiting: nullopt also if there is no item now.
  std::optional<T> try_receive() {
    this->check_free("Subscription.try_receive()");
    return ring().receive(position_);
  }
  /// No more items will be sent; some may be left to receive.
  bool closed() const noexcept { return ring().closed(); }

 private:
  friend class detail::SubscriptionOperation<T>;

  detail::BroadcastRing<T>& ring() const noexcept {
    return static_cast<detail::BroadcastRing<T>&>(*this->state_);
  }

  std::uint64_t position_;
};

/// A channel that keeps the last `capacity` items for those who have subscribed: each receives every item
/// that is sent from then on (a copy of it, so T must be copyable). send() never waits: who is further behind
/// than `capacity` misses the oldest items, and gets Lagged with their number (as in tokio). On the loop's
/// thread only. When it is destroyed the channel is closed. Move-only.
///
/// What moving or copying an item throws comes out of the send() or receive() that does it, and nothing was
/// sent or received by that. An item's constructors and destructor may use the channel.
template <class T>
class Broadcast {
 public:
  /// Throws ValueError for a capacity of 0.
  explicit Broadcast(std::size_t capacity) : ring_(Ring::adopt(*new detail::BroadcastRing<T>(capacity))) {}
  Broadcast(Broadcast&&) noexcept = default;
  Broadcast& operator=(Broadcast&&) noexcept = default;

  /// Yields the number of those who will receive the item; it is dropped when nobody has subscribed. Throws
  /// std::logic_error after close().
  std::size_t send(T item) { return ring_->send(std::move(item)); }
  Subscription<T> subscribe() const noexcept { return Subscription<T>(*ring_); }
  std::size_t subscribers() const noexcept { return ring_->subscribers(); }
  /// Nothing more will be sent. What was sent can still be received.
  void close() noexcept { ring_->close(); }

 private:
  using Ring = detail::Ref<detail::BroadcastRing<T>, detail::PublisherSide>;
  Ring ring_;
};

}  // namespace heddle

HEDDLE_HEADER_END
