// HEDDLE_EXPORT: what stays visible outside the shared library; everything else is hidden.
// SPDX-License-Identifier: MIT
#pragma once

#define HEDDLE_EXPORT __attribute__((visibility("default")))
