// The timer heap: children of i are 4i+1 ... 4i+4, which halves the levels of a binary heap for the same
// comparisons; the runs, as in a samplesort that stops as soon as the first are known; and the row of these.
// SPDX-License-Identifier: MIT
#include "timer_heap.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace heddle::detail {

namespace {

constexpr std::size_t slot_bits = 32;
constexpr std::size_t largest_heap = 1024;  // it and its slots stay in the inner caches
constexpr std::size_t longest_row = 1024;   // the same, unless it can't be shorter
constexpr std::size_t most_runs = 128;      // more than distributing makes
constexpr std::size_t parts = 16;           // of a run that is distributed
constexpr std::size_t few = 64;             // not worth a sweep
// Of the row: so few are sorted by std::sort at once, more are parted first, if need be that often.
constexpr std::ptrdiff_t few_to_sort = 32;
constexpr int sort_levels = 6;
// So many timers before its turn its slot is fetched from memory, then the timer, and then its task.
constexpr std::ptrdiff_t slot_ahead = 32;
constexpr std::ptrdiff_t ahead = 16;
constexpr std::ptrdiff_t task_ahead = 8;
constexpr std::size_t line_size = 64;
// So late may a timer be that shares its wake-up with others.
constexpr std::chrono::nanoseconds most_late = std::chrono::milliseconds(1);

std::uint32_t slot_of(std::uint64_t place) noexcept { return static_cast<std::uint32_t>(place); }

// Those that `belong` to the front; how many these are. Without a branch, since none could be foretold.
template <class Entry, class Belongs>
std::size_t move_to_front(Entry* entries, std::size_t count, Belongs belong) noexcept {
  std::size_t front = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const Entry each = entries[i];
    entries[i] = entries[front];
    entries[front] = each;
    front += std::size_t{belong(each)};
  }
  return front;
}

}  // namespace

inline bool TimerHeap::is_removed(const Entry& entry) const noexcept {
  return slots_[slot_of(entry.place)].timer == nullptr;
}

// The heap.

inline void TimerHeap::sift_up(std::size_t index, const Entry& moving, std::size_t top) noexcept {
  Entry* const entry = entries();
  while (index > top) {
    const std::size_t parent = (index - 1) / arity;
    if (!before(moving, entry[parent])) break;
    entry[index] = entry[parent];
    index = parent;
  }
  entry[index] = moving;
}

// The hole at `top` sinks to the bottom, and `moving`, which mostly comes from there, rises from it.
void TimerHeap::sift_down(std::size_t top, const Entry& moving) noexcept {
  Entry* const entry = entries();
  std::size_t index = top;
  for (std::size_t child = index * arity + 1; child < near_; child = index * arity + 1) {
    const Entry* const group = entry + child;
    std::size_t least = 0;
    if (child + arity <= near_) [[likely]] {
      const std::size_t left = before(group[1], group[0]);
      const std::size_t right = 2 + std::size_t{before(group[3], group[2])};
      least = left + (right - left) * std::size_t{before(group[right], group[left])};
    } else {
      for (std::size_t other = 1; child + other < near_; ++other)
        if (before(group[other], group[least])) least = other;
    }
    entry[index] = group[least];
    index = child + least;
  }
  sift_up(index, moving, top);
}

void TimerHeap::make_heap() noexcept {
  for (std::size_t i = std::min(near_, near_ / arity + 1); i-- > 0;) sift_down(i, Entry(entries()[i]));
}

inline void TimerHeap::drop_first() noexcept {
  if (--near_ > 0) sift_down(0, Entry(entries()[near_]));
}

// The row.

// As std::sort, which would guess at each comparison, but for its last levels.
void TimerHeap::sort(Entry* from, Entry* to, int levels) noexcept {
  if (to - from <= few_to_sort || levels == 0) return std::sort(from, to, before);
  Entry median[] = {from[0], from[(to - from) / 2], to[-1]};
  std::sort(median, median + 3, before);
  Entry* const middle = from + move_to_front(from, static_cast<std::size_t>(to - from),
                                             [&](const Entry& each) { return before(each, median[1]); });
  sort(from, middle, levels - 1);
  sort(middle, to, levels - 1);
}

// What could come next.

inline bool TimerHeap::front_is_removed() const noexcept {
  return (near_ > 0 && is_removed(groups_.front().entries[root])) || (first_ != end_ && is_removed(*first_));
}

// What could come next is always still wanted.
void TimerHeap::tidy() noexcept {
  for (;;) {
    for (; first_ != end_ && is_removed(*first_); --removed_) free_slot(*first_++);
    for (; near_ > 0 && is_removed(entries()[0]); --removed_) {
      free_slot(entries()[0]);
      drop_first();
    }
    if (!empty() || runs_.empty()) return;
    refill();
  }
}

// Slots.

inline std::uint32_t TimerHeap::take_slot() {
  if (free_slots_ == Timer::nowhere) [[unlikely]] {
    slots_.push_back({});
    return static_cast<std::uint32_t>(slots_.size() - 1);
  }
  const std::uint32_t slot = free_slots_;
  free_slots_ = static_cast<std::uint32_t>(slots_[slot].next_free);
  return slot;
}

