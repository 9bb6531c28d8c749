// AllocationFault: an operator new that counts its calls, and fails at a chosen one. Part of heddle::testing.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <cstdint>

#include "../core/frame_allocator.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

// A program that links heddle::testing has this operator new and delete instead of the compiler's, unless it
// defines its own.

/// Whether operator new is the one of heddle::testing. False where the program, or a sanitizer, has its own:
/// then nothing below counts, and nothing fails.
HEDDLE_EXPORT bool allocations_are_observed() noexcept;
/// How often this thread has called operator new.
HEDDLE_EXPORT std::uint64_t allocations_made() noexcept;
/// How many blocks of the process were allocated and not yet given back.
HEDDLE_EXPORT std::int64_t allocations_alive() noexcept;

namespace detail {

/// While it lives, the `number`-th allocation (from 1) that its thread makes throws std::bad_alloc; those
/// after it succeed again. One a thread.
class HEDDLE_EXPORT AllocationFault {
 public:
  explicit AllocationFault(std::uint64_t number) noexcept;
  AllocationFault(const AllocationFault&) = delete;
  AllocationFault& operator=(const AllocationFault&) = delete;
  ~AllocationFault();

  /// The allocation was made, and has failed; how many bytes it was for.
  bool has_failed() const noexcept { return failed_; }
  std::size_t size() const noexcept { return size_; }

  // operator new's.
  bool fails_now(std::size_t size) noexcept;

 private:
  std::uint64_t left_;
  std::size_t size_ = 0;
  bool failed_ = false;
};

/// While it lives, allocate_frame() recycles nothing on its thread, so each coroutine is an allocation of its
/// own.
class HEDDLE_EXPORT FrameCacheBypass {
 public:
  FrameCacheBypass();
  FrameCacheBypass(const FrameCacheBypass&) = delete;
  FrameCacheBypass& operator=(const FrameCacheBypass&) = delete;
  ~FrameCacheBypass();

 private:
  FrameCache* bypassed_;
  FrameCache none_{};  // nothing in it, no room
};

}  // namespace detail

}  // namespace heddle

HEDDLE_HEADER_END
