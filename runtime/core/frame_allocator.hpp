// allocate_frame / free_frame: a recycling allocator, one per thread, for coroutine frames and other
// short-lived blocks.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <cstdint>
#include <new>

// A recycled block hides a use after free from the sanitizers, so under them every block comes from operator
// new.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HEDDLE_RECYCLE_FRAMES 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define HEDDLE_RECYCLE_FRAMES 0
#endif
#endif
#ifndef HEDDLE_RECYCLE_FRAMES
#define HEDDLE_RECYCLE_FRAMES 1
#endif

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// The free blocks of one thread, by size class. Small blocks come from a store that all threads share,
/// others from operator new, all in the full size of their class. A block may be freed on another thread than
/// it was allocated on, and by code that was compiled without recycling.
struct FrameCache {
  static constexpr std::size_t granule = 16;
  static constexpr std::size_t classes =
      128;  ///< blocks of up to 2 KiB are recycled; larger ones go to operator new

  struct Block {
    Block* next;
  };

  Block* free[classes];
  std::int32_t room[classes];  ///< how many more blocks a class may keep
  bool open;                   ///< blocks may come and go by the batch
};

/// The thread's own from its first slow call to its end. Before and after, one for all: nothing comes from
/// it, and it has no room, so nobody writes to it. A pointer, because static TLS is scarce.
[[gnu::tls_model("initial-exec")]] HEDDLE_EXPORT extern constinit thread_local FrameCache* frame_cache;

HEDDLE_EXPORT void* allocate_frame_slow(std::size_t size);
HEDDLE_EXPORT void* allocate_frame_alone(std::size_t size);
HEDDLE_EXPORT void free_frame_slow(void* block, std::size_t size) noexcept;

/// A block of at least `size` bytes, aligned as operator new aligns. Throws std::bad_alloc.
inline void* allocate_frame(std::size_t size) {
#if HEDDLE_RECYCLE_FRAMES
  const std::size_t size_class = (size - 1) / FrameCache::granule;
  if (size_class < FrameCache::classes) [[likely]] {
    FrameCache& cache = *frame_cache;
    if (FrameCache::Block* block = cache.free[size_class]) [[likely]] {
      cache.free[size_class] = block->next;
      ++cache.room[size_class];
      return block;
    }
  }
  return allocate_frame_slow(size);
#else
  return allocate_frame_alone(size);
#endif
}

/// Gives back a block of allocate_frame; `size` is what was asked for then.
inline void free_frame(void* block, std::size_t size) noexcept {
#if HEDDLE_RECYCLE_FRAMES
  const std::size_t size_class = (size - 1) / FrameCache::granule;
  if (size_class < FrameCache::classes) [[likely]] {
    FrameCache& cache = *frame_cache;
    if (cache.room[size_class] > 0) [[likely]] {
      --cache.room[size_class];
      auto* head = static_cast<FrameCache::Block*>(block);
      head->next = cache.free[size_class];
      cache.free[size_class] = head;
      return;
    }
  }
#endif
  free_frame_slow(block, size);
}

/// A base for heap objects that come and go as often as frames do. Those that have to be aligned further than
/// a frame aren't recycled.
struct FrameAllocated {
  static void* operator new(std::size_t size) { return allocate_frame(size); }
  static void operator delete(void* block, std::size_t size) noexcept { free_frame(block, size); }
  static void* operator new(std::size_t size, std::align_val_t alignment) {
    return ::operator new(size, alignment);
  }
  static void operator delete(void* block, std::size_t /*size*/, std::align_val_t alignment) noexcept {
    ::operator delete(block, alignment);
  }
};

/// Whether a T may lie in a coroutine's frame, as its local, its parameter or what a co_await yields. Frames
/// are aligned as operator new aligns: GCC and Clang ask for no more, whatever lies in them (P2014 would have
/// them ask; Clang does with -fcoro-aligned-allocation alone).
template <class T>
inline constexpr bool fits_in_frame = alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__;
template <>
inline constexpr bool fits_in_frame<void> = true;

}  // namespace heddle::detail

HEDDLE_HEADER_END
