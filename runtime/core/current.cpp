// current: where it lives.
// SPDX-License-Identifier: MIT
#include "current.hpp"

namespace heddle::detail {

constinit thread_local Current current{};

}  // namespace heddle::detail
