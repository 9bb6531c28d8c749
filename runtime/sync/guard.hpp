// Guard: holds a lock, or one permit of a semaphore, as long as it lives.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <utility>

#include "../core/weak_link.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// What `co_await lock.scoped()` yields. Its destructor release()s what it holds; release() does so earlier.
/// Move-only. What it holds must not be released by anybody else: that would end the program in the
/// destructor. When a Lock or a Semaphore is destroyed its Guards hold nothing any more; an L of another type
/// must outlive them.
template <class L>
class [[nodiscard]] Guard {
 public:
  Guard() noexcept = default;
  /// `held` was acquired already.
  explicit Guard(L& held) noexcept { held_.reset(&held); }
  Guard(Guard&& other) noexcept { held_.reset(other.held_.release()); }
  Guard& operator=(Guard&& other) noexcept {
    Guard(std::move(other)).swap(*this);
    return *this;
  }
  ~Guard() { release(); }

  void release() {
    if (L* const held = held_.release()) held->release();
  }
  void swap(Guard& other) noexcept {
    L* const held = held_.release();
    held_.reset(other.held_.release());
    other.held_.reset(held);
  }
  /// Whether it holds anything.
  explicit operator bool() const noexcept { return held_.get() != nullptr; }

 private:
  detail::WeakLink<L> held_;
};

}  // namespace heddle

HEDDLE_HEADER_END
