// PinnedThread: a thread that runs on one core, and what its library's own threads inherit. For .cpp files
// only.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <vector>

namespace heddle::detail {

/// The cores that a thread may run on: an affinity mask of sched_setaffinity(2), of as many bits as the
/// kernel has. Empty where the system has none.
class CoreSet {
 public:
  /// Those of the calling thread. Throws std::system_error: "sched_getaffinity: ...".
  static CoreSet of_this_thread();
  /// Of as many bits, with core `number` alone.
  CoreSet only(std::size_t number) const;

  /// Their numbers, in order.
  std::vector<std::size_t> numbers() const;
  /// Has the calling thread run on these alone. Returns 0 or the errno.
  int apply() const noexcept;

 private:
  std::vector<unsigned long> words_;
};

/// While it lives, the calling thread runs on one core alone; then it may run where it could before. Made and
/// destroyed on that thread, one at a time.
class PinnedThread {
 public:
  /// `number` is one of `allowed`, to which the thread returns. Throws std::system_error, which names the
  /// core: "sched_setaffinity to core 3: ...".
  PinnedThread(const CoreSet& allowed, std::size_t number);
  PinnedThread(const PinnedThread&) = delete;
  PinnedThread& operator=(const PinnedThread&) = delete;
  ~PinnedThread();

 private:
  friend class HelpersUnpinned;

  CoreSet allowed_;
  CoreSet core_;
};

/// A new thread inherits the mask of the one that creates it: while this lives, that is the mask from before
/// the PinnedThread of this thread, if it has one. For threads that work for more than this one's loop.
class HEDDLE_EXPORT HelpersUnpinned {
 public:
  HelpersUnpinned() noexcept;
  HelpersUnpinned(const HelpersUnpinned&) = delete;
  HelpersUnpinned& operator=(const HelpersUnpinned&) = delete;
  ~HelpersUnpinned();

 private:
  const PinnedThread* pinned_;
};

}  // namespace heddle::detail
