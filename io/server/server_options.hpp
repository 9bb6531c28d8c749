// ServerOptions, ServerCounters: what a Server allows, and what it has counted.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "../../selector/timeout.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

class ServerSpread;

/// What a Server allows.
struct ServerOptions {
  /// The most connections at a time; further peers wait, not accepted, until others have gone. 0: any number.
  std::size_t max_connections = 0;
  /// A handler that takes longer is cancelled; nullopt: no limit.
  Timeout lifetime = std::nullopt;
  /// A handler that is idle for longer is cancelled: neither it nor a task that it waits for was resumed, nor
  /// did an operation of theirs make progress. (A call on another thread makes none, nor do the tasks that
  /// wait() waits for, until they end.)
  Timeout idle = std::nullopt;
  /// How long handlers may go on after Server::stop().
  Timeout grace = Duration(0);
  /// A handler that still goes on so long after it was cancelled has its connection reset, so that it can't
  /// wait for its peer any more. Only for handlers that take a reference to their stream.
  Timeout abort_after = std::chrono::seconds(5);
  /// Also report a handler that ends by an error which only means that the peer has gone: ECONNRESET, EPIPE,
  /// ECONNABORTED, ENOTCONN, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH.
  bool report_disconnects = false;
  /// Shared by servers on several threads, over which connections are spread evenly. nullptr: whoever accepts
  /// a connection serves it. Has to exist only until the Server is made.
  const ServerSpread* spread = nullptr;
};

/// What a Server has counted.
struct ServerCounters {
  std::size_t active = 0;      ///< connections that are served now
  std::uint64_t accepted = 0;  ///< those whose handlers were started here
  std::uint64_t handed_over =
      0;                        ///< those that were accepted here, and given to another Server of the spread
  std::uint64_t failed = 0;     ///< handlers that an exception has ended
  std::uint64_t timed_out = 0;  ///< handlers that were cancelled by ServerOptions::lifetime or idle
  std::uint64_t aborted = 0;    ///< connections that were reset because their handlers went on
};

}  // namespace heddle

HEDDLE_HEADER_END
