// The errors a selector throws: their key functions and the message of throw_errno.
// SPDX-License-Identifier: MIT
#include "errors.hpp"

#include <string>
#include <system_error>

namespace heddle {

// Out of line, so that each class has one type_info and is caught across shared libraries.
ValueError::~ValueError() = default;
KeyError::~KeyError() = default;
SelectorClosed::~SelectorClosed() = default;

void throw_errno(int err, const char* operation, int fd) {
  std::string what = operation;
  if (fd >= 0) what += " on fd " + std::to_string(fd);
  throw std::system_error(err, std::system_category(), what);
}

}  // namespace heddle
