// The selectors that the contract is tested on, each with a name and a way to make one.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "../../selector/base_selector.hpp"

namespace heddle::test {

struct Subject {
  std::string name;  ///< "epoll", or "checked poll" for a decorated one
  std::string kind;  ///< the selector that makes the system calls: "epoll"
  std::unique_ptr<BaseSelector> (*make)();
  std::unique_ptr<BaseSelector> (*move)(BaseSelector& from);  ///< null where the type is not known
  bool real = true;                                           ///< on this kernel, not on a double
};

const std::vector<Subject>& subjects();

}  // namespace heddle::test
