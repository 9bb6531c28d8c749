// RingTable: which sockets of the process a ring takes care of, by descriptor. For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

#include "../process_mark.hpp"

namespace heddle::detail {

struct RingFile;

/// One for the process, because a socket may be closed without its loop, or after it. An entry is read and
/// changed by the thread that may use the descriptor, others' entries beside it by other threads.
class RingTable {
 public:
  /// The stream whose bytes go through a ring. nullptr: it is read and written as ever.
  static RingFile* find(int fd) noexcept {
    const std::uintptr_t entry = entry_of(fd);
    if (entry == 0 || (entry & marks) != 0) return nullptr;
    auto* const file = reinterpret_cast<RingFile*>(entry);
    return mark_.is_here() ? file : inherited(file);
  }
  /// Another socket, of which a ring is to be told when a write has found no room; nullptr: of none.
  static RingFile* find_watched(int fd) noexcept {
    const std::uintptr_t entry = entry_of(fd);
    return (entry & watched) != 0 && mark_.is_here() ? reinterpret_cast<RingFile*>(entry & ~marks) : nullptr;
  }
  static bool is_noted_client(int fd) noexcept { return entry_of(fd) == client; }
  /// Notes that this process has connected it, until it is set or removed.
  static void note_client(int fd) noexcept {
    if (entry_of(fd) == 0) store(fd, client);
  }
  /// False: there is no memory, or the number is beyond the table.
  static bool set(int fd, RingFile& file) noexcept {
    return store(fd, reinterpret_cast<std::uintptr_t>(&file));
  }
  static bool set_watched(int fd, RingFile& file) noexcept {
    return store(fd, reinterpret_cast<std::uintptr_t>(&file) | watched);
  }
  static void remove(int fd) noexcept;
  /// Nothing where the number is another socket's by now.
  static void remove_watched(int fd, RingFile& file) noexcept;
  /// A ring is made: in the child of a fork(), what the parent's rings take care of is forgotten.
  static void enter_process() noexcept;

 private:
  static constexpr unsigned chunk_size = 1024;
  static constexpr unsigned most = chunk_size * 1024;
  static constexpr std::uintptr_t client = 1, watched = 2, marks = 3;  // beside, or in, the address of a file
  struct Chunk {
    std::atomic<std::uintptr_t> entries[chunk_size];
  };
  /// nullptr: nothing was ever stored near it.
  static std::atomic<std::uintptr_t>* place_of(int fd) noexcept {
    const auto index = static_cast<unsigned>(fd);
    if (index >= most) return nullptr;
    Chunk* const chunk = chunks_[index / chunk_size].load(std::memory_order_acquire);
    return chunk == nullptr ? nullptr : &chunk->entries[index % chunk_size];
  }
  static std::uintptr_t entry_of(int fd) noexcept {
    const std::atomic<std::uintptr_t>* const place = place_of(fd);
    return place == nullptr ? 0 : place->load(std::memory_order_relaxed);
  }
  static bool store(int fd, std::uintptr_t entry) noexcept;
  static RingFile* inherited(RingFile* file) noexcept;
  static std::atomic<Chunk*> chunks_[most / chunk_size];
  static ProcessMark mark_;
};

}  // namespace heddle::detail
