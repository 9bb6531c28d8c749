// AsyncGenerator: what it says to those who use it wrongly.
// SPDX-License-Identifier: MIT
#include "async_generator.hpp"

#include <stdexcept>

#include "../core/wait_list.hpp"

namespace heddle::detail {

void throw_generator_empty() {
  throw std::logic_error("AsyncGenerator.next(): it was moved from, or never had a coroutine");
}

void throw_generator_running() {
  throw std::logic_error("AsyncGenerator.next(): another task waits for it already");
}

void throw_generator_destroyed() { throw_destroyed("AsyncGenerator.next()"); }

}  // namespace heddle::detail
