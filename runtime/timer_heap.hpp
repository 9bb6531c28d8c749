// Timer, TimerHeap: deadlines in a 4-ary heap whose entries know their place, so that cancelling needs no
// search.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "../selector/export.hpp"
#include "../selector/system.hpp"

namespace heddle {

/// A deadline and what to do then. It must not move or die while it is in a heap.
struct Timer {
  explicit Timer(void (*function)(Timer&) noexcept) noexcept : fire(function) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  static constexpr std::uint32_t nowhere = ~std::uint32_t{0};
  bool armed() const noexcept { return index != nowhere; }

  TimePoint deadline{};
  std::uint32_t index = nowhere;  ///< its place in the heap
  std::uint32_t order = 0;        ///< equal deadlines fire in the order in which they were set
  void (*fire)(Timer&) noexcept;

 protected:
  ~Timer() = default;
};

class HEDDLE_EXPORT TimerHeap {
 public:
  bool empty() const noexcept { return entries_.empty(); }
  std::size_t size() const noexcept { return entries_.size(); }
  /// The heap must not be empty.
  TimePoint earliest() const noexcept { return entries_.front().deadline; }

  /// Throws std::bad_alloc, and then the timer is not armed.
  void add(Timer& timer, TimePoint deadline);
  /// Nothing when it isn't armed.
  void remove(Timer& timer) noexcept;
  /// Takes out the earliest timer if its deadline is not after `now`; nullptr when there is none.
  Timer* pop_due(TimePoint now) noexcept;

 private:
  // The deadline is kept beside the pointer, so that comparing touches one array and not the timers.
  struct Entry {
    TimePoint deadline;
    Timer* timer;
  };

  static bool before(const Entry& a, const Entry& b) noexcept;
  void place(std::size_t index, const Entry& entry) noexcept;
  void sift_up(std::size_t index, const Entry& entry) noexcept;
  void sift_down(std::size_t index, const Entry& entry) noexcept;

  std::vector<Entry> entries_;
  std::uint32_t order_ = 0;
};

}  // namespace heddle
