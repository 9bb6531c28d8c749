// SecondLook: which descriptors are checked again, because a short read may not have emptied them.
// For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "../core/timer_heap.hpp"

namespace heddle::detail {

class DescriptorTable;
class FdWatch;

/// A short read from a TCP socket has emptied it, and an edge-triggered selector reports what comes
/// afterwards. A short read from a Unix socket may also have stopped in front of bytes that carry
/// descriptors; no event follows for these. Instead of asking the kernel after each such read, the descriptor
/// is noted here and checked 100 ms later, all that were noted meanwhile at once. If there is more, its
/// reader is woken as by an event, and until a read finds nothing (FdWatch::more_may_follow) short reads
/// prove nothing there.
class SecondLook : private Timer {
 public:
  explicit SecondLook(DescriptorTable& table) noexcept : Timer(&expire), table_(table) {}

  /// Notes `watch`. False: there is no memory for that.
  bool note(FdWatch& watch) noexcept;
  /// Nothing is checked any more.
  void stop() noexcept;
  using Timer::armed;

 private:
  static void expire(Timer& timer) noexcept;
  void check_some() noexcept;
  void check(int fd) noexcept;

  DescriptorTable& table_;
  // Those that were noted, and those that are being checked; some may be closed by now.
  std::vector<int> noted_;
  std::vector<int> checked_;
};

}  // namespace heddle::detail
