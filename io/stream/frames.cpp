// Frames: encoding and decoding lengths in either byte order.
// SPDX-License-Identifier: MIT
#include "frames.hpp"

#include <algorithm>
#include <limits>
#include <string>

#include "../../selector/errors.hpp"

namespace heddle {

using namespace detail;

namespace {

unsigned shift_of(const FrameFormat& format, std::size_t byte) noexcept {
  return static_cast<unsigned>(8 * (format.order == std::endian::big ? format.prefix - 1 - byte : byte));
}

}  // namespace

FrameFormat::FrameFormat(std::size_t prefix_size, std::size_t most, std::endian byte_order)
    : prefix(prefix_size), longest(most), order(byte_order) {
  if (prefix != 1 && prefix != 2 && prefix != 4 && prefix != 8)
    throw ValueError("a frame's length has 1, 2, 4 or 8 bytes, not " + std::to_string(prefix));
}

namespace detail {

std::size_t frame_size(const FrameFormat& format, std::string_view prefix) {
  std::uint64_t size = 0;
  for (std::size_t i = 0; i < format.prefix; ++i)
    size |= std::uint64_t{static_cast<unsigned char>(prefix[i])} << shift_of(format, i);
  // With its prefix it has to have a size, too.
  const std::size_t most = std::min(format.longest, std::numeric_limits<std::size_t>::max() - format.prefix);
  if (size > most)
    throw LimitOverrunError(
        "a frame of " + std::to_string(size) + " bytes: the limit is " + std::to_string(most), 0);
  return static_cast<std::size_t>(size);
}

std::size_t frame_prefix(const FrameFormat& format, std::size_t size, char (&prefix)[8]) {
  const bool fits = format.prefix == 8 || std::uint64_t{size} >> (8 * format.prefix) == 0;
  if (!fits || size > format.longest)
    throw ValueError("a frame of " + std::to_string(size) + " bytes doesn't fit: " +
                     (fits ? "the limit is " + std::to_string(format.longest)
                           : "its length has " + std::to_string(format.prefix) + " bytes"));
  for (std::size_t i = 0; i < format.prefix; ++i)
    prefix[i] = static_cast<char>(std::uint64_t{size} >> shift_of(format, i));
  return format.prefix;
}

}  // namespace detail

}  // namespace heddle
