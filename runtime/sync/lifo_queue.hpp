// LifoQueue<T>: a Queue whose newest item comes out first.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <utility>
#include <vector>

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
  void push(T&& item) { items_.push_back(std::move(item)); }
  T pop() {
    T item(std::move(items_.back()));
    items_.pop_back();
    return item;
  }
  void clear() noexcept { items_.clear(); }

 private:
  std::vector<T> items_;
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
