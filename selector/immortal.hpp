// Immortal: an object of static storage that no thread waits for and that is never destroyed.
// SPDX-License-Identifier: MIT
#pragma once

namespace heddle::detail {

/// Made by the compiler (so it is to be declared `constinit`, outside functions), and never destroyed:
/// threads and descriptors may outlive main(). What a function makes when it is first called is made under a
/// lock, which the child of a fork() may find taken by a thread that it doesn't have.
template <class T>
union Immortal {
  constexpr Immortal() noexcept : value{} {}
  ~Immortal() {}
  T value;
};

}  // namespace heddle::detail
