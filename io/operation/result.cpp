// Failure: what failed, as an exception.
// SPDX-License-Identifier: MIT
#include "result.hpp"

#include <string>

namespace heddle {

void Failure::raise() const {
  if (fd >= 0 || error != EBADF) throw_errno(error, operation, fd);
  throw std::system_error(code(), std::string(operation) + " on a closed descriptor");
}

}  // namespace heddle
