// What the example servers take from the command line.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

struct Options {
  std::string host = "127.0.0.1";
  std::uint16_t port = 7000;  // 0: the kernel picks one
  std::string selector = "default";
};

/// Reads --host, --port and --selector. Ends the program with status 2 and a message for what it doesn't
/// know.
Options parse_options(int argc, char** argv);
