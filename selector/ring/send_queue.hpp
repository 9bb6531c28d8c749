// SendQueue: what was written to a connection and the kernel hasn't taken yet. For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

namespace heddle::detail {

struct SendBuffer {
  static constexpr std::size_t size = (16 << 10) - 16;
  SendBuffer* next;
  std::uint32_t begin;
  std::uint32_t end;
  std::byte data[size];
};

/// Spare SendBuffers, last in, first out.
class SendBuffers {
 public:
  SendBuffers() noexcept = default;
  SendBuffers(const SendBuffers&) = delete;
  ~SendBuffers();
  /// nullptr when there is no memory.
  SendBuffer* get() noexcept;
  void give_back(SendBuffer& buffer) noexcept;

 private:
  static constexpr unsigned most_spare = 128;
  SendBuffer* top_ = nullptr;
  unsigned spare_ = 0;
};

/// The first buffer may be with the kernel, which reads what it held when it was submitted: bytes are
/// appended behind that.
class SendQueue {
 public:
  /// Beyond that the writer has to wait.
  static constexpr std::size_t most = 64 << 10;

  bool empty() const noexcept { return first_ == nullptr; }
  std::size_t size() const noexcept { return bytes_; }
  std::size_t room() const noexcept { return bytes_ < most ? most - bytes_ : 0; }
  /// Copies up to room() bytes; how many, which is less where there is no memory.
  std::size_t append(SendBuffers& buffers, const std::byte* data, std::size_t size) noexcept;
  /// The bytes that are to be sent next, of a queue that isn't empty.
  const std::byte* data() const noexcept { return first_->data + first_->begin; }
  std::size_t next_size() const noexcept { return first_->end - first_->begin; }
  /// The kernel has taken so many of them.
  void sent(SendBuffers& buffers, std::size_t size) noexcept;
  void clear(SendBuffers& buffers) noexcept;

 private:
  SendBuffer* first_ = nullptr;
  SendBuffer* last_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace heddle::detail
