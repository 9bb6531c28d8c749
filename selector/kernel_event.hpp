// KernelEvent: an event as the kernel wrote it, which BaseSelector::wait_raw() returns.
// SPDX-License-Identifier: MIT
#pragma once

#include "export.hpp"  // first

#include <cstdint>
#include <span>

HEDDLE_HEADER_BEGIN

namespace heddle {

/// An epoll_event, as EpollSelector fills it in. Packed where the kernel's is (epoll_ctl(2)).
struct
#if defined(__x86_64__)
    [[gnu::packed]]
#endif
    KernelEvent {
  static constexpr std::uint32_t readable = 1;  ///< EPOLLIN
  static constexpr std::uint32_t writable = 4;  ///< EPOLLOUT

  std::uint32_t events;
  std::uint64_t tag;

  [[nodiscard]] int fd() const noexcept { return static_cast<int>(tag); }
  [[nodiscard]] std::uint32_t generation() const noexcept { return static_cast<std::uint32_t>(tag >> 32); }
  /// Readable or writable and nothing else: no error, hang-up or urgent data.
  [[nodiscard]] bool is_plain() const noexcept { return (events & ~(readable | writable)) == 0; }
};

/// Valid until the next wait.
using KernelEvents = std::span<const KernelEvent>;

}  // namespace heddle

HEDDLE_HEADER_END
