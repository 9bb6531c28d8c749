// What the example servers take from the command line.
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

struct Options {
  std::string host = "127.0.0.1";
  std::uint16_t port = 7000;  // 0: the kernel picks one
  std::string selector = "default";
};

/// An option of one example alone: --name VALUE; or --name, with nullptr for value_name, and then `value` is
/// "yes".
struct ExtraOption {
  const char* name;
  const char* value_name;
  const char* help;
  std::string* value;
  bool needed = false;
};

/// Reads --host, --port, --selector and `extra`. Ends the program with status 2 and a message for what it
/// doesn't know, and for what is needed and missing.
Options parse_options(int argc, char** argv, const std::vector<ExtraOption>& extra = {});

/// A time of the command line, in seconds: "10", "0.5". Throws std::invalid_argument, which names the option.
std::chrono::milliseconds seconds(const char* option, const std::string& text);
