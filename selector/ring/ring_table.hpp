// RingTable: which TCP socket of the process a ring takes care of, by descriptor. For .cpp files only.
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
  /// nullptr: the descriptor is the kernel's alone.
  static RingFile* find(int fd) noexcept {
    const auto index = static_cast<unsigned>(fd);
    if (index >= most) return nullptr;
    const Chunk* const chunk = chunks_[index / chunk_size].load(std::memory_order_acquire);
    if (chunk == nullptr) return nullptr;
    RingFile* const file = chunk->files[index % chunk_size].load(std::memory_order_relaxed);
    if (reinterpret_cast<std::uintptr_t>(file) <= 1) return nullptr;
    return mark_.is_here() ? file : inherited(file);
  }
  /// Notes that this process has connected it, until it is set or removed.
  static void note_client(int fd) noexcept { set(fd, reinterpret_cast<RingFile*>(1)); }
  static bool is_noted_client(int fd) noexcept;
  /// False: there is no memory, or the number is beyond the table.
  static bool set(int fd, RingFile* file) noexcept;
  static void remove(int fd) noexcept;
  /// A ring is made: in the child of a fork(), what the parent's rings take care of is forgotten.
  static void enter_process() noexcept;

 private:
  static constexpr unsigned chunk_size = 1024;
  static constexpr unsigned most = chunk_size * 1024;
  struct Chunk {
    std::atomic<RingFile*> files[chunk_size];
  };
  static RingFile* inherited(RingFile* file) noexcept;
  static std::atomic<Chunk*> chunks_[most / chunk_size];
  static ProcessMark mark_;
};

}  // namespace heddle::detail
