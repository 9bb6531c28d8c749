// Cancelled, TimeoutError, Interrupted, Deadlock: one copy of each, for all libraries of a program; how a
// Cancelled is thrown.
// SPDX-License-Identifier: MIT
#include "cancelled.hpp"

#include <cxxabi.h>
#include <unwind.h>

#include <cstring>
#include <exception>

namespace heddle {

Cancelled::Cancelled() noexcept = default;
Cancelled::Cancelled(const Cancelled&) noexcept = default;
Cancelled::~Cancelled() = default;

TimeoutError::TimeoutError() : std::runtime_error("timed out") {}
TimeoutError::TimeoutError(const TimeoutError&) noexcept = default;
TimeoutError::~TimeoutError() = default;

Interrupted::Interrupted() : std::runtime_error("interrupted by SIGINT") {}
Interrupted::Interrupted(const Interrupted&) noexcept = default;
Interrupted::~Interrupted() = default;

Deadlock::Deadlock(const char* tasks) : std::logic_error(tasks) {}
Deadlock::Deadlock(const Deadlock&) noexcept = default;
Deadlock::~Deadlock() = default;

namespace detail {

// Nearly all that an exception costs is the unwinder's, which passes each frame between the throw and the
// coroutine twice: its own, that of __cxa_throw() and that of the function that calls it. So where the C++
// ABI's exceptions are GNU's, what __cxa_throw() does is done here instead, and this function leaves its
// place on the stack to the unwinder: the call is its last act, of a function that may return, for all the
// compiler knows. At -O0 it remains there, and nothing else changes.
#if defined(__GLIBCXX__) && !defined(__ARM_EABI_UNWINDER__) && !defined(__USING_SJLJ_EXCEPTIONS__) && \
    !defined(__SEH__)

namespace {

// __cxa_eh_globals, as the Itanium C++ ABI has it (2.2.2).
struct ThreadExceptions {
  void* caught;
  unsigned uncaught;
};

// A new exception object, which its catcher will free. The exception_ptr is never destroyed: its reference is
// the one that the exception has while it is in flight. The unwinder's part is just before the object
// (2.2.1).
_Unwind_Exception* new_cancelled() {
  alignas(std::exception_ptr) unsigned char reference[sizeof(std::exception_ptr)];
  ::new (static_cast<void*>(reference)) std::exception_ptr(std::make_exception_ptr(Cancelled()));
  static_assert(sizeof reference == sizeof(void*));
  void* object;
  std::memcpy(&object, reference, sizeof object);
  return static_cast<_Unwind_Exception*>(object) - 1;
}

}  // namespace

void raise_cancelled() {
  _Unwind_Exception* const exception = new_cancelled();
  ++reinterpret_cast<ThreadExceptions*>(abi::__cxa_get_globals())->uncaught;
  _Unwind_Reason_Code (*volatile raise)(_Unwind_Exception*) = &_Unwind_RaiseException;
  raise(exception);
}

#else

void raise_cancelled() { throw Cancelled(); }

#endif

}  // namespace detail

}  // namespace heddle
