// ReceiveBuffers, ReceiveQueue: buffers on their way from the kernel to a reader and back.
// SPDX-License-Identifier: MIT
#if defined(HEDDLE_HAVE_URING)

#include "receive_buffers.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <new>

#include "../errors.hpp"
#include "uring_queue.hpp"

namespace heddle::detail {

namespace {

constexpr std::size_t ring_bytes = ReceiveBuffers::count * sizeof(io_uring_buf);
// What is no longer than this is copied behind what has come before, instead of keeping a buffer for it.
constexpr std::uint32_t small = 2048;

void* map(std::size_t size) {
  void* const memory =
      ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return memory;
}

}  // namespace

ReceiveBuffers::ReceiveBuffers(UringQueue& queue) {
  ring_ = static_cast<io_uring_buf_ring*>(map(ring_bytes));
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<std::uint64_t>(ring_);
  registration.ring_entries = count;
  registration.bgid = group;
  const int error = -::io_uring_register_buf_ring(&queue.ring(), &registration, 0);
  if (error == 0) try {
      memory_ = static_cast<std::byte*>(map(count * stride));
    } catch (const std::bad_alloc&) {
    }
  if (memory_ == nullptr) {
    ::munmap(ring_, ring_bytes);
    if (error == 0) throw std::bad_alloc();
    throw_errno(error, "io_uring_register (provided buffers)", -1);
  }
  io_uring_buf_ring_init(ring_);
  for (std::uint16_t i = count; i > 0; --i) give_back(static_cast<std::uint16_t>(i - 1));
  provide();
}

ReceiveBuffers::~ReceiveBuffers() {
  ::munmap(memory_, count * stride);
  ::munmap(ring_, ring_bytes);
}

void ReceiveBuffers::provide() noexcept {
  int added = 0;
  while (provided_ < wanted_ && top_ != none) {
    const std::uint16_t index = top_;
    top_ = links_[index];
    --spare_;
    ++provided_;
    io_uring_buf_ring_add(ring_, data(index), size, index, io_uring_buf_ring_mask(count), added++);
  }
  if (added > 0) io_uring_buf_ring_advance(ring_, added);
}

bool ReceiveBuffers::provide_more() noexcept {
  wanted_ = static_cast<std::uint16_t>(std::min<unsigned>(count, 2U * wanted_));
  provide();
  return provided_ > 0;
}

namespace {

constinit std::atomic<ReceiveBuffers*> left_to_kernel{nullptr};

}  // namespace

void ReceiveBuffers::leave_to_kernel(ReceiveBuffers& buffers) noexcept {
  buffers.next_left_ = left_to_kernel.load();
  while (!left_to_kernel.compare_exchange_weak(buffers.next_left_, &buffers)) {
  }
}

void ReceiveQueue::append(ReceiveBuffers& buffers, std::uint16_t index, std::uint32_t length) noexcept {
  bytes_ += length;
  if (buffers_ > 0 && length <= small) {
    std::uint32_t& end = buffers.lengths_[last_];
    if (end + length <= ReceiveBuffers::size) {
      std::memcpy(buffers.data(last_) + end, buffers.data(index), length);
      end += length;
      buffers.give_back(index);
      return;
    }
  }
  buffers.lengths_[index] = length;
  buffers.links_[index] = ReceiveBuffers::none;
  if (buffers_++ == 0) {
    first_ = index;
    begin_ = 0;
  } else {
    buffers.links_[last_] = index;
  }
  last_ = index;
}

std::size_t ReceiveQueue::take(ReceiveBuffers* buffers, std::byte* data, std::size_t size,
                               bool peek) noexcept {
  std::size_t taken = 0;
  if (kept_ != nullptr) {
    taken = std::min<std::size_t>(size, kept_end_ - kept_begin_);
    std::memcpy(data, kept_ + kept_begin_, taken);
    if (!peek) {
      kept_begin_ += static_cast<std::uint32_t>(taken);
      bytes_ -= taken;
      if (kept_begin_ == kept_end_) {
        delete[] kept_;
        kept_ = nullptr;
      }
    }
  }
  std::uint16_t index = first_;
  std::uint32_t begin = begin_;
  for (unsigned left = buffers_; left > 0 && taken < size; --left) {
    const std::uint32_t end = buffers->lengths_[index];
    const auto part = static_cast<std::uint32_t>(std::min<std::size_t>(size - taken, end - begin));
    std::memcpy(data + taken, buffers->data(index) + begin, part);
    taken += part;
    if (!peek) bytes_ -= part;
    if (begin + part < end) {
      if (!peek) begin_ = begin + part;
      break;
    }
    const std::uint16_t next = buffers->links_[index];
    if (!peek) {
      buffers->give_back(index);
      first_ = next;
      begin_ = 0;
      --buffers_;
    }
    index = next;
    begin = 0;
  }
  return taken;
}

void ReceiveQueue::clear(ReceiveBuffers* buffers) noexcept {
  delete[] kept_;
  kept_ = nullptr;
  for (; buffers_ > 0; --buffers_) {
    const std::uint16_t next = buffers->links_[first_];
    buffers->give_back(first_);
    first_ = next;
  }
  bytes_ = 0;
}

bool ReceiveQueue::keep(ReceiveBuffers& buffers) noexcept {
  if (buffers_ == 0) return true;
  const std::size_t size = bytes_;
  auto* const block = new (std::nothrow) std::byte[size];
  if (block != nullptr) take(&buffers, block, size, false);
  clear(&buffers);
  kept_ = block;
  kept_begin_ = 0;
  bytes_ = block != nullptr ? size : 0;
  kept_end_ = static_cast<std::uint32_t>(bytes_);
  return block != nullptr;
}

}  // namespace heddle::detail

#endif
