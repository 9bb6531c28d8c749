// ByteBlock: large blocks are kept for the next one who needs one.
// SPDX-License-Identifier: MIT
#include "byte_block.hpp"

#include <atomic>
#include <bit>
#include <new>

#include "../../runtime/core/frame_allocator.hpp"

namespace heddle::detail {

namespace {

constexpr std::size_t smallest = std::size_t{32} << 10;  // less never comes from mmap(2)
constexpr unsigned classes = 4;  // each has blocks of twice the size of the one before
constexpr std::size_t most_kept = std::size_t{2} << 20;  // bytes of a class

/// The free blocks of one size. Nobody waits for it: who finds it in use does without, also in the child of a
/// fork() that came while another thread used it.
struct SizeClass {
  struct Block {
    Block* next;
  };

  std::atomic_flag used;
  Block* free = nullptr;
  std::size_t kept = 0;  // bytes

  void* take(std::size_t size) noexcept {
    if (used.test_and_set(std::memory_order_acquire)) return nullptr;
    Block* const block = free;
    if (block != nullptr) {
      free = block->next;
      kept -= size;
    }
    used.clear(std::memory_order_release);
    return block;
  }

  bool keep(void* memory, std::size_t size) noexcept {
    if (used.test_and_set(std::memory_order_acquire)) return false;
    const bool has_room = kept + size <= most_kept;
    if (has_room) {
      free = new (memory) Block{free};
      kept += size;
    }
    used.clear(std::memory_order_release);
    return has_room;
  }
};

constinit SizeClass size_classes[classes];

/// Which class has blocks for `size` bytes; `classes`: none.
unsigned class_of(std::size_t size) noexcept {
  if (HEDDLE_RECYCLE_FRAMES == 0 || size < smallest || size > smallest << (classes - 1)) return classes;
  return static_cast<unsigned>(std::bit_width((size - 1) / smallest));
}

}  // namespace

ByteBlock::ByteBlock(std::size_t size) : size_(size) {
  void* block = nullptr;
  if (const unsigned which = class_of(size); which < classes) {
    size = smallest << which;
    block = size_classes[which].take(size);
  }
  data_ = static_cast<std::byte*>(block != nullptr ? block : ::operator new(size));
}

void ByteBlock::free_block() noexcept {
  const unsigned which = class_of(size_);
  if (which < classes && size_classes[which].keep(data_, smallest << which)) return;
  ::operator delete(data_);
}

}  // namespace heddle::detail
