// ServerOptions, ServerCounters: what a Server allows, and what it has counted.
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "../../selector/timeout.hpp"

namespace heddle {

/// What a Server allows.
struct ServerOptions {
  /// So many connections at a time; more peers wait, unaccepted, until others have gone. 0: any number.
  std::size_t max_connections = 0;
  /// A handler that takes longer is cancelled; nullopt: there is no limit.
  Timeout lifetime = std::nullopt;
  /// The same for one in which nothing goes on for so long: neither it, nor a task that it waits for, has got
  /// what it waited for. (A call on another thread is such a wait; of tasks that wait() waits for only their
  /// ends count.)
  Timeout idle = std::nullopt;
  /// How long handlers may go on after Server::stop().
  Timeout grace = Duration(0);
  /// A handler that still goes on so long after it was cancelled gets its connection reset, so that it can't
  /// wait for its peer any more. That is possible for handlers that take a reference to their stream.
  Timeout abort_after = std::chrono::seconds(5);
  /// Report it, too, when a handler ends by an error that says no more than that the peer has gone:
  /// ECONNRESET, EPIPE, ECONNABORTED, ENOTCONN, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH.
  bool report_disconnects = false;
};

/// What a Server has counted.
struct ServerCounters {
  std::size_t active = 0;  ///< connections that are served now
  std::uint64_t accepted = 0;
  std::uint64_t failed = 0;     ///< handlers that an exception has ended
  std::uint64_t timed_out = 0;  ///< handlers that were cancelled by ServerOptions::lifetime or idle
  std::uint64_t aborted = 0;    ///< connections that were reset because their handlers went on
};

}  // namespace heddle
