// LifoQueue<T>: a Queue whose newest item comes out first.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <utility>

#include "queue.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

/// Items, newest first.
template <class T>
class LifoStore {
 public:
  bool empty() const noexcept { return items_.empty(); }
  std::size_t size() const noexcept { return items_.size(); }
  static constexpr bool in_use() noexcept { return false; }
  void push(Item<T>& item) noexcept { items_.push_front(std::move(item)); }
  Item<T> pop() noexcept { return items_.pop_front(); }
  void put_back(Item<T>&& item) noexcept { items_.push_front(std::move(item)); }
  void swap(LifoStore& other) noexcept { items_.swap(other.items_); }

 private:
  ItemList<T> items_;
};

}  // namespace detail

/// Last in, first out, as asyncio.LifoQueue; else as Queue. (Tasks are still served first come, first
/// served.)
template <class T>
class LifoQueue : public BasicQueue<T, detail::LifoStore<T>> {
 public:
  using BasicQueue<T, detail::LifoStore<T>>::BasicQueue;
};

}  // namespace heddle

HEDDLE_HEADER_END