// Whose it was.
inline Timer* TimerHeap::free_slot(const Entry& leaving) noexcept {
  const std::uint32_t slot = slot_of(leaving.place);
  Timer* const timer = slots_[slot].timer;
  slots_[slot].next_free = free_slots_;
  free_slots_ = slot;
  return timer;
}

// Where those end that are still wanted.
TimerHeap::Entry* TimerHeap::sweep_out(Entry* from, Entry* to) noexcept {
  return std::remove_if(from, to, [this](const Entry& each) {
    if (!is_removed(each)) return false;
    free_slot(each);
    --removed_;
    return true;
  });
}

// A timer of a task lies in the coroutine that goes on. (GCC takes a function that only fetches for one
// without an effect, and drops its calls.)
[[gnu::always_inline]] inline void TimerHeap::fetch(const Entry& entry) const noexcept {
  const auto timer = reinterpret_cast<std::uintptr_t>(slots_[slot_of(entry.place)].timer);
  for (std::uintptr_t lines = 0; lines < 2; ++lines)
    __builtin_prefetch(reinterpret_cast<const void*>(timer - lines * line_size), 1);
}

[[gnu::always_inline]] inline void TimerHeap::fetch_task(const Entry& entry) const noexcept {
  const Timer* const timer = slots_[slot_of(entry.place)].timer;
  if (timer == nullptr || timer->to_task_ == 0) return;
  const char* const task =
      *reinterpret_cast<const char* const*>(reinterpret_cast<const char*>(timer) - timer->to_task_);
  __builtin_prefetch(task, 1);
  __builtin_prefetch(task + line_size, 1);
}

// From outside.

TimePoint TimerHeap::wake_up() const noexcept {
  if (first_ == end_ || first_->deadline > TimePoint::max() - most_late) return earliest();
  TimePoint latest = first_->deadline + most_late;
  // When the row ends before that, how late the last one is lies in an unsorted run.
  if (runs_.empty() || runs_.back().floor > latest) {
    const auto is_in_time = [latest](const Entry& each) { return each.deadline <= latest; };
    latest = std::partition_point(first_, end_, is_in_time)[-1].deadline;
  }
  return near_ == 0 ? latest : std::min(latest, groups_.front().entries[root].deadline);
}

void TimerHeap::add(Timer& timer, TimePoint deadline) {
  if (order_ == std::numeric_limits<std::uint32_t>::max()) [[unlikely]]
    renumber();
  if (near_ == split_at_) [[unlikely]]
    split();
  const std::uint32_t slot = take_slot();
  slots_[slot].timer = &timer;
  const Entry added{deadline, std::uint64_t{order_} << slot_bits | slot};
  if (!runs_.empty() && deadline >= runs_.back().floor) [[unlikely]] {
    try {
      add_far(added);
    } catch (...) {
      free_slot(added);
      throw;
    }
  } else {
    sift_up(near_++, added, 0);
  }
  timer.slot = slot;
  ++order_;
}

void TimerHeap::remove(Timer& timer) noexcept {
  if (!timer.armed()) return;
  slots_[timer.slot].timer = nullptr;
  timer.slot = Timer::nowhere;
  ++removed_;
  if (front_is_removed())
    tidy();
  else if (removed_ > few && removed_ > entries_in_all() / 2)
    sweep();
}

Timer* TimerHeap::pop_due(TimePoint now) noexcept {
  if (empty()) return nullptr;
  Entry first;
  if (first_ != end_ && row_is_first()) {
    first = *first_;
    if (first.deadline > now) return nullptr;
    ++first_;
    if (end_ - first_ > slot_ahead) __builtin_prefetch(&slots_[slot_of(first_[slot_ahead].place)], 1);
    if (end_ - first_ > ahead) fetch(first_[ahead]);
    if (end_ - first_ > task_ahead) fetch_task(first_[task_ahead]);
  } else {
    first = entries()[0];
    if (first.deadline > now) return nullptr;
    drop_first();
  }
  Timer* const timer = free_slot(first);
  timer->slot = Timer::nowhere;
  tidy();
  return timer;
}

// The runs.

void TimerHeap::add_far(const Entry& added) {
  auto run = runs_.begin();
  while (added.deadline < run->floor) ++run;
  run->entries.push_back(added);
  ++far_;
}

void TimerHeap::more_room() {
  const std::size_t room = std::max(near_ * 2, arity + 1);
  groups_.resize((room + root + arity - 1) / arity);
  split_at_ = room;
}

