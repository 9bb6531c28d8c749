// ring_system(), make_ring_selector(): an event loop's System and selector over io_uring(7) completions.
// SPDX-License-Identifier: MIT
#pragma once

#include "../export.hpp"  // first

#include "../base_selector.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// Whether this kernel, or sandbox, grants a ring and does all that it needs: tried once, on a socket pair.
/// Throws std::system_error when it grants no ring at all, or there is no descriptor left for it.
HEDDLE_EXPORT bool ring_is_complete();

/// The kernel, except for streams that a loop on a ring has waited for: bytes of TCP are received and sent
/// through the ring, those of Unix streams sent, as said in selector/ring/README.md. Stateless, never
/// destroyed.
HEDDLE_EXPORT System& ring_system() noexcept;

/// For tests: may change the result of a completion before it is read; `kind` is a Request, or 0. nullptr:
/// nothing.
HEDDLE_EXPORT extern void (*alter_completion)(unsigned kind, int& result);

/// The selector of a loop whose System is ring_system(), the caller's to delete. `one_thread`: see
/// LoopOptions. Throws as ring_is_complete() does.
[[nodiscard]] HEDDLE_EXPORT BaseSelector* make_ring_selector(bool one_thread);

}  // namespace heddle::detail

HEDDLE_HEADER_END
