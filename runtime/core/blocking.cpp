// check_may_block: the error that names the way out.
// SPDX-License-Identifier: MIT
#include "blocking.hpp"

#include <stdexcept>
#include <string>

#include "current.hpp"

namespace heddle::detail {

void check_may_block(const char* operation, const char* instead) {
  if (current.loop == nullptr) return;
  throw std::logic_error(std::string(operation) + " would block the event loop of this thread: " + instead +
                         " instead");
}

}  // namespace heddle::detail
