// Item<T>, ItemList<T>: what is on its way through a container, each in a block of its own.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <utility>

#include "frame_allocator.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// Owns a T that lies in memory of its own, or none. Moving it moves a pointer: so a container of Items calls
/// nothing of T's, which might throw or use the container, while it changes; and whatever T throws, it throws
/// before the container has changed, or when the Item has left it. Aligned as T is.
template <class T>
class Item {
 public:
  Item() noexcept = default;
  /// Throw std::bad_alloc, with `value` as it was, or what making a T throws.
  explicit Item(T&& value) : node_(new Node(std::move(value))) {}
  explicit Item(const T& value) : node_(new Node(value)) {}
  Item(Item&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
  Item& operator=(Item&& other) noexcept {
    Item before(std::move(*this));  // destroyed last
    node_ = std::exchange(other.node_, nullptr);
    return *this;
  }
  ~Item() { delete node_; }

  explicit operator bool() const noexcept { return node_ != nullptr; }
  T& operator*() const noexcept { return node_->value; }

 private:
  template <class>
  friend class ItemList;

  struct Node final : FrameAllocated {
    explicit Node(T&& its) : value(std::move(its)) {}
    explicit Node(const T& its) : value(its) {}
    T value;
    Node* next = nullptr;
  };

  explicit Item(Node* node) noexcept : node_(node) {}

  Node* node_ = nullptr;
};

/// Items in a row, linked through themselves: nothing but its destructor calls anything of T's, or throws.
template <class T>
class ItemList {
 public:
  ItemList() noexcept = default;
  ItemList(ItemList&& other) noexcept { swap(other); }
  ItemList& operator=(const ItemList&) = delete;
  ~ItemList() {
    while (!empty()) pop_front();
  }

  bool empty() const noexcept { return first_ == nullptr; }
  std::size_t size() const noexcept { return size_; }
  void push_back(Item<T>&& item) noexcept {
    Node* const node = std::exchange(item.node_, nullptr);
    node->next = nullptr;
    (empty() ? first_ : last_->next) = node;
    last_ = node;
    ++size_;
  }
  void push_front(Item<T>&& item) noexcept {
    Node* const node = std::exchange(item.node_, nullptr);
    if (empty()) last_ = node;
    node->next = std::exchange(first_, node);
    ++size_;
  }
  /// Of a list that isn't empty.
  Item<T> pop_front() noexcept {
    Node* const node = std::exchange(first_, first_->next);
    --size_;
    return Item<T>(node);
  }
  void swap(ItemList& other) noexcept {
    std::swap(first_, other.first_);
    std::swap(last_, other.last_);
    std::swap(size_, other.size_);
  }

 private:
  using Node = typename Item<T>::Node;

  Node* first_ = nullptr;
  Node* last_ = nullptr;  // of a list that isn't empty
  std::size_t size_ = 0;
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
