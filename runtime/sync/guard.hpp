// Guard: holds a lock, or one permit of a semaphore, as long as it lives.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <utility>

HEDDLE_HEADER_BEGIN

namespace heddle {

/// What `co_await lock.scoped()` yields. Its destructor release()s what it holds; release() does so earlier.
/// Move-only. What it holds must outlive it, and not be released by anybody else: that would end the
/// program in the destructor.
template <class L>
class [[nodiscard]] Guard {
 public:
  Guard() noexcept = default;
  /// `held` was acquired already.
  explicit Guard(L& held) noexcept : held_(&held) {}
  Guard(Guard&& other) noexcept : held_(std::exchange(other.held_, nullptr)) {}
  Guard& operator=(Guard&& other) noexcept {
    Guard(std::move(other)).swap(*this);
    return *this;
  }
  ~Guard() {
    if (held_ != nullptr) held_->release();
  }

  void release() {
    if (held_ != nullptr) std::exchange(held_, nullptr)->release();
  }
  void swap(Guard& other) noexcept { std::swap(held_, other.held_); }
  /// Whether it holds anything.
  explicit operator bool() const noexcept { return held_ != nullptr; }

 private:
  L* held_ = nullptr;
};

}  // namespace heddle

HEDDLE_HEADER_END
