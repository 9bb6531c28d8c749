// The timer heap: children of i are 4i+1 ... 4i+4, which halves the levels of a binary heap for the same
// comparisons.
// SPDX-License-Identifier: MIT
#include "timer_heap.hpp"

#include <algorithm>

namespace heddle {

namespace {
constexpr std::size_t arity = 4;
}

bool TimerHeap::before(const Entry& a, const Entry& b) noexcept {
  if (a.deadline != b.deadline) [[likely]]
    return a.deadline < b.deadline;
  return static_cast<std::int32_t>(a.timer->order - b.timer->order) < 0;  // the counter may wrap
}

void TimerHeap::place(std::size_t index, const Entry& entry) noexcept {
  entries_[index] = entry;
  entry.timer->index = static_cast<std::uint32_t>(index);
}

void TimerHeap::sift_up(std::size_t index, const Entry& entry) noexcept {
  while (index > 0) {
    const std::size_t parent = (index - 1) / arity;
    if (!before(entry, entries_[parent])) break;
    place(index, entries_[parent]);
    index = parent;
  }
  place(index, entry);
}

void TimerHeap::sift_down(std::size_t index, const Entry& entry) noexcept {
  const std::size_t size = entries_.size();
  for (std::size_t child = index * arity + 1; child < size; child = index * arity + 1) {
    std::size_t least = child;
    for (std::size_t other = child + 1; other < std::min(child + arity, size); ++other)
      if (before(entries_[other], entries_[least])) least = other;
    if (!before(entries_[least], entry)) break;
    place(index, entries_[least]);
    index = least;
  }
  place(index, entry);
}

void TimerHeap::add(Timer& timer, TimePoint deadline) {
  entries_.push_back({deadline, &timer});
  timer.deadline = deadline;
  timer.order = order_++;
  const Entry entry = entries_.back();
  sift_up(entries_.size() - 1, entry);
}

void TimerHeap::remove(Timer& timer) noexcept {
  if (!timer.armed()) return;
  const std::size_t index = timer.index;
  timer.index = Timer::nowhere;
  const Entry last = entries_.back();
  entries_.pop_back();
  if (last.timer == &timer) return;
  if (index > 0 && before(last, entries_[(index - 1) / arity]))
    sift_up(index, last);
  else
    sift_down(index, last);
}

Timer* TimerHeap::pop_due(TimePoint now) noexcept {
  if (entries_.empty() || entries_.front().deadline > now) return nullptr;
  Timer* const timer = entries_.front().timer;
  remove(*timer);
  return timer;
}

}  // namespace heddle
