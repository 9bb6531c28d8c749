// play_programs: reads programs from its input, a line each, and prints what happens when heddle runs them: a
// line an event, a dot alone after each program. For compare.py, and for people.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>

#include "peer_program.hpp"

int main() {
  using namespace heddle::test;
  try {
    for (std::string line; std::getline(std::cin, line);) {
      for (const std::string& event : play_program(parse_program(line))) std::printf("%s\n", event.c_str());
      std::puts(".");
      std::fflush(stdout);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
