// MutableBuffer, ConstBuffer: one of several pieces of memory that are read into, or written from, at once.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace heddle {

/// Memory to read into; it belongs to the caller.
struct MutableBuffer {
  std::byte* data = nullptr;
  std::size_t size = 0;

  MutableBuffer() noexcept = default;
  MutableBuffer(std::span<std::byte> bytes) noexcept : data(bytes.data()), size(bytes.size()) {}
  MutableBuffer(std::span<char> text) noexcept : MutableBuffer(std::as_writable_bytes(text)) {}
};

/// Memory to write from; it belongs to the caller.
struct ConstBuffer {
  const std::byte* data = nullptr;
  std::size_t size = 0;

  ConstBuffer() noexcept = default;
  ConstBuffer(std::span<const std::byte> bytes) noexcept : data(bytes.data()), size(bytes.size()) {}
  ConstBuffer(std::string_view text) noexcept : ConstBuffer(std::as_bytes(std::span(text))) {}
  ConstBuffer(const char* text) noexcept : ConstBuffer(std::string_view(text)) {}
};

}  // namespace heddle
