// dump_tasks: what every task of a loop waits for, where, and for how long.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <string>  // on purpose: a dump is a text

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

class Scheduler;

}  // namespace detail

/// The tasks of a loop (an EventLoop is a Scheduler) as a tree (who spawned whom) of lines. For each: its
/// name, what it waits for and since when, the file and line of every co_await that it is inside of,
/// innermost first, and where it was spawned; for a descriptor what it is (the addresses of a socket) and
/// what the selector was asked for. Then the descriptors that nobody waits for. Without an argument of the
/// running loop: throws std::logic_error if none runs. To be called on the loop's thread.
HEDDLE_EXPORT std::string dump_tasks(const detail::Scheduler& loop);
HEDDLE_EXPORT std::string dump_tasks();

}  // namespace heddle

/// For a debugger: prints on stderr what dump_tasks() says of this thread's loop, or, where no loop runs on
/// it, of every loop of the process. In gdb, with the program stopped: `call (void)heddle_dump_tasks()`.
extern "C" HEDDLE_EXPORT void heddle_dump_tasks() noexcept;

HEDDLE_HEADER_END
