// Latch: the error of counting down below zero.
// SPDX-License-Identifier: MIT
#include "latch.hpp"

#include "../../selector/errors.hpp"

namespace heddle {

void Latch::throw_too_many() { throw ValueError("Latch.count_down(): counted down below zero"); }

}  // namespace heddle
