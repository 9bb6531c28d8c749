// AsyncFrame: what a coroutine remembers of where it stands, for traces and task dumps.
// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <coroutine>
#include <source_location>

namespace heddle {

/// The pointer that a std::source_location consists of. As a default argument of a function that is called
/// for each co_await it costs nothing, whereas GCC 12 keeps every object that is passed in the coroutine's
/// frame.
using SourcePlace = decltype(__builtin_source_location());
static_assert(sizeof(SourcePlace) == sizeof(std::source_location));

/// A link of the chain of coroutines that await each other; the innermost one knows the way out. The
/// outermost link (no parent) is the task itself, and its `where` is the place that spawned it.
struct AsyncFrame {
  AsyncFrame* parent;          ///< who awaits it; set when it starts
  std::source_location where;  ///< the co_await that was entered last
};

/// The AsyncFrame of a promise, nullptr for the promise of a coroutine that is not heddle's.
template <class Promise>
AsyncFrame* frame_of(Promise& promise) noexcept {
  if constexpr (requires { static_cast<AsyncFrame*>(&promise); })
    return &promise;
  else
    return nullptr;
}

}  // namespace heddle
