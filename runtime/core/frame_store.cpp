// FrameStore: the range, its spans, and what is free in them.
// SPDX-License-Identifier: MIT
#include "frame_store.hpp"

#include <pthread.h>
#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <utility>

#include "../../selector/immortal.hpp"

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif
#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

namespace heddle::detail {

namespace {

using Block = FrameCache::Block;

constexpr std::size_t span_bytes = 64 * 1024;
// The system gives and takes memory by chunks.
constexpr std::size_t chunk_bytes = 2 * 1024 * 1024;
constexpr std::uint32_t spans_in_chunk = chunk_bytes / span_bytes;
// Only addresses; on 32 bits there aren't so many.
constexpr std::size_t range_bytes = sizeof(void*) >= 8 ? std::size_t{16} << 30 : 0;
constexpr std::uint32_t most_spans = static_cast<std::uint32_t>(range_bytes / span_bytes);
// Where there is that much, another span will soon be full: its pages are asked for at once and not by a
// fault each. (Huge pages would spare the TLB some misses; but to get one takes half a millisecond at times.)
constexpr std::uint32_t small_chunks = 8;
constexpr std::uint32_t idle_chunks_kept = 4;
constexpr std::uint32_t none = ~std::uint32_t{0};

// Kept apart from the blocks: at the head of each span they would all fall into the same few sets of the
// caches.
struct Span {
  Block* free = nullptr;
  std::uint32_t next = none, previous = none;  // with some room, of the same size; or free
  std::uint16_t used = 0;
  std::uint16_t carved = 0;  // blocks that were ever handed out
  std::uint16_t granules = 0;
};

struct Store {
  std::mutex mutex;
  bool failed = range_bytes == 0;
  char* base = nullptr;
  Span* spans = nullptr;
  std::uint32_t* used_in_chunk = nullptr;  // spans
  std::uint32_t made = 0;                  // spans that were ever in use
  std::uint32_t free_spans = none;
  std::uint32_t idle_chunks = 0;
  std::uint32_t with_room[FrameStore::largest / FrameCache::granule + 1];

  bool open() noexcept;
  std::uint32_t span_for(std::size_t size) noexcept;
  bool more_spans() noexcept;
  void free_span(std::uint32_t number) noexcept;

