// Histories: what happens to a dozen descriptors, played to every selector at once and checked against
// poll(2).
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace heddle::test {

/// Three bytes are a step: what, to which descriptor, how. Any bytes are a history.
using History = std::vector<std::uint8_t>;

/// The history that belongs to a seed.
History make_history(std::uint64_t seed, std::size_t steps = 60);

struct Outcome {
  std::string failure;             ///< empty when all selectors did what the contract says
  std::vector<std::string> lines;  ///< the steps in words, with what select, poll and epoll made of them
};

enum class Who {
  EVERY,   ///< all of subjects()
  PYTHON,  ///< those that Python has here too: an armed io_uring poll keeps a closed file alive, and its peer
           ///< sees that
};

/// Opens descriptors at fixed numbers (100 to 107 and 150 to 153), drives every selector of
/// subjects() with the same calls, and closes all of it again.
Outcome play(std::span<const std::uint8_t> history, Who who = Who::EVERY);

/// The lines as one text, to print with a failure.
std::string in_words(const Outcome& outcome);

}  // namespace heddle::test
