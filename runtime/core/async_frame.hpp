// AsyncFrame: what a coroutine remembers of where it stands, for traces and task dumps.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <bit>
#include <coroutine>
#include <cstdint>
#include <source_location>

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// How a coroutine ended, or that it hasn't.
enum class Outcome : unsigned char { PENDING, VALUE, ERROR, CANCELLED };

/// The pointer that a std::source_location consists of. As a default argument of a function that is called
/// for each co_await it costs nothing, whereas GCC 12 keeps every object that is passed in the coroutine's
/// frame.
using SourcePlace = decltype(__builtin_source_location());
static_assert(sizeof(SourcePlace) == sizeof(std::source_location));

/// A link of the chain of coroutines that await each other; the innermost one knows the way out.
class AsyncFrame {
 public:
  /// Who awaits it, nullptr for a task and where a coroutine that is not heddle's does.
  const AsyncFrame* parent() const noexcept {
    return (awaiting_ & has_parent) == 0
               ? nullptr
               : reinterpret_cast<const AsyncFrame*>((awaiting_ & ~all_bits) + frame_offset);
  }

  std::source_location where;  ///< the co_await that was entered last

 protected:
  /// The coroutine is to be resumed, and when it ends `awaiting` goes on.
  template <class Promise>
  void set_awaited_by(std::coroutine_handle<Promise> awaiting) noexcept;
  /// The same for the outermost coroutine of a task.
  void set_root() noexcept { awaiting_ = 0; }
  std::coroutine_handle<> continuation() const noexcept {
    return std::coroutine_handle<>::from_address(reinterpret_cast<void*>(awaiting_ & ~all_bits));
  }
  /// Of a coroutine that was started.
  void set_cancelled() noexcept { awaiting_ |= cancelled; }
  bool was_cancelled() const noexcept { return (awaiting_ & cancelled) != 0; }

 private:
  // In the lower bits of the awaiting coroutine's address, as the bytes of a frame count when there are a
  // million: it has an AsyncFrame; and this one was cancelled.
  static constexpr std::uintptr_t has_parent = 1;
  static constexpr std::uintptr_t cancelled = 2;
  static constexpr std::uintptr_t all_bits = has_parent | cancelled;
  // After the two pointers that each coroutine begins with: the promise, unless that is aligned to more.
  static constexpr std::uintptr_t frame_offset = 2 * sizeof(void*);

  std::uintptr_t awaiting_;  // not set before the start, as most are awaited at once
};

/// The AsyncFrame of a promise, nullptr for the promise of a coroutine that is not heddle's.
template <class Promise>
AsyncFrame* frame_of(Promise& promise) noexcept {
  if constexpr (requires { static_cast<AsyncFrame*>(&promise); })
    return &promise;
  else
    return nullptr;
}

template <class Promise>
void AsyncFrame::set_awaited_by(std::coroutine_handle<Promise> awaiting) noexcept {
  const auto address = reinterpret_cast<std::uintptr_t>(awaiting.address());
  const auto frame = reinterpret_cast<std::uintptr_t>(frame_of(awaiting.promise()));
  awaiting_ = frame == address + frame_offset ? address | has_parent : address;
}

}  // namespace heddle::detail

HEDDLE_HEADER_END