  void link(std::uint32_t& list, std::uint32_t number) noexcept {
    Span& span = spans[number];
    span.previous = none;
    span.next = list;
    if (list != none) spans[list].previous = number;
    list = number;
  }
  void unlink(std::uint32_t& list, std::uint32_t number) noexcept {
    const Span& span = spans[number];
    (span.previous != none ? spans[span.previous].next : list) = span.next;
    if (span.next != none) spans[span.next].previous = span.previous;
  }
  char* start_of(std::uint32_t number) const noexcept { return base + std::size_t{number} * span_bytes; }
};

constinit Immortal<Store> immortal;
constexpr Store& store() noexcept { return immortal.value; }
constinit std::atomic<std::uintptr_t> range{0};  // its first address, once it is there

// A child of fork() finds the mutex unlocked and the lists in order.
[[maybe_unused]] const int fork_handlers = ::pthread_atfork(
    [] { store().mutex.lock(); }, [] { store().mutex.unlock(); }, [] { store().mutex.unlock(); });

void* map(std::size_t bytes, int protection) noexcept {
  void* const address =
      ::mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return address == MAP_FAILED ? nullptr : address;
}

bool Store::open() noexcept {
  if (base != nullptr) return true;
  if (std::exchange(failed, true)) return false;
  void* const addresses = map(range_bytes + chunk_bytes, PROT_NONE);
  if (addresses == nullptr) return false;
  const std::size_t table_bytes =
      most_spans * sizeof(Span) + most_spans / spans_in_chunk * sizeof(std::uint32_t);
  void* const table = map(table_bytes, PROT_READ | PROT_WRITE);
  if (table == nullptr) {
    ::munmap(addresses, range_bytes + chunk_bytes);
    return false;
  }
  const auto first =
      (reinterpret_cast<std::uintptr_t>(addresses) + chunk_bytes - 1) / chunk_bytes * chunk_bytes;
  base = reinterpret_cast<char*>(first);
  spans = static_cast<Span*>(table);
  used_in_chunk = reinterpret_cast<std::uint32_t*>(spans + most_spans);
  for (std::uint32_t& list : with_room) list = none;
  failed = false;
  range.store(first, std::memory_order_release);
  return true;
}

bool Store::more_spans() noexcept {
  if (made == most_spans) return false;
  char* const chunk = start_of(made);
  if (::mprotect(chunk, chunk_bytes, PROT_READ | PROT_WRITE) != 0) return false;
  for (std::uint32_t i = spans_in_chunk; i-- > 0;) link(free_spans, made + i);
  made += spans_in_chunk;
  ++idle_chunks;
  return true;
}

// One with room for a block of that size, or none.
std::uint32_t Store::span_for(std::size_t size) noexcept {
  const std::size_t granules = size / FrameCache::granule;
  std::uint32_t& list = with_room[granules];
  if (list != none) return list;
  if (free_spans == none && !more_spans()) return none;
  const std::uint32_t number = free_spans;
  unlink(free_spans, number);
  if (used_in_chunk[number / spans_in_chunk]++ == 0) --idle_chunks;
  Span& span = spans[number];
  span.free = nullptr;
  span.used = span.carved = 0;
  span.granules = static_cast<std::uint16_t>(granules);
  link(list, number);
#ifdef MADV_POPULATE_WRITE
  if (number >= small_chunks * spans_in_chunk) ::madvise(start_of(number), span_bytes, MADV_POPULATE_WRITE);
#endif
  return number;
}

void Store::free_span(std::uint32_t number) noexcept {
  unlink(with_room[spans[number].granules], number);
  link(free_spans, number);
  const std::uint32_t chunk = number / spans_in_chunk;
  if (--used_in_chunk[chunk] != 0 || ++idle_chunks <= idle_chunks_kept) return;
  ::madvise(start_of(chunk * spans_in_chunk), chunk_bytes, MADV_DONTNEED);
}

}  // namespace

Block* FrameStore::take(std::size_t size, unsigned& count) noexcept {
  const std::lock_guard lock(store().mutex);
  Block* first = nullptr;
  Block** last = &first;
  unsigned taken = 0;
  if (store().open()) {
    const auto most = static_cast<std::uint16_t>(span_bytes / size);
    while (taken < count) {
      const std::uint32_t number = store().span_for(size);
      if (number == none) break;
      Span& span = store().spans[number];
      for (; taken < count && span.used < most; ++taken, ++span.used) {
        Block* block = span.free;
        if (block != nullptr)
          span.free = block->next;
        else
          block = reinterpret_cast<Block*>(store().start_of(number) + span.carved++ * size);
        *last = block;
        last = &block->next;
      }
      if (span.used == most) store().unlink(store().with_room[span.granules], number);
    }
  }
  *last = nullptr;
  count = taken;
  return first;
}

bool FrameStore::owns(const void* block) noexcept {
  const std::uintptr_t first = range.load(std::memory_order_acquire);
  return first != 0 && reinterpret_cast<std::uintptr_t>(block) - first < range_bytes;
}

void FrameStore::give_back(Block* blocks) noexcept {
  const std::lock_guard lock(store().mutex);
  while (Block* const block = blocks) {
    blocks = block->next;
    const auto number = static_cast<std::uint32_t>(
        static_cast<std::size_t>(reinterpret_cast<char*>(block) - store().base) / span_bytes);
    Span& span = store().spans[number];
    const std::size_t most = span_bytes / (span.granules * FrameCache::granule);
    if (span.used == most) store().link(store().with_room[span.granules], number);
    block->next = span.free;
    span.free = block;
    if (--span.used == 0) store().free_span(number);
  }
}

}  // namespace heddle::detail
