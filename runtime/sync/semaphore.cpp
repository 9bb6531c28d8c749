// Semaphore: the error of releasing more permits than there are.
// SPDX-License-Identifier: MIT
#include "semaphore.hpp"

#include "../../selector/errors.hpp"

namespace heddle {

void Semaphore::throw_too_many() {
  throw ValueError("Semaphore.release(): released more often than acquired");
}

}  // namespace heddle
