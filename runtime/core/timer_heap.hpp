// Timer, TimerHeap: deadlines, the near ones in a heap or a row, the far ones hardly sorted, so that millions
// cost little more each than a few.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstdint>
#include <vector>

#include "../../selector/system.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

class TaskState;

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
  /// `task`, which lies before this in the same object, is the task that the timer will make ready: it is
  /// fetched from memory in time then, and so is the coroutine around the timer.
  void fetches(TaskState* const& task) noexcept {
    to_task_ =
        static_cast<std::uint8_t>(reinterpret_cast<const char*>(this) - reinterpret_cast<const char*>(&task));
  }
  ~Timer() = default;

 private:
  friend class TimerHeap;
  std::uint8_t to_task_ = 0;  // how far back the pointer is; 0: there is none
};

/// Of many timers most have left the caches, and a heap of a million entries has too. So the far ones lie in
/// runs: each is unsorted, and earlier than the one before. When all that came before has fired, the last run
/// is parted into smaller ones until it is small enough, and then sorted; that reads memory from one end to
/// the other, where a heap would jump about. What is added since, and comes before the runs, is in a heap
/// beside that row.
///
/// No timer is touched while its entry moves: that has the deadline with it, and names the timer by a slot.
/// Removing empties the slot; the entry goes when it comes to the front, or when half of all are such.
class HEDDLE_EXPORT TimerHeap {
 public:
  bool empty() const noexcept { return near_ == 0 && first_ == end_; }
  std::size_t size() const noexcept { return entries_in_all() - removed_; }
  /// There must be one.
  TimePoint earliest() const noexcept {
    if (first_ == end_) [[likely]]
      return groups_.front().entries[root].deadline;
    return row_is_first() ? first_->deadline : groups_.front().entries[root].deadline;
  }
  /// When to wake up, if none is due yet: at earliest(), as long as there are no more than the heap takes
  /// (1,024). Of more than that hundreds may be due within a millisecond, and to sleep between them costs
  /// more than they do: those share a wake-up, when the last one is due. No timer is more than a millisecond
  /// late for that.
  TimePoint wake_up() const noexcept;

  /// What is due at the same time comes out in the order in which it was added. Throws std::bad_alloc, and
  /// then the timer is not armed.
  void add(Timer& timer, TimePoint deadline);
  /// Nothing when it isn't armed.
  void remove(Timer& timer) noexcept;
  /// Takes out the earliest timer if its deadline is not after `now`; nullptr when there is none.
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
  // Deadlines that are not before `floor`, and before that of the run before.
  struct Run {
    std::vector<Entry> entries;
    TimePoint floor;
  };
  union Slot {
    Timer* timer;             // nullptr: it was removed
    std::uint64_t next_free;  // of a slot without an entry
  };

  // Without a branch: which of two is earlier can't be foretold.
  static constexpr auto before = [](const Entry& a, const Entry& b) noexcept {
    return static_cast<bool>(
        static_cast<unsigned>(a.deadline < b.deadline) |
        (static_cast<unsigned>(a.deadline == b.deadline) & static_cast<unsigned>(a.place < b.place)));
  };
  // Of a row that isn't empty.
  bool row_is_first() const noexcept { return near_ == 0 || before(*first_, groups_.front().entries[root]); }
  std::size_t entries_in_all() const noexcept {
    return static_cast<std::size_t>(end_ - first_) + near_ + far_;
  }

  Entry* entries() noexcept { return reinterpret_cast<Entry*>(groups_.data()) + root; }
  bool is_removed(const Entry& entry) const noexcept;
  std::uint32_t take_slot();
  Timer* free_slot(const Entry& entry) noexcept;
  Entry* sweep_out(Entry* from, Entry* to) noexcept;
  void more_room();
  void sift_up(std::size_t index, const Entry& moving, std::size_t top) noexcept;
  void sift_down(std::size_t top, const Entry& moving) noexcept;
  void make_heap() noexcept;
  static void sort(Entry* from, Entry* to, int levels) noexcept;
  void drop_first() noexcept;
  bool front_is_removed() const noexcept;
  void fetch(const Entry& entry) const noexcept;
  void fetch_task(const Entry& entry) const noexcept;
  void tidy() noexcept;
  void add_far(const Entry& added);
  void split();
  void merge_runs() noexcept;
  void refill() noexcept;
  bool distribute_last_run() noexcept;
  void sweep() noexcept;
  void renumber() noexcept;

  // The heap. None in it and none in the row: then there are none at all.
  std::vector<Group> groups_;
  std::size_t near_ = 0;
  std::size_t split_at_ = 0;  // when the heap is so large the later half leaves it
  // The row: what is left of it, the earliest first.
  std::vector<Entry> row_;
  Entry* first_ = nullptr;
  Entry* end_ = nullptr;
  // The runs, the latest first, and how many are in them.
  std::vector<Run> runs_;
  std::size_t far_ = 0;

  std::vector<Slot> slots_;
  std::size_t removed_ = 0;  // entries whose timer was removed
  std::uint32_t free_slots_ = Timer::nowhere;
  std::uint32_t order_ = 0;
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
