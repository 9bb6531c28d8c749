// shuffle: the order of what is ready, by a seed. For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "../core/runnable.hpp"

namespace heddle {

/// Brings a list into an order that follows from `state`, any with the same probability, and moves `state`
/// on. Allocates nothing. Returns the first and last of it.
struct Shuffled {
  Runnable* first;
  Runnable* last;
};
Shuffled shuffle(Runnable& list, std::uint64_t& state) noexcept;

}  // namespace heddle
