// Shuffle: the order of what is ready, by a seed. For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "../core/loop_observer.hpp"

namespace heddle::detail {

/// Brings what is about to run into an order that follows from the seed, any with the same probability.
/// Allocates nothing.
class Shuffle final : public LoopObserver {
 public:
  explicit Shuffle(std::uint64_t seed) noexcept : state_(seed) {}

  Runnable* order(Runnable*& first) noexcept override;

 private:
  std::uint64_t state_;
};

}  // namespace heddle::detail
