// dump_tasks: what every task of a loop waits for, where, and for how long.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <string>  // on purpose: a dump is a text
#include <string_view>

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

class Scheduler;

/// Prints what dump_tasks() says on stderr. Throws std::bad_alloc.
HEDDLE_EXPORT void print_tasks(const Scheduler& loop);

}  // namespace detail

/// The tasks of a loop (an EventLoop is a Scheduler) as a tree (who spawned whom) of lines. For each: its
/// name, what it waits for and since when, the file and line of every co_await that it is inside of,
/// innermost first, and where it was spawned; for a descriptor what it is (the addresses of a socket) and
/// what the selector was asked for. Then the descriptors that nobody waits for. Without an argument of the
/// running loop: throws std::logic_error if none runs. To be called on the loop's thread.
///
/// The text is as long as there are tasks and co_awaits: from the 17th level on the tree is indented no
/// further, and a task says whose it is ("task 20, of task 19: ...").
HEDDLE_EXPORT std::string dump_tasks(const detail::Scheduler& loop);
HEDDLE_EXPORT std::string dump_tasks();
/// The same without the whole text in memory: calls `write(to, lines)` with some 32 KiB of whole lines at a
/// time. What `write` throws comes out.
HEDDLE_EXPORT void dump_tasks(const detail::Scheduler& loop, void (*write)(void* to, std::string_view lines),
                              void* to);

}  // namespace heddle

/// For a debugger: prints on stderr what dump_tasks() says of this thread's loop, or, where no loop runs on
/// it, of every loop of the process. In gdb, with the program stopped: `call (void)heddle_dump_tasks()`.
extern "C" HEDDLE_EXPORT void heddle_dump_tasks() noexcept;

HEDDLE_HEADER_END
