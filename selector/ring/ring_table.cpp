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
  std::atomic<Chunk*>& place = chunks_[index / chunk_size];
  Chunk* chunk = place.load(std::memory_order_acquire);
  if (chunk == nullptr) {
    auto* const made = new (std::nothrow) Chunk();
    if (made == nullptr) return false;
    if (place.compare_exchange_strong(chunk, made, std::memory_order_acq_rel))
      chunk = made;
    else
      delete made;  // another thread was faster
  }
  chunk->entries[index % chunk_size].store(entry, std::memory_order_relaxed);
  return true;
}

void RingTable::remove(int fd) noexcept {
  const auto index = static_cast<unsigned>(fd);
  if (index >= most) return;
  if (Chunk* const chunk = chunks_[index / chunk_size].load(std::memory_order_acquire); chunk != nullptr)
    chunk->entries[index % chunk_size].store(0, std::memory_order_relaxed);
}

void RingTable::remove_watched(int fd, RingFile& file) noexcept {
  const auto index = static_cast<unsigned>(fd);
  if (index >= most) return;
  Chunk* const chunk = chunks_[index / chunk_size].load(std::memory_order_acquire);
  std::uintptr_t expected = reinterpret_cast<std::uintptr_t>(&file) | watched;
  if (chunk != nullptr) chunk->entries[index % chunk_size].compare_exchange_strong(expected, 0);
}

// What a closed ring has left behind is the child's as well as the parent's.
RingFile* RingTable::inherited(RingFile* file) noexcept { return file->ring == nullptr ? file : nullptr; }

void RingTable::enter_process() noexcept {
  if (mark_.is_here()) return;
  for (std::atomic<Chunk*>& place : chunks_) {
    Chunk* const chunk = place.load(std::memory_order_acquire);
    if (chunk == nullptr) continue;
    for (std::atomic<std::uintptr_t>& place_of_one : chunk->entries) {
      const std::uintptr_t entry = place_of_one.load(std::memory_order_relaxed);
      const bool kept =
          entry != 0 && (entry & marks) == 0 && reinterpret_cast<RingFile*>(entry)->ring == nullptr;
      if (!kept) place_of_one.store(0, std::memory_order_relaxed);
    }
  }
  mark_.move_here();
}

}  // namespace heddle::detail
