// RingBuffer<T>: first in, first out, in one block of memory that grows. (std::deque is a lot to compile.)
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <new>
#include <utility>

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

template <class T>
class RingBuffer {
 public:
  RingBuffer() noexcept = default;
  RingBuffer(const RingBuffer&) = delete;
  RingBuffer& operator=(const RingBuffer&) = delete;
  ~RingBuffer() {
    clear();
    deallocate(slots_);
  }

  bool empty() const noexcept { return size_ == 0; }
  std::size_t size() const noexcept { return size_; }

  /// Throws std::bad_alloc, or what moving a T throws.
  void push(T&& item) {
    if (size_ == capacity_) [[unlikely]]
      grow();
    ::new (static_cast<void*>(slot(size_))) T(std::move(item));
    ++size_;
  }
  /// To be called when it isn't empty.
  T pop() {
    T* const first = slot(0);
    T item(std::move(*first));
    first->~T();
    begin_ = (begin_ + 1) & (capacity_ - 1);
    --size_;
    return item;
  }
  void clear() noexcept {
    for (std::size_t i = 0; i < size_; ++i) slot(i)->~T();
    size_ = 0;
  }

 private:
  static constexpr std::size_t first_capacity = 8;

  T* slot(std::size_t i) const noexcept { return slots_ + ((begin_ + i) & (capacity_ - 1)); }

  static void deallocate(T* slots) noexcept {
    ::operator delete(static_cast<void*>(slots), std::align_val_t(alignof(T)));
  }

  void grow() {
    const std::size_t capacity = capacity_ == 0 ? first_capacity : 2 * capacity_;
    T* const slots = static_cast<T*>(::operator new(capacity * sizeof(T), std::align_val_t(alignof(T))));
    std::size_t moved = 0;
    try {
      for (; moved < size_; ++moved) ::new (static_cast<void*>(slots + moved)) T(std::move(*slot(moved)));
    } catch (...) {
      while (moved > 0) slots[--moved].~T();
      deallocate(slots);
      throw;
    }
    const std::size_t size = size_;
    clear();
    size_ = size;
    deallocate(slots_);
    slots_ = slots;
    capacity_ = capacity;
    begin_ = 0;
  }

  T* slots_ = nullptr;
  std::size_t capacity_ = 0;  // a power of two, or none yet
  std::size_t begin_ = 0;
  std::size_t size_ = 0;
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
