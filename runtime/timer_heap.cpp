// The timer heap: children of i are 4i+1 ... 4i+4, which halves the levels of a binary heap for the same
// comparisons; and the runs behind it, as in a quicksort that stops as soon as the first are known.
// SPDX-License-Identifier: MIT
#include "timer_heap.hpp"

#include <algorithm>
#include <limits>

namespace heddle {

namespace {

constexpr std::size_t slot_bits = 32;
constexpr std::size_t largest_heap = 1024;  // it and its slots stay in the inner caches
constexpr std::size_t most_runs = 32;
constexpr std::size_t more_runs = 96;  // that halving may make
constexpr std::size_t few = 64;        // not worth a sweep

std::uint32_t slot_of(std::uint64_t place) noexcept { return static_cast<std::uint32_t>(place); }

// Those that `belong` to the front; how many these are. Without a branch, for the reason below.
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

// Without a branch: which of two is earlier can't be foretold.
inline bool TimerHeap::before(const Entry& a, const Entry& b) noexcept {
  return static_cast<bool>(
      static_cast<unsigned>(a.deadline < b.deadline) |
      (static_cast<unsigned>(a.deadline == b.deadline) & static_cast<unsigned>(a.place < b.place)));
}

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

// The first is always one that is still wanted.
void TimerHeap::tidy_front() noexcept {
  for (;;) {
    if (near_ == 0) {
      if (runs_.empty()) return;
      refill();
    } else if (is_removed(entries()[0])) {
      free_slot(entries()[0]);
      drop_first();
      --removed_;
    } else {
      return;
    }
  }
}

// So is the first that is due.
inline void TimerHeap::tidy_due() noexcept {
  for (; due_ != due_end_ && is_removed(taken_[due_]); ++due_) {
    free_slot(taken_[due_]);
    --removed_;
  }
  if (due_ == due_end_) tidy_front();
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

// From outside.

void TimerHeap::more_room(std::size_t entries) { groups_.resize((entries + root + arity - 1) / arity); }

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
  if (due_ != due_end_) [[unlikely]]
    return tidy_due();
  if (is_removed(entries()[0]))
    tidy_front();
  else if (removed_ > few && removed_ > (near_ + far_.size()) / 2)
    sweep();
}

Timer* TimerHeap::pop_due(TimePoint now) noexcept {
  if (due_ == due_end_) take_due(now);
  if (due_ == due_end_ || taken_[due_].deadline > now) return nullptr;
  Timer* const timer = free_slot(taken_[due_++]);
  timer->slot = Timer::nowhere;
  tidy_due();
  return timer;
}

void TimerHeap::take_due(TimePoint now) noexcept {
  due_ = due_end_ = 0;
  while (due_end_ < most_taken && near_ > 0 && entries()[0].deadline <= now) {
    const Entry& first = entries()[0];
    __builtin_prefetch(slots_[slot_of(first.place)].timer);
    taken_[due_end_++] = first;
    drop_first();
    tidy_front();
  }
}

// The runs.

// Each run after its own gives its first place to the one before, and gets one at its end.
void TimerHeap::add_far(const Entry& added) {
  far_.push_back(added);
  std::size_t hole = far_.size() - 1;
  for (std::size_t i = runs_.size() - 1; i > 0 && added.deadline >= runs_[i - 1].floor; --i) {
    far_[hole] = far_[runs_[i].begin];
    hole = runs_[i].begin++;
  }
  far_[hole] = added;
}

// The heap is full: it gets more room, or gives its later half away.
void TimerHeap::split() {
  if (near_ < largest_heap) {
    const std::size_t room = std::max(near_ * 2, arity + 1);
    more_room(room);
    split_at_ = room;
    return;
  }
  Entry* const first = entries();
  Entry* const middle = first + near_ / 2;
  std::nth_element(first, middle, first + near_, before);
  const TimePoint floor = middle->deadline;
  // Those of one deadline stay together.
  const std::size_t kept =
      move_to_front(first, near_ / 2, [floor](const Entry& each) { return each.deadline < floor; });
  try {
    if (kept == 0) {
      make_heap();
      more_room(near_ * 2);
      split_at_ = near_ * 2;
      return;
    }
    runs_.reserve(most_runs + more_runs);
    far_.insert(far_.end(), first + kept, first + near_);
  } catch (...) {
    make_heap();
    throw;
  }
  runs_.push_back({far_.size() - (near_ - kept), floor});
  near_ = kept;
  make_heap();
  // Neighbours may be one run at any time. So there are few, and the farther the larger.
  if (runs_.size() > most_runs) {
    std::size_t left = 0;
    for (std::size_t i = 0; i < runs_.size(); i += 2)
      runs_[left++] = {runs_[i].begin, runs_[std::min(i + 1, runs_.size() - 1)].floor};
    runs_.resize(left);
  }
}

// The last run becomes the heap, which is empty.
void TimerHeap::refill() noexcept {
  while (far_.size() - runs_.back().begin > largest_heap && halve_last_run()) {
  }
  const std::size_t begin = runs_.back().begin;
  std::size_t count = far_.size() - begin;
  if (count > split_at_) try {
      more_room(count);
      split_at_ = count;
    } catch (const std::bad_alloc&) {
      // Without memory they come by parts, each the earliest.
      count = split_at_;
      std::sort(far_.begin() + static_cast<std::ptrdiff_t>(begin), far_.end(),
                [](const Entry& a, const Entry& b) { return before(b, a); });
      runs_.back().floor = far_[far_.size() - count - 1].deadline;
    }
  const std::size_t from = far_.size() - count;
  for (std::size_t i = from; i < far_.size(); ++i) {
    if (!is_removed(far_[i])) {
      __builtin_prefetch(slots_[slot_of(far_[i].place)].timer);  // it will soon be due
      entries()[near_++] = far_[i];
    } else {
      free_slot(far_[i]);
      --removed_;
    }
  }
  far_.resize(from);
  if (from == begin) runs_.pop_back();
  make_heap();
}

// False: all of its deadlines are the same, or there is no room for another run.
bool TimerHeap::halve_last_run() noexcept {
  if (runs_.size() == runs_.capacity()) return false;
  constexpr std::size_t samples = 15;
  const std::size_t begin = runs_.back().begin;
  const std::size_t count = far_.size() - begin;
  TimePoint sample[samples];
  for (std::size_t i = 0; i < samples; ++i) sample[i] = far_[begin + count / samples * i].deadline;
  std::nth_element(sample, sample + samples / 2, sample + samples);
  TimePoint floor = sample[samples / 2];
  Entry* const first = far_.data() + begin;
  std::size_t later =
      move_to_front(first, count, [floor](const Entry& each) { return each.deadline >= floor; });
  if (later == count) {
    // It is the earliest of all, and of many mostly.
    const TimePoint earliest = floor;
    later = move_to_front(first, count, [earliest](const Entry& each) { return each.deadline > earliest; });
    if (later == 0) return false;
    floor = earliest + std::chrono::nanoseconds(1);
  }
  const TimePoint lowest = runs_.back().floor;
  runs_.back().floor = floor;
  runs_.push_back({begin + later, lowest});
  return true;
}

// Half of the entries are of no more use.
void TimerHeap::sweep() noexcept {
  const auto sweep_out = [this](Entry* from, Entry* to, Entry* out) {
    for (; from != to; ++from) {
      if (is_removed(*from))
        free_slot(*from);
      else
        *out++ = *from;
    }
    return out;
  };
  near_ = static_cast<std::size_t>(sweep_out(entries(), entries() + near_, entries()) - entries());
  Entry* const far = far_.data();
  Entry* out = far;
  for (std::size_t i = 0; i < runs_.size(); ++i) {
    const std::size_t end = i + 1 < runs_.size() ? runs_[i + 1].begin : far_.size();
    const auto begin = static_cast<std::size_t>(out - far);
    out = sweep_out(far + runs_[i].begin, far + end, out);
    runs_[i].begin = begin;
  }
  far_.resize(static_cast<std::size_t>(out - far));
  removed_ = 0;
  make_heap();
  tidy_front();
}

// The numbers of the order are used up, and given out anew: those of one deadline are in one run, or all in
// the heap.
void TimerHeap::renumber() noexcept {
  order_ = 0;
  const auto number = [this](Entry* from, Entry* to) {
    std::sort(from, to, before);
    for (; from != to; ++from) from->place = std::uint64_t{order_++} << slot_bits | slot_of(from->place);
  };
  number(entries(), entries() + near_);  // what is sorted is a heap
  for (std::size_t i = 0; i < runs_.size(); ++i)
    number(far_.data() + runs_[i].begin,
           far_.data() + (i + 1 < runs_.size() ? runs_[i + 1].begin : far_.size()));
}

}  // namespace heddle
