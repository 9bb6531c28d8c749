// PriorityQueue<T>: a Queue whose smallest item comes out first.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "queue.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

/// `a < b`, as std::less, which is expensive to include.
struct Less {
  template <class T>
  constexpr bool operator()(const T& a, const T& b) const {
    return a < b;
  }
};

[[noreturn]] HEDDLE_EXPORT void throw_compares();

/// Items, smallest first; those that are equal in the order in which they were put. A binary heap. All
/// comparisons are made before anything moves, so that one may throw; what they would change meanwhile is
/// refused.
template <class T, class Compare>
class PriorityStore {
 public:
  bool empty() const noexcept { return heap_.empty() && put_back_.empty(); }
  std::size_t size() const noexcept { return heap_.size() + put_back_.size(); }
  bool in_use() const noexcept { return compares_; }

  void push(Item<T>& item) {
    const Comparing comparing(*this);
    if (heap_.size() == heap_.capacity()) heap_.reserve(heap_.empty() ? 8 : 2 * heap_.size());
    std::size_t i = heap_.size();
    while (i > 0 && compare_(*item, *heap_[(i - 1) / 2].item)) i = (i - 1) / 2;
    heap_.emplace_back();
    for (std::size_t hole = heap_.size() - 1; hole != i; hole = (hole - 1) / 2)
      std::swap(heap_[hole], heap_[(hole - 1) / 2]);
    heap_[i].item = std::move(item);
    heap_[i].number = put_++;
  }

  Item<T> pop() {
    const Comparing comparing(*this);
    if (!put_back_.empty()) return put_back_.pop_front();
    // Where the last one will be when the first has gone: all on the way there move up.
    const std::size_t size = heap_.size() - 1;
    const Entry& last = heap_[size];
    std::size_t i = 0;
    for (std::size_t child = 1; child < size; child = 2 * i + 1) {
      if (child + 1 < size && before(heap_[child + 1], heap_[child])) ++child;
      if (!before(heap_[child], last)) break;
      i = child;
    }
    Entry moving = std::move(heap_.back());
    heap_.pop_back();
    if (size == 0) return std::move(moving.item);
    for (; i > 0; i = (i - 1) / 2) std::swap(moving, heap_[i]);
    std::swap(moving, heap_[0]);
    return std::move(moving.item);
  }

  void put_back(Item<T>&& item) noexcept { put_back_.push_front(std::move(item)); }

  void swap(PriorityStore& other) noexcept {
    heap_.swap(other.heap_);
    put_back_.swap(other.put_back_);
  }

 private:
  struct Entry {
    Item<T> item;
    std::uint64_t number = 0;
  };
  class Comparing {
   public:
    explicit Comparing(PriorityStore& store) : store_(store) {
      if (std::exchange(store.compares_, true)) throw_compares();
    }
    Comparing(const Comparing&) = delete;
    Comparing& operator=(const Comparing&) = delete;
    ~Comparing() { store_.compares_ = false; }

   private:
    PriorityStore& store_;
  };

  bool before(const Entry& a, const Entry& b) const {
    if (compare_(*a.item, *b.item)) return true;
    return !compare_(*b.item, *a.item) && a.number < b.number;
  }

  std::vector<Entry> heap_;
  ItemList<T> put_back_;  // they are the next
  std::uint64_t put_ = 0;
  bool compares_ = false;
  [[no_unique_address]] Compare compare_;
};

}  // namespace detail

/// The smallest item comes out first, as from asyncio.PriorityQueue (std::priority_queue has the largest
/// first), and equal ones in the order in which they were put; else as Queue. `Compare()(a, b)` says whether
/// a comes before b. What it throws comes out of the call that has compared, and the queue is as it was; a
/// task that waited in put() gets it there when its item was compared on its behalf. It must not use the
/// queue: putting and getting throw std::logic_error meanwhile.
template <class T, class Compare = detail::Less>
class PriorityQueue : public BasicQueue<T, detail::PriorityStore<T, Compare>> {
 public:
  using BasicQueue<T, detail::PriorityStore<T, Compare>>::BasicQueue;
};

}  // namespace heddle

HEDDLE_HEADER_END
