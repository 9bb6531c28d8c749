// Buffer: an array of plain values that only grows, zero-filled; the memory under a selector's tables.
// SPDX-License-Identifier: MIT
#pragma once

#include "export.hpp"  // first

#include <cstddef>

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// A fresh zeroed block of `new_bytes` that begins with the `old_bytes` of `old`, which is freed. Throws
/// bad_alloc.
[[nodiscard]] HEDDLE_EXPORT void* grow_zeroed(void* old, std::size_t old_bytes, std::size_t new_bytes);
HEDDLE_EXPORT void free_zeroed(void* block) noexcept;

/// T must be trivial in practice: all bits zero is a T, and it is copied by memcpy. It may be incomplete
/// until a member is used, so that headers need not know the system's structures.
template <class T>
class Buffer {
 public:
  Buffer() noexcept = default;
  Buffer(Buffer&& other) noexcept : data_(other.data_), capacity_(other.capacity_) {
    other.data_ = nullptr;
    other.capacity_ = 0;
  }
  Buffer& operator=(Buffer&&) = delete;
  ~Buffer() { free_zeroed(data_); }

  [[nodiscard]] T* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] T& operator[](std::size_t index) const noexcept { return data_[index]; }

  /// Room for `count` values at least, at least doubling; what was there stays. Throws bad_alloc and changes
  /// nothing.
  void reserve(std::size_t count) {
    if (count > capacity_) [[unlikely]] {
      grow(count);
    }
  }
  void clear() noexcept {
    free_zeroed(data_);
    data_ = nullptr;
    capacity_ = 0;
  }

 private:
  void grow(std::size_t count) {
    std::size_t wanted = 2 * capacity_;
    if (wanted < count) wanted = count;
    data_ = static_cast<T*>(grow_zeroed(data_, capacity_ * sizeof(T), wanted * sizeof(T)));
    capacity_ = wanted;
  }

  T* data_ = nullptr;
  std::size_t capacity_ = 0;
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
