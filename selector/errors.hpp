// The errors a selector throws: a bad argument, an unknown key, a closed selector, or what the kernel said.
// SPDX-License-Identifier: MIT
#pragma once

#include "export.hpp"  // first

#include <stdexcept>

HEDDLE_HEADER_BEGIN

namespace heddle {

/// An argument that can never be right: an empty or unknown event mask, a negative descriptor, data of
/// another type.
class HEDDLE_EXPORT ValueError : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
  ~ValueError() override;
};

/// The file object is registered already, or is not registered.
class HEDDLE_EXPORT KeyError : public std::out_of_range {
 public:
  using std::out_of_range::out_of_range;
  ~KeyError() override;
};

/// The selector was closed (or moved from).
class HEDDLE_EXPORT SelectorClosed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  ~SelectorClosed() override;
};

/// Throws std::system_error with `err`, reading "epoll_ctl on fd 7: Bad file descriptor".
/// With a negative `fd` it reads "epoll_create1: ...".
[[noreturn]] HEDDLE_EXPORT void throw_errno(int err, const char* operation, int fd);

}  // namespace heddle

HEDDLE_HEADER_END
