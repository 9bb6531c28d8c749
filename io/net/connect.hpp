// Connecting by TCP: its options, its error, and the race of a host's addresses.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <chrono>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "../../runtime/core/call.hpp"
#include "../../runtime/core/task.hpp"
#include "../../selector/timeout.hpp"
#include "../address/address.hpp"
#include "../address/host_port.hpp"
#include "../operation/fd.hpp"
#include "../operation/result.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// How to connect.
struct ConnectOptions {
  /// For everything together: looking up the name, and all attempts. nullopt: as long as the system tries.
  Timeout timeout = {};
  /// When an address hasn't answered for so long, the next is tried beside it (RFC 8305 recommends 250 ms, at
  /// least 100). One that has failed is followed by the next at once.
  Timeout attempt_delay = std::chrono::milliseconds(250);
  /// What to bind to before connecting; port 0: the system picks one. Only addresses of its family are tried.
  Address local = {};
};

/// A connection that could not be made. what() names the target and, where it has several addresses, what
/// each attempt failed with; code() is that of the last one, ETIMEDOUT when ConnectOptions::timeout passed.
class HEDDLE_EXPORT ConnectError : public std::system_error {
 public:
  struct Attempt {
    Address address;
    Failure failure;
  };

  ConnectError(const std::string& target, std::vector<Attempt> attempts);
  /// ConnectOptions::timeout passed.
  ConnectError(const std::string& target, std::vector<Attempt> attempts, Timeout timeout);
  ConnectError(const ConnectError&);
  ~ConnectError() override;

  /// Those that have failed, in the order in which they did.
  const std::vector<Attempt>& attempts() const noexcept { return attempts_; }

 private:
  std::vector<Attempt> attempts_;
};

namespace detail {

/// What connect() returns: a Task that can be awaited for a Result, too.
template <class Stream>
class [[nodiscard]] Connecting : public Task<Stream> {
 public:
  explicit Connecting(Task<Stream> task) noexcept : Task<Stream>(std::move(task)) {}

  /// To await it for a Result instead of a std::system_error (a ResolveError is thrown all the same).
  HEDDLE_CORO_WRAPPER Task<Result<Stream>> as_result() && { return result_of(std::move(*this)); }

 private:
  static Task<Result<Stream>> result_of(Task<Stream> task) {
    try {
      co_return co_await task;
    } catch (const std::system_error& error) {
      co_return Failure{error.code().value(), "connect", -1};
    }
  }
};

/// The same addresses, alternating between the families, that of the first one first (RFC 8305, section 4).
HEDDLE_EXPORT std::vector<Address> interleave_families(const std::vector<Address>& addresses);

// What TcpStream::connect() does. Each yields a connected socket, and throws ConnectError. When one attempt
// has succeeded, the others are stopped and their sockets closed (RFC 8305, section 5).

HEDDLE_EXPORT Task<Fd> connect_address(Address address, ConnectOptions options);
/// In this order. Throws ValueError when there is none.
HEDDLE_EXPORT Task<Fd> connect_first(std::vector<Address> addresses, ConnectOptions options);
/// The host's addresses, by interleave_families(). Throws ResolveError, too.
HEDDLE_EXPORT Task<Fd> connect_host(HostPort target, ConnectOptions options);

}  // namespace detail

}  // namespace heddle

HEDDLE_HEADER_END