// The heap is full: it gets more room, or gives its later half away, and the row what is as late.
void TimerHeap::split() {
  if (near_ < largest_heap) return more_room();
  Entry* const heap = entries();
  Entry* const middle = heap + near_ / 2;
  std::nth_element(heap, middle, heap + near_, before);
  const TimePoint floor = middle->deadline;
  const auto is_early = [floor](const Entry& each) { return each.deadline < floor; };
  // Those of one deadline stay together.
  const std::size_t kept = move_to_front(heap, near_ / 2, is_early);
  Entry* const late = std::partition_point(first_, end_, is_early);
  try {
    if (kept == 0) {
      make_heap();
      return more_room();
    }
    std::vector<Entry> leaving;
    leaving.reserve(near_ - kept + static_cast<std::size_t>(end_ - late));
    leaving.assign(heap + kept, heap + near_);
    leaving.insert(leaving.end(), late, end_);
    runs_.push_back({std::move(leaving), floor});
    far_ += runs_.back().entries.size();
  } catch (...) {
    make_heap();
    throw;
  }
  near_ = kept;
  end_ = late;
  make_heap();
  if (runs_.size() > most_runs) merge_runs();
}

// Neighbours may be one run at any time. The two that are the smallest are, so each entry moves a few times.
void TimerHeap::merge_runs() noexcept try {
  std::size_t least = 0;
  std::size_t smallest = std::numeric_limits<std::size_t>::max();
  for (std::size_t i = 0; i + 1 < runs_.size(); ++i) {
    const std::size_t together = runs_[i].entries.size() + runs_[i + 1].entries.size();
    if (together >= smallest) continue;
    smallest = together;
    least = i;
  }
  Run& later = runs_[least];
  const Run& earlier = runs_[least + 1];
  later.entries.insert(later.entries.end(), earlier.entries.begin(), earlier.entries.end());
  later.floor = earlier.floor;
  runs_.erase(runs_.begin() + static_cast<std::ptrdiff_t>(least) + 1);
} catch (const std::bad_alloc&) {
}

// The last run becomes the row, which is empty as the heap is.
void TimerHeap::refill() noexcept {
  while (runs_.back().entries.size() > longest_row && distribute_last_run()) {
  }
  row_.swap(runs_.back().entries);
  runs_.pop_back();
  far_ -= row_.size();
  first_ = row_.data();
  end_ = first_ + row_.size();
  if (removed_ > 0) end_ = sweep_out(first_, end_);
  sort(first_, end_, sort_levels);
  for (const Entry* each = first_; each != end_ && each - first_ < ahead; ++each) fetch(*each);
}

// False: all of its deadlines are the same, or there is no memory for more runs.
bool TimerHeap::distribute_last_run() noexcept try {
  constexpr std::size_t samples = parts * 4;
  runs_.reserve(runs_.size() + parts);
  const std::vector<Entry>& all = runs_.back().entries;
  TimePoint sample[samples];
  for (std::size_t i = 0; i < samples; ++i) sample[i] = all[all.size() / samples * i].deadline;
  std::sort(sample, sample + samples);
  // If one deadline is most samples', then a part is for that alone.
  TimePoint floors[parts] = {runs_.back().floor};
  for (std::size_t i = 1; i < parts; ++i) {
    const TimePoint next = i == 1 || floors[i - 1] == TimePoint::max()
                               ? floors[i - 1]
                               : floors[i - 1] + std::chrono::nanoseconds(1);
    floors[i] = std::max(sample[samples / parts * i], next);
  }
  // Without a branch, since none could be foretold.
  const auto part_of = [&floors](const Entry& each) noexcept {
    std::size_t part = 0;
    for (std::size_t half = parts / 2; half > 0; half /= 2)
      part += half * std::size_t{each.deadline >= floors[part + half]};
    return part;
  };

  std::size_t counts[parts] = {};
  for (const Entry& each : all) ++counts[part_of(each)];
  std::vector<Entry> entries[parts];
  Entry* places[parts];
  for (std::size_t i = 0; i < parts; ++i) {
    if (counts[i] == all.size()) return false;
    entries[i].resize(counts[i]);
    places[i] = entries[i].data();
  }
  for (const Entry& each : all) *places[part_of(each)]++ = each;
  runs_.pop_back();
  for (std::size_t i = parts; i-- > 0;)
    if (counts[i] > 0) runs_.push_back({std::move(entries[i]), floors[i]});
  return true;
} catch (const std::bad_alloc&) {
  return false;
}

// Half of the entries are of no more use.
void TimerHeap::sweep() noexcept {
  near_ = static_cast<std::size_t>(sweep_out(entries(), entries() + near_) - entries());
  end_ = sweep_out(first_, end_);
  far_ = 0;
  for (Run& run : runs_) {
    Entry* const from = run.entries.data();
    run.entries.resize(static_cast<std::size_t>(sweep_out(from, from + run.entries.size()) - from));
    far_ += run.entries.size();
  }
  std::erase_if(runs_, [](const Run& run) { return run.entries.empty(); });
  make_heap();
  tidy();
}

// The numbers of the order are used up, and given out anew. Those of one deadline are in one run, or first in
// the row and then in the heap.
void TimerHeap::renumber() noexcept {
  order_ = 0;
  const auto number = [this](Entry* from, Entry* to) {
    std::sort(from, to, before);
    for (; from != to; ++from) from->place = std::uint64_t{order_++} << slot_bits | slot_of(from->place);
  };
  number(first_, end_);
  number(entries(), entries() + near_);  // what is sorted is a heap
  for (Run& run : runs_) number(run.entries.data(), run.entries.data() + run.entries.size());
}

}  // namespace heddle::detail
