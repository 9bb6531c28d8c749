// Programs that programs.py has made, and their run on heddle.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace heddle::test {

struct PeerStep;
using PeerBlock = std::vector<PeerStep>;

/// One thing that a task does.
struct PeerStep {
  std::string kind;
  int number = 0;
  std::vector<int> args;
  std::vector<PeerBlock> blocks;
};

struct PeerProgram {
  std::uint64_t seed = 0;
  std::vector<PeerBlock> tasks;
};

/// Throws std::runtime_error for what isn't a program.
PeerProgram parse_program(const std::string& line);

/// What happened, in order: "time task step what". The last is "gives up" if there are tasks that no request
/// can stop: their loop stays, and this thread can run no other.
std::vector<std::string> play_program(const PeerProgram& program);

}  // namespace heddle::test
