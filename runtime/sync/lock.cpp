// Lock: the error of releasing one that isn't held.
// SPDX-License-Identifier: MIT
#include "lock.hpp"

#include <stdexcept>

namespace heddle {

void Lock::throw_not_held() { throw std::logic_error("Lock.release(): nobody holds the lock"); }

}  // namespace heddle
