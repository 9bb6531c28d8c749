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

/// Items, smallest first; those that are equal in the order in which they were put. A binary heap.
template <class T, class Compare>
class PriorityStore {
 public:
  bool empty() const noexcept { return heap_.empty(); }
  std::size_t size() const noexcept { return heap_.size(); }

  void push(T&& item) {
    heap_.push_back(Entry{std::move(item), put_++});
    Entry entry(std::move(heap_.back()));
    std::size_t i = heap_.size() - 1;
    while (i > 0 && before(entry, heap_[(i - 1) / 2])) {
      heap_[i] = std::move(heap_[(i - 1) / 2]);
      i = (i - 1) / 2;
    }
    heap_[i] = std::move(entry);
  }

  T pop() {
    T smallest(std::move(heap_.front().item));
    Entry last(std::move(heap_.back()));
    heap_.pop_back();
    if (heap_.empty()) return smallest;
    const std::size_t size = heap_.size();
    std::size_t i = 0;
    for (std::size_t child = 1; child < size; child = 2 * i + 1) {
      if (child + 1 < size && before(heap_[child + 1], heap_[child])) ++child;
      if (!before(heap_[child], last)) break;
      heap_[i] = std::move(heap_[child]);
      i = child;
    }
    heap_[i] = std::move(last);
    return smallest;
  }

  void clear() noexcept { heap_.clear(); }

 private:
  struct Entry {
    T item;
    std::uint64_t number;
  };

  bool before(const Entry& a, const Entry& b) const {
    if (compare_(a.item, b.item)) return true;
    return !compare_(b.item, a.item) && a.number < b.number;
  }

  std::vector<Entry> heap_;
  std::uint64_t put_ = 0;
  [[no_unique_address]] Compare compare_;
};

}  // namespace detail

/// The smallest item comes out first, as from asyncio.PriorityQueue (std::priority_queue has the largest
/// first), and equal ones in the order in which they were put; else as Queue. `Compare()(a, b)` says whether
/// a comes before b, and must not throw. T must be movable, by assignment too.
template <class T, class Compare = detail::Less>
class PriorityQueue : public BasicQueue<T, detail::PriorityStore<T, Compare>> {
 public:
  using BasicQueue<T, detail::PriorityStore<T, Compare>>::BasicQueue;
};

}  // namespace heddle

HEDDLE_HEADER_END
