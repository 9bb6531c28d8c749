// Uses heddle::selector alone: registers one end of a pair, is told when it is readable, and catches what it
// throws.
// SPDX-License-Identifier: MIT
#include <sys/socket.h>
#include <unistd.h>
#include <heddle/selector/errors.hpp>
#include <heddle/selector/mechanisms/default_selector.hpp>

#include <cstdio>
#include <stdexcept>

int main() {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return 1;
  heddle::DefaultSelector selector;
  selector.register_(pair[0], heddle::EVENT_READ);
  if (write(pair[1], "x", 1) != 1) return 2;
  int seen = 0;
  for (const auto& [key, events] : selector.select())
    seen += key.fd == pair[0] && events == heddle::EVENT_READ;
  if (seen != 1) return 3;
  // Exceptions cross the library's boundary as the types they are.
  try {
    selector.register_(pair[0], heddle::EVENT_READ);
    return 4;
  } catch (const heddle::KeyError&) {
  }
  try {
    selector.register_(-1, heddle::EVENT_READ);
    return 5;
  } catch (const std::invalid_argument&) {
  }
  std::puts("selected");
}
