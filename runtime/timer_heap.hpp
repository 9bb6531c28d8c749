// Timer, TimerHeap: deadlines, the near ones in a heap, the far ones hardly sorted, so that millions cost
// little more each than a few.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "../selector/export.hpp"
#include "../selector/system.hpp"

namespace heddle {

/// What to do at a deadline. It must not move or die while it is in a heap.
struct Timer {
  explicit Timer(void (*function)(Timer&) noexcept) noexcept : fire(function) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  static constexpr std::uint32_t nowhere = ~std::uint32_t{0};
  bool armed() const noexcept { return slot != nowhere; }

  void (*fire)(Timer&) noexcept;
  std::uint32_t slot = nowhere;  ///< by which the heap finds it

 protected:
  ~Timer() = default;
};

/// Of many timers most have left the caches, and a heap of a million entries has too. So only some hundred
/// that come first are in one, and the others lie in runs: each is unsorted and earlier than the one before.
/// When the heap is empty the last run becomes one, after it was halved until it is small enough. That reads
/// memory from one end to the other, where a heap would jump about.
///
/// No timer is touched while its entry moves: that has the deadline with it, and names the timer by a slot.
/// Removing empties the slot; the entry goes when it comes to the front, or when half of all are such.
class HEDDLE_EXPORT TimerHeap {
 public:
  bool empty() const noexcept { return near_ == 0 && due_ == due_end_; }
  std::size_t size() const noexcept { return due_end_ - due_ + near_ + far_.size() - removed_; }
  /// There must be one.
  TimePoint earliest() const noexcept {
    return due_ != due_end_ ? taken_[due_].deadline : groups_.front().entries[root].deadline;
  }

  /// What is due at the same time comes out in the order in which it was added. Throws std::bad_alloc, and
  /// then the timer is not armed.
  void add(Timer& timer, TimePoint deadline);
  /// Nothing when it isn't armed.
  void remove(Timer& timer) noexcept;
  /// Takes out the earliest timer if its deadline is not after `now`; nullptr when there is none. (What is
  /// added before that comes after what was due already.)
  Timer* pop_due(TimePoint now) noexcept;

 private:
  struct Entry {
    TimePoint deadline;
    std::uint64_t place;  // when it was added, and in the lower half its slot
  };
  // The children of an entry share a line of the cache: group i + 1 has those of entry i.
  static constexpr std::size_t arity = 4;
  struct alignas(64) Group {
    Entry entries[arity];
  };
  static constexpr std::size_t root = arity - 1;  // alone in the first group
  // From `begin` to the next one's; its deadlines are not before `floor`, and before that of the run before.
  struct Run {
    std::size_t begin;
    TimePoint floor;
  };
  union Slot {
    Timer* timer;             // nullptr: it was removed
    std::uint64_t next_free;  // of a slot without an entry
  };

  Entry* entries() noexcept { return reinterpret_cast<Entry*>(groups_.data()) + root; }
  static bool before(const Entry& a, const Entry& b) noexcept;
  bool is_removed(const Entry& entry) const noexcept;
  std::uint32_t take_slot();
  Timer* free_slot(const Entry& entry) noexcept;
  void more_room(std::size_t entries);
  void sift_up(std::size_t index, const Entry& moving, std::size_t top) noexcept;
  void sift_down(std::size_t top, const Entry& moving) noexcept;
  void make_heap() noexcept;
  void drop_first() noexcept;
  void tidy_front() noexcept;
  void tidy_due() noexcept;
  void take_due(TimePoint now) noexcept;
  void add_far(const Entry& added);
  void split();
  void refill() noexcept;
  bool halve_last_run() noexcept;
  void sweep() noexcept;
  void renumber() noexcept;

  std::vector<Group> groups_;  // the heap
  std::vector<Entry> far_;
  std::vector<Run> runs_;
  std::vector<Slot> slots_;
  std::size_t near_ = 0;      // entries in the heap: none only if there are none in the runs
  std::size_t split_at_ = 0;  // when the heap is so large the later half leaves it
  std::size_t removed_ = 0;   // entries whose timer was removed
  std::uint32_t free_slots_ = Timer::nowhere;
  std::uint32_t order_ = 0;
  // Taken from the heap some at a time: so several timers can be on their way from memory at once.
  static constexpr std::uint32_t most_taken = 16;
  std::uint32_t due_ = 0;
  std::uint32_t due_end_ = 0;
  Entry taken_[most_taken];
};

}  // namespace heddle
