// The old place of WaitList, which lies in runtime/core now: for those who still include it from here.
// SPDX-License-Identifier: MIT
#pragma once

#include "../core/wait_list.hpp"
