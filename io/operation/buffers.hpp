// MutableBuffer, ConstBuffer: one of several pieces of memory that are read into, or written from, at once.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <concepts>
#include <cstddef>
#include <span>
#include <string_view>

HEDDLE_HEADER_BEGIN

namespace heddle {

/// Memory to read into; it belongs to the caller.
struct MutableBuffer {
  std::byte* data = nullptr;
  std::size_t size = 0;

  MutableBuffer() noexcept = default;
  /// A span, array, vector or string of bytes or chars.
  template <class Bytes>
    requires std::convertible_to<Bytes, std::span<std::byte>>
  MutableBuffer(Bytes&& bytes) noexcept : MutableBuffer(std::span<std::byte>(bytes), 0) {}
  template <class Text>
    requires std::convertible_to<Text, std::span<char>>
  MutableBuffer(Text&& text) noexcept : MutableBuffer(std::as_writable_bytes(std::span<char>(text)), 0) {}

 private:
  MutableBuffer(std::span<std::byte> bytes, int) noexcept : data(bytes.data()), size(bytes.size()) {}
};

/// Memory to write from; it belongs to the caller.
struct ConstBuffer {
  const std::byte* data = nullptr;
  std::size_t size = 0;

  ConstBuffer() noexcept = default;
  /// A span, array or vector of bytes, or a text.
  template <class Bytes>
    requires std::convertible_to<Bytes, std::span<const std::byte>>
  ConstBuffer(Bytes&& bytes) noexcept : ConstBuffer(std::span<const std::byte>(bytes), 0) {}
  template <class Text>
    requires std::convertible_to<Text, std::string_view>
  ConstBuffer(Text&& text) noexcept : ConstBuffer(std::as_bytes(std::span(std::string_view(text))), 0) {}

 private:
  ConstBuffer(std::span<const std::byte> bytes, int) noexcept : data(bytes.data()), size(bytes.size()) {}
};

}  // namespace heddle

HEDDLE_HEADER_END
