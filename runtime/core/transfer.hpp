// transfer: how one coroutine hands the thread to another without growing the stack.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <coroutine>

#include "current.hpp"

// GCC makes no tail call of a symmetric transfer under its address and thread sanitizers, so there the target
// is left for the resume() below to pick up.
#if defined(__GNUC__) && !defined(__clang__) && \
    (defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__))
#define HEDDLE_TRAMPOLINE 1
#else
#define HEDDLE_TRAMPOLINE 0
#endif

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// What await_suspend returns to continue with `target`. The loop looks for a target that was left whether or
/// not it was compiled with a sanitizer itself, because the code that awaits may have been.
inline std::coroutine_handle<> transfer(std::coroutine_handle<> target) noexcept {
#if HEDDLE_TRAMPOLINE
  current.target = target;
  current.call_loop();
  return std::noop_coroutine();
#else
  return target;
#endif
}

/// What the outermost coroutine of a task continues with when it has ended: the loop, which has to attend to
/// the task.
inline std::coroutine_handle<> leave_task() noexcept {
  current.call_loop();
  return std::noop_coroutine();
}

}  // namespace heddle::detail

HEDDLE_HEADER_END
