// SendQueue, SendBuffers: bytes on their way from a writer to the kernel.
// SPDX-License-Identifier: MIT
#include "send_queue.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace heddle::detail {

SendBuffers::~SendBuffers() {
  while (top_ != nullptr) delete std::exchange(top_, top_->next);
}

SendBuffer* SendBuffers::get() noexcept {
  SendBuffer* buffer = top_;
  if (buffer != nullptr) {
    top_ = buffer->next;
    --spare_;
  } else {
    buffer = new (std::nothrow) SendBuffer;
    if (buffer == nullptr) return nullptr;
  }
  buffer->next = nullptr;
  buffer->begin = buffer->end = 0;
  return buffer;
}

void SendBuffers::give_back(SendBuffer& buffer) noexcept {
  if (spare_ == most_spare) {
    delete &buffer;
    return;
  }
  buffer.next = top_;
  top_ = &buffer;
  ++spare_;
}

std::size_t SendQueue::append(SendBuffers& buffers, const std::byte* data, std::size_t size) noexcept {
  size = std::min(size, room());
  std::size_t taken = 0;
  while (taken < size) {
    if (last_ == nullptr || last_->end == SendBuffer::size) {
      SendBuffer* const more = buffers.get();
      if (more == nullptr) break;
      (last_ == nullptr ? first_ : last_->next) = more;
      last_ = more;
    }
    const std::size_t part = std::min(size - taken, SendBuffer::size - last_->end);
    std::memcpy(last_->data + last_->end, data + taken, part);
    last_->end += static_cast<std::uint32_t>(part);
    taken += part;
  }
  bytes_ += taken;
  return taken;
}

void SendQueue::sent(SendBuffers& buffers, std::size_t size) noexcept {
  bytes_ -= size;
  first_->begin += static_cast<std::uint32_t>(size);
  if (first_->begin != first_->end) return;
  SendBuffer& done = *first_;
  first_ = done.next;
  if (first_ == nullptr) last_ = nullptr;
  buffers.give_back(done);
}

void SendQueue::clear(SendBuffers& buffers) noexcept {
  while (first_ != nullptr) buffers.give_back(*std::exchange(first_, first_->next));
  last_ = nullptr;
  bytes_ = 0;
}

}  // namespace heddle::detail
