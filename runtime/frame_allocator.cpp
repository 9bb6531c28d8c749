// The recycling allocator's slow path: first use on a thread, empty and full classes, large blocks, thread
// exit.
// SPDX-License-Identifier: MIT
#include "frame_allocator.hpp"

#include <new>
#include <utility>

namespace heddle {

namespace {

constexpr std::size_t kept_bytes_per_class = 512 * 1024;

std::size_t class_bytes(std::size_t size) noexcept {
  return (size + FrameCache::granule - 1) / FrameCache::granule * FrameCache::granule;
}

// Opens the cache on the first slow call of a thread and empties it when the thread ends.
struct CacheLife {
  CacheLife() noexcept {
    for (std::size_t i = 0; i < FrameCache::classes; ++i)
      frame_cache.room[i] =
          static_cast<std::uint32_t>(kept_bytes_per_class / ((i + 1) * FrameCache::granule));
  }

  ~CacheLife() {
    for (std::size_t i = 0; i < FrameCache::classes; ++i) {
      frame_cache.room[i] = 0;
      while (FrameCache::Block* block = std::exchange(frame_cache.free[i], nullptr)) {
        frame_cache.free[i] = block->next;
        ::operator delete(block);
      }
    }
  }
};

void open_cache() noexcept { static thread_local const CacheLife life; }

}  // namespace

void* allocate_frame_slow(std::size_t size) {
  if (HEDDLE_RECYCLE_FRAMES) open_cache();
  return ::operator new(class_bytes(size));
}

void free_frame_slow(void* block, std::size_t) noexcept { ::operator delete(block); }

}  // namespace heddle
