// What every public header begins with: what heddle needs of the compiler, and whose the symbols of a header
// are.
// SPDX-License-Identifier: MIT
#pragma once

// Said in one line: a header that can't be found is where compilers stop, an #error is not.
#if !defined(__cplusplus) || __cplusplus < 202002L
#error "heddle needs C++20: compile with -std=c++20 or later"
#include <heddle_needs_cxx20>
#elif !defined(__cpp_impl_coroutine)
#error "heddle needs coroutines: compile with -std=c++20 or later, and without -fno-coroutines"
#include <heddle_needs_coroutines>
#elif !defined(__cpp_exceptions)
#error "heddle needs exceptions: compile without -fno-exceptions"
#include <heddle_needs_exceptions>
#elif !defined(__cpp_rtti)
#error "heddle needs RTTI: compile without -fno-rtti"
#include <heddle_needs_rtti>
#endif

// A program may hold several copies of heddle, each linked statically into a library or plugin of it. They
// share nothing: not the state of a thread, and so none of the code that uses it. Code in headers is compiled
// into each of them under the same names; if it were left to the dynamic linker, one copy's would be called
// by all. Protected symbols are exported, but each library calls its own.
//
// HEDDLE_STATIC is defined where heddle is a static library, for its users too (by CMake and pkg-config).

/// HEDDLE_EXPORT: what stays visible outside the shared library; everything else is hidden.
///
/// HEDDLE_HEADER_BEGIN, HEDDLE_HEADER_END: around all that a public header declares. In a static library that
/// is protected, too; not hidden, because a user's class with a member of a hidden type is worth a warning to
/// GCC. Objects with virtual functions are deleted through no base whose destructor isn't virtual: there it
/// is protected, which GCC takes for accessible where the class has a friend.
#if defined(HEDDLE_STATIC) && defined(__ELF__)
#define HEDDLE_EXPORT __attribute__((visibility("protected")))
#else
#define HEDDLE_EXPORT __attribute__((visibility("default")))
#endif
#if defined(HEDDLE_BUILDS_ITSELF)  // with -fvisibility=hidden
#define HEDDLE_HEADER_BEGIN
#define HEDDLE_HEADER_END
#elif defined(HEDDLE_STATIC) && defined(__ELF__)
#define HEDDLE_HEADER_BEGIN                                                \
  _Pragma("GCC visibility push(protected)") _Pragma("GCC diagnostic push") \
      _Pragma("GCC diagnostic ignored \"-Wnon-virtual-dtor\"")
#define HEDDLE_HEADER_END _Pragma("GCC diagnostic pop") _Pragma("GCC visibility pop")
#else
#define HEDDLE_HEADER_BEGIN \
  _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wnon-virtual-dtor\"")
#define HEDDLE_HEADER_END _Pragma("GCC diagnostic pop")
#endif
