// Operator new and delete in all their forms: a sanitizer's version of one left out wouldn't match ours.
// SPDX-License-Identifier: MIT
#include "allocation_faults.hpp"

#include <atomic>
#include <cstdlib>
#include <new>
#include <utility>

namespace {

constinit thread_local std::uint64_t made = 0;
constinit thread_local heddle::detail::AllocationFault* fault = nullptr;
constinit std::atomic<std::int64_t> alive{0};

void* try_allocate(std::size_t size, std::size_t alignment) noexcept {
  ++made;
  if (fault != nullptr && fault->fails_now(size)) return nullptr;
  if (size == 0) size = 1;
  void* const block = alignment <= __STDCPP_DEFAULT_NEW_ALIGNMENT__
                          ? std::malloc(size)
                          : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (block != nullptr) alive.fetch_add(1, std::memory_order_relaxed);
  return block;
}

void* allocate(std::size_t size, std::size_t alignment) {
  if (void* const block = try_allocate(size, alignment)) return block;
  throw std::bad_alloc();
}

void give_back(void* block) noexcept {
  if (block == nullptr) return;
  alive.fetch_sub(1, std::memory_order_relaxed);
  std::free(block);
}

constexpr std::size_t usual = __STDCPP_DEFAULT_NEW_ALIGNMENT__;
constexpr std::size_t bytes(std::align_val_t alignment) { return static_cast<std::size_t>(alignment); }

}  // namespace

// Weak: a program's own come first.
#define HEDDLE_REPLACED [[gnu::weak]]
using Align = std::align_val_t;
using NoThrow = std::nothrow_t;
using Size = std::size_t;

HEDDLE_REPLACED void* operator new(Size size) { return allocate(size, usual); }
HEDDLE_REPLACED void* operator new[](Size size) { return allocate(size, usual); }
HEDDLE_REPLACED void* operator new(Size size, Align align) { return allocate(size, bytes(align)); }
HEDDLE_REPLACED void* operator new[](Size size, Align align) { return allocate(size, bytes(align)); }
HEDDLE_REPLACED void* operator new(Size size, const NoThrow&) noexcept { return try_allocate(size, usual); }
HEDDLE_REPLACED void* operator new[](Size size, const NoThrow&) noexcept { return try_allocate(size, usual); }
HEDDLE_REPLACED void* operator new(Size size, Align align, const NoThrow&) noexcept {
  return try_allocate(size, bytes(align));
}
HEDDLE_REPLACED void* operator new[](Size size, Align align, const NoThrow&) noexcept {
  return try_allocate(size, bytes(align));
}
HEDDLE_REPLACED void operator delete(void* block) noexcept { give_back(block); }
HEDDLE_REPLACED void operator delete[](void* block) noexcept { give_back(block); }
HEDDLE_REPLACED void operator delete(void* block, Size) noexcept { give_back(block); }
HEDDLE_REPLACED void operator delete[](void* block, Size) noexcept { give_back(block); }
HEDDLE_REPLACED void operator delete(void* block, Align) noexcept { give_back(block); }
HEDDLE_REPLACED void operator delete[](void* block, Align) noexcept { give_back(block); }
HEDDLE_REPLACED void operator delete(void* block, Size, Align) noexcept { give_back(block); }
HEDDLE_REPLACED void operator delete[](void* block, Size, Align) noexcept { give_back(block); }
HEDDLE_REPLACED void operator delete(void* block, const NoThrow&) noexcept { give_back(block); }
HEDDLE_REPLACED void operator delete[](void* block, const NoThrow&) noexcept { give_back(block); }
HEDDLE_REPLACED void operator delete(void* block, Align, const NoThrow&) noexcept { give_back(block); }
HEDDLE_REPLACED void operator delete[](void* block, Align, const NoThrow&) noexcept { give_back(block); }

namespace heddle {

using namespace detail;

bool allocations_are_observed() noexcept {
  const std::uint64_t before = made;
  // Through a pointer: the compiler may leave out a pair of new and delete that nobody needs.
  void* (*const volatile allocates)(std::size_t) = &::operator new;
  try {
    ::operator delete(allocates(1));
  } catch (const std::bad_alloc&) {
  }
  return made != before;
}

std::uint64_t allocations_made() noexcept { return made; }
std::int64_t allocations_alive() noexcept { return alive.load(std::memory_order_relaxed); }

AllocationFault::AllocationFault(std::uint64_t number) noexcept : left_(number) { fault = this; }
AllocationFault::~AllocationFault() { fault = nullptr; }

bool AllocationFault::fails_now(std::size_t size) noexcept {
  if (left_ == 0 || --left_ != 0) return false;
  size_ = size;
  failed_ = true;
  return true;
}

FrameCacheBypass::FrameCacheBypass() {
  free_frame(allocate_frame(1), 1);  // the first of a thread makes its cache
  bypassed_ = std::exchange(frame_cache, &none_);
}

FrameCacheBypass::~FrameCacheBypass() { frame_cache = bypassed_; }

}  // namespace heddle
