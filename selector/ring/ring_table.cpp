// RingTable: two levels, of which the lower are made when they are needed and never freed.
// SPDX-License-Identifier: MIT
#include "ring_table.hpp"

#include <new>

#include "ring_file.hpp"

namespace heddle::detail {

std::atomic<RingTable::Chunk*> RingTable::chunks_[RingTable::most / RingTable::chunk_size];
ProcessMark RingTable::mark_;

bool RingTable::store(int fd, std::uintptr_t entry) noexcept {
  const auto index = static_cast<unsigned>(fd);
  if (index >= most) return false;
  std::atomic<Chunk*>& chunk = chunks_[index / chunk_size];
  if (chunk.load(std::memory_order_acquire) == nullptr) {
    auto* const made = new (std::nothrow) Chunk();
    if (made == nullptr) return false;
    Chunk* none = nullptr;
    if (!chunk.compare_exchange_strong(none, made, std::memory_order_acq_rel))
      delete made;  // another was faster
  }
  place_of(fd)->store(entry, std::memory_order_relaxed);
  return true;
}

void RingTable::remove(int fd) noexcept {
  if (std::atomic<std::uintptr_t>* const place = place_of(fd)) place->store(0, std::memory_order_relaxed);
}

void RingTable::remove_watched(int fd, RingFile& file) noexcept {
  std::uintptr_t expected = reinterpret_cast<std::uintptr_t>(&file) | watched;
  if (std::atomic<std::uintptr_t>* const place = place_of(fd)) place->compare_exchange_strong(expected, 0);
}

// What a closed ring has left behind is the child's as well as the parent's.
RingFile* RingTable::inherited(RingFile* file) noexcept { return file->ring == nullptr ? file : nullptr; }

void RingTable::enter_process() noexcept {
  if (mark_.is_here()) return;
  for (std::atomic<Chunk*>& place : chunks_) {
    Chunk* const chunk = place.load(std::memory_order_acquire);
    if (chunk == nullptr) continue;
    for (std::atomic<std::uintptr_t>& one : chunk->entries) {
      const std::uintptr_t entry = one.load(std::memory_order_relaxed);
      const bool kept =
          entry != 0 && (entry & marks) == 0 && reinterpret_cast<RingFile*>(entry)->ring == nullptr;
      if (!kept) one.store(0, std::memory_order_relaxed);
    }
  }
  mark_.move_here();
}

}  // namespace heddle::detail
