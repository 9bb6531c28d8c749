// ReceiveBuffers: the buffers that the kernel receives into, and ReceiveQueue: a connection's, as they came.
// For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

struct io_uring_buf_ring;

namespace heddle::detail {

class UringQueue;

/// Buffers of one size. A few are with the kernel, which fills them in the order in which they were provided;
/// the others are kept last in, first out, so that those in use stay in the processor's caches.
class ReceiveBuffers {
 public:
  static constexpr std::uint16_t count = 1024;
  static constexpr std::size_t size = 16 << 10;
  static constexpr int group = 0;
  static constexpr std::uint16_t none = 0xFFFF;

  /// Throws std::system_error where the kernel doesn't know provided buffers, std::bad_alloc.
  explicit ReceiveBuffers(UringQueue& queue);
  ReceiveBuffers(const ReceiveBuffers&) = delete;
  /// The queue must be gone by then.
  ~ReceiveBuffers();

  /// Gives the kernel as many as it is to have.
  void provide() noexcept;
  /// The kernel has filled one.
  void taken() noexcept { --provided_; }
  void give_back(std::uint16_t index) noexcept { links_[index] = top_, top_ = index, ++spare_; }
  /// The kernel had none left. True if it has more now.
  bool provide_more() noexcept;

  std::byte* data(std::uint16_t index) const noexcept { return memory_ + index * stride; }
  std::uint16_t& link(std::uint16_t index) noexcept { return links_[index]; }

  /// Never frees them: the kernel may still fill one. They stay reachable, as they are no leak.
  static void leave_to_kernel(ReceiveBuffers& buffers) noexcept;

 private:
  friend class ReceiveQueue;
  // Not a power of two, or the beginnings of all buffers would share one set of the caches.
  static constexpr std::size_t stride = size + 128;

  io_uring_buf_ring* ring_ = nullptr;  // shared with the kernel
  std::byte* memory_ = nullptr;
  std::uint16_t top_ = none;
  std::uint16_t spare_ = 0;
  std::uint16_t provided_ = 0;
  std::uint16_t wanted_ = 16;  // with the kernel
  std::uint16_t links_[count];
  std::uint32_t lengths_[count];
  ReceiveBuffers* next_left_ = nullptr;
};

/// What has come on a connection and wasn't read yet.
class ReceiveQueue {
 public:
  /// Of buffers; the kernel is to bring no more then. It may bring as many again until it knows.
  static constexpr unsigned most = 8;

  bool empty() const noexcept { return bytes_ == 0; }
  std::size_t size() const noexcept { return bytes_; }
  bool is_full() const noexcept { return buffers_ >= most; }
  void append(ReceiveBuffers& buffers, std::uint16_t index, std::uint32_t length) noexcept;
  /// Copies up to `size` bytes, and forgets them unless `peek`. `buffers`: as for append(); nullptr after
  /// keep().
  std::size_t take(ReceiveBuffers* buffers, std::byte* data, std::size_t size, bool peek) noexcept;
  void clear(ReceiveBuffers* buffers) noexcept;
  /// Copies all into memory of its own, for when the buffers go. False: there is no memory, and they are
  /// lost.
  bool keep(ReceiveBuffers& buffers) noexcept;

 private:
  std::size_t bytes_ = 0;
  std::byte* kept_ = nullptr;  // comes before the buffers
  std::uint32_t kept_begin_ = 0;
  std::uint32_t kept_end_ = 0;
  std::uint32_t begin_ = 0;  // of the first buffer
  std::uint16_t first_ = ReceiveBuffers::none;
  std::uint16_t last_ = ReceiveBuffers::none;
  unsigned buffers_ = 0;
};

}  // namespace heddle::detail
