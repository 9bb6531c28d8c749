// play_programs: reads programs from its input, a line each, and prints what happens when heddle runs them: a
// line an event, a dot alone after each program. For compare.py, and for people.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "peer_program.hpp"

int main() {
  using namespace heddle::test;
  try {
    for (std::string line; std::getline(std::cin, line);) {
      const std::vector<std::string> log = play_program(parse_program(line));
      for (const std::string& event : log) std::printf("%s\n", event.c_str());
      std::puts(".");
      std::fflush(stdout);
      if (!log.empty() && log.back().ends_with("gives up")) std::_Exit(0);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
