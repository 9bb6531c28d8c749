// resolve: names to addresses, without blocking the loop.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../runtime/core/task.hpp"
#include "address.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// A name that could not be resolved; what() names it.
struct HEDDLE_EXPORT ResolveError : std::runtime_error {
  /// `code` is getaddrinfo(3)'s EAI_ value.
  ResolveError(const std::string& host, int code);
  ResolveError(const ResolveError&) noexcept;
  ~ResolveError() override;

  int code;
};

/// The addresses of `host` for TCP at `port`, in getaddrinfo(3)'s order (RFC 6724), without duplicates; at
/// least one. A numeric host needs no look-up. Names are looked up on threads that do nothing else, at most
/// 32 at a time; others wait for one of these. Cancelled, a look-up that waits isn't made; one that runs is
/// abandoned, and keeps its thread until it ends. Throws ResolveError; at once (EAI_NONAME) for what can't be
/// a name, as with blanks, brackets or colons in it.
HEDDLE_EXPORT Task<std::vector<Address>> resolve(std::string host, std::uint16_t port);

}  // namespace heddle

HEDDLE_HEADER_END
