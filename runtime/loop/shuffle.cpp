// Shuffle: a merge sort that throws dice instead of comparing.
// SPDX-License-Identifier: MIT
#include "shuffle.hpp"

#include <cstddef>
#include <utility>

namespace heddle::detail {

namespace {

// splitmix64: good for any seed.
std::uint64_t next_random(std::uint64_t& state) noexcept {
  std::uint64_t z = state += 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

// The first `size` of `list`, which goes on behind them; `rest` is set to what follows.
Runnable* shuffled(Runnable* list, std::size_t size, Runnable*& rest, std::uint64_t& state) noexcept {
  if (size == 1) {
    rest = std::exchange(list->next, nullptr);
    return list;
  }
  std::size_t sizes[2] = {size / 2, size - size / 2};
  Runnable* halves[2];
  halves[0] = shuffled(list, sizes[0], rest, state);
  halves[1] = shuffled(rest, sizes[1], rest, state);
  Runnable* first = nullptr;
  Runnable** end = &first;
  while (sizes[0] + sizes[1] > 0) {
    // As likely from a half as it still has members: so each order is as likely as any.
    const int half = next_random(state) % (sizes[0] + sizes[1]) < sizes[0] ? 0 : 1;
    --sizes[half];
    *end = halves[half];
    halves[half] = halves[half]->next;
    end = &(*end)->next;
  }
  *end = nullptr;
  return first;
}

}  // namespace

Runnable* Shuffle::order(Runnable*& first) noexcept {
  std::size_t size = 0;
  for (const Runnable* each = first; each != nullptr; each = each->next) ++size;
  Runnable* rest = nullptr;
  first = shuffled(first, size, rest, state_);
  Runnable* last = first;
  while (last->next != nullptr) last = last->next;
  return last;
}

}  // namespace heddle::detail
