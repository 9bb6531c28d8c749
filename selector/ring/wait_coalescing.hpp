// WaitCoalescing: how many completions a wait of a busy ring waits for. For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>

#include "../timeout.hpp"

namespace heddle::detail {

/// A ring whose waits end with the first message enters the kernel once for each, also where the next ones
/// are only microseconds away. As network cards do with interrupts, it waits for a share of the messages that
/// are likely to be on their way, and no longer than `most_delay`. How many those are is told by how many
/// files the last completions were of: who has one connection has no wait that is any longer. Where waits
/// prove to be in vain, ever fewer are tried.
class WaitCoalescing {
 public:
  static constexpr Duration most_delay{20'000};

  /// Of a file that has completed: `mark` is the file's own.
  void completed(std::uint16_t& mark) noexcept {
    if (mark != window_) {
      mark = window_;
      ++files_;
    }
    if (++completions_ < window_size) return;
    share_ = std::clamp(files_ / 4, 1U, most_share);
    completions_ = files_ = 0;
    ++window_;
  }

  /// For how many completions the next wait is to wait.
  unsigned share() noexcept {
    if (share_ == 1) return 1;
    if (skip_ == 0) return share_;
    --skip_;
    return 1;
  }
  /// A wait for `share` has ended with `came`.
  void waited(unsigned share, unsigned came) noexcept {
    if (share == 1) return;
    pause_ = came >= share / 2 ? 0 : std::min(2 * pause_ + 1, most_pause);
    skip_ = pause_;
  }

 private:
  static constexpr unsigned window_size = 64;
  static constexpr unsigned most_share = 16;
  static constexpr unsigned most_pause = 255;

  std::uint16_t window_ = 1;
  unsigned completions_ = 0, files_ = 0;  // of this window
  unsigned share_ = 1;
  unsigned pause_ = 0;  // waits that wait for one, after one that was in vain
  unsigned skip_ = 0;   // of them, still to come
};

}  // namespace heddle::detail
