// FrameStore: where the threads' frame caches get small blocks from, many at a time, and give them back to.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "frame_allocator.hpp"

namespace heddle::detail {

/// Blocks without anything between them, in spans of one size each, which lie side by side in one range of
/// addresses: so a task takes no more memory than it has bytes, and a block tells by its address what it
/// belongs to. What is wholly free goes back to the system, but for some megabytes. Any thread; behind one
/// mutex, which is taken once for many blocks.
struct FrameStore {
  /// Larger blocks are operator new's.
  static constexpr std::size_t largest = 512;

  /// Up to `count` blocks of `size` bytes, a multiple of FrameCache::granule, linked by `next`; `count` says
  /// how many. nullptr: no memory here, or a system without room for the range.
  static FrameCache::Block* take(std::size_t size, unsigned& count) noexcept;
  static bool owns(const void* block) noexcept;
  /// All of these must be its own; of any sizes.
  static void give_back(FrameCache::Block* blocks) noexcept;
};

}  // namespace heddle::detail
