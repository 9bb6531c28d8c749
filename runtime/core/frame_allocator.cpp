// The recycling allocator's slow path: first use on a thread, empty and full classes, large blocks, thread
// exit.
// SPDX-License-Identifier: MIT
#include "frame_allocator.hpp"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <utility>

#include "frame_store.hpp"

namespace heddle::detail {

namespace {

constinit const FrameCache no_cache{};

}  // namespace

constinit thread_local FrameCache* frame_cache = const_cast<FrameCache*>(&no_cache);

namespace {

using Block = FrameCache::Block;

constexpr std::size_t kept_bytes_per_class = 512 * 1024;

std::size_t class_bytes(std::size_t size) noexcept {
  return (size + FrameCache::granule - 1) / FrameCache::granule * FrameCache::granule;
}

// What is moved between a cache and the store at once: a page, about.
unsigned batch_of(std::size_t bytes) noexcept {
  return static_cast<unsigned>(std::clamp<std::size_t>(4096 / bytes, 8, 64));
}

// To whom they belong.
void release(Block* blocks) noexcept {
  Block* stored = nullptr;
  while (Block* const block = blocks) {
    blocks = block->next;
    if (FrameStore::owns(block))
      block->next = std::exchange(stored, block);
    else
      ::operator delete(block);
  }
  if (stored != nullptr) FrameStore::give_back(stored);
}

constexpr FrameCache opened_cache() noexcept {
  FrameCache cache{};
  for (std::size_t i = 0; i < FrameCache::classes; ++i)
    cache.room[i] = static_cast<std::int32_t>(kept_bytes_per_class / ((i + 1) * FrameCache::granule));
  cache.open = true;
  return cache;
}

constinit const FrameCache first_of_a_thread = opened_cache();

// Makes the cache on the first slow call of a thread and frees it, with what is in it, when the thread ends.
// Other objects of the thread may be destroyed later and free frames: they find no cache, and the store takes
// each.
struct CacheLife {
  // Not operator new's: it is no leak of the code that happened to allocate first, and that a test watches.
  CacheLife() noexcept : own(static_cast<FrameCache*>(std::malloc(sizeof(FrameCache)))) {
    if (own != nullptr) frame_cache = ::new (own) FrameCache(first_of_a_thread);
  }
  CacheLife(const CacheLife&) = delete;
  CacheLife& operator=(const CacheLife&) = delete;

  ~CacheLife() {
    if (own == nullptr) return;
    frame_cache = const_cast<FrameCache*>(&no_cache);
    for (Block* const blocks : own->free) release(blocks);
    std::free(own);
  }

  FrameCache* const own;
};

void open_cache() noexcept { static thread_local const CacheLife life; }

}  // namespace

void* allocate_frame_alone(std::size_t size) { return ::operator new(class_bytes(size)); }

void* allocate_frame_slow(std::size_t size) {
  if (!HEDDLE_RECYCLE_FRAMES) return allocate_frame_alone(size);
  open_cache();
  const std::size_t bytes = class_bytes(size);
  if (bytes <= FrameStore::largest && frame_cache->open) {
    unsigned count = batch_of(bytes);
    if (Block* const first = FrameStore::take(bytes, count)) {
      const std::size_t size_class = (size - 1) / FrameCache::granule;
      frame_cache->free[size_class] = first->next;  // there was none
      frame_cache->room[size_class] -= static_cast<std::int32_t>(count - 1);
      return first;
    }
  }
  return allocate_frame_alone(size);
}

void free_frame_slow(void* block, std::size_t size) noexcept {
  auto* const given = static_cast<Block*>(block);
  given->next = nullptr;
  const std::size_t size_class = (size - 1) / FrameCache::granule;
  if (size_class < FrameCache::classes && frame_cache->open && frame_cache->room[size_class] == 0) {
    // The next ones find room again.
    Block** end = &given->next;
    for (unsigned count = batch_of(class_bytes(size)); count > 1 && frame_cache->free[size_class] != nullptr;
         --count) {
      *end = frame_cache->free[size_class];
      end = &(*end)->next;
      frame_cache->free[size_class] = *end;
      ++frame_cache->room[size_class];
    }
    *end = nullptr;
  }
  release(given);
}

}  // namespace heddle::detail
