// transfer / resume: how one coroutine hands the thread to another without growing the stack.
// SPDX-License-Identifier: MIT
#pragma once

#include <coroutine>
#include <utility>

#include "../selector/export.hpp"

// GCC makes no tail call of a symmetric transfer under its address and thread sanitizers, so there the target
// is left for the resume() below to pick up.
#if defined(__GNUC__) && !defined(__clang__) && \
    (defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__))
#define HEDDLE_TRAMPOLINE 1
#else
#define HEDDLE_TRAMPOLINE 0
#endif

namespace heddle {

[[gnu::tls_model(
    "initial-exec")]] HEDDLE_EXPORT inline constinit thread_local std::coroutine_handle<> transfer_target{};

/// What await_suspend returns to continue with `target`.
inline std::coroutine_handle<> transfer(std::coroutine_handle<> target) noexcept {
#if HEDDLE_TRAMPOLINE
  transfer_target = target;
  return std::noop_coroutine();
#else
  return target;
#endif
}

/// Resumes `coroutine` and whatever it transfers to, until something suspends for good. The loop is here
/// whether or not this file was compiled with a sanitizer, because the code that calls transfer() may have
/// been.
inline void resume(std::coroutine_handle<> coroutine) {
  coroutine.resume();
  while (transfer_target) [[unlikely]]
    std::exchange(transfer_target, nullptr).resume();
}

}  // namespace heddle
