// HomeLoop: which loop an object is used on, so that its use on another thread is noticed.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstdint>

#include "current.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// A part of an object that is for one loop's thread, but belongs to no loop before it is used: a queue, an
/// event. It becomes the loop's on which it is used, until that ends or rests between two runs.
class HEDDLE_EXPORT HomeLoop {
 public:
  /// `operation`, as "Queue.put()", begins. In a library that was built with HEDDLE_CHECKS this ends the
  /// process, and says so on stderr, if the object is another thread's.
  void use(const char* operation) const noexcept {
    if (loop_ != current.loop) [[unlikely]]
      change(operation);
  }

 private:
  void change(const char* operation) const noexcept;

  mutable Scheduler* loop_ = nullptr;
  mutable std::uint64_t loop_number_ = 0;
};

/// Whether this library has been built with HEDDLE_CHECKS.
HEDDLE_EXPORT bool checks_threads() noexcept;

}  // namespace heddle::detail

HEDDLE_HEADER_END
