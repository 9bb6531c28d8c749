// ByteBlock: memory to read into, which is not cleared before.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <span>
#include <utility>

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// A block of bytes whose values are indeterminate: clearing what is only read into costs as much as reading.
/// Move-only; empty by default. Blocks of 32 KiB to 256 KiB are recycled, last in, first out, because
/// malloc() would get such a one from the kernel each time, and each of its pages by a fault: some megabytes
/// are kept for the process. Any thread.
class HEDDLE_EXPORT ByteBlock {
 public:
  ByteBlock() noexcept = default;
  /// Throws std::bad_alloc.
  explicit ByteBlock(std::size_t size);
  ByteBlock(ByteBlock&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  ByteBlock& operator=(ByteBlock&& other) noexcept {
    ByteBlock old(std::move(*this));
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }
  ~ByteBlock() {
    if (data_ != nullptr) free_block();
  }

  std::byte* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  std::span<std::byte> bytes() const noexcept { return {data_, size_}; }
  std::span<char> chars() const noexcept { return {reinterpret_cast<char*>(data_), size_}; }

 private:
  void free_block() noexcept;

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
