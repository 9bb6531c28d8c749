// ServerSpread: connections spread evenly over servers on several threads.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <utility>

#include "../../runtime/core/ref.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

class ServerCore;
class ServerSource;
class SpreadHandover;
class SpreadState;

/// One Server of a ServerSpread, while it serves. Counted references.
class HEDDLE_EXPORT SpreadMember {
 public:
  void add_reference() noexcept;
  void release() noexcept;

  /// How a connection is counted to the member that serves it, or that it is on its way to.
  struct CountLive {
    static void drop(SpreadMember& member) noexcept { member.connection_ended(); }
  };
  using Place = Ref<SpreadMember, CountLive>;

  // On the thread of its loop.

  /// Chooses who is to serve a connection that `source` has accepted. nullptr: this one, and it is counted in
  /// `here`. Otherwise the message to another, which is to be send() with the descriptor.
  SpreadHandover* choose(const ServerSource& source, Place& here) noexcept;
  /// Whether choose() may find another one although this one has as many as it allows.
  bool others_have_room(const ServerSource& source) const noexcept;
  static void send(SpreadHandover& message, int fd) noexcept;

  /// `core` serves what comes, until it has leave()d and nothing is_on_its_way(). Throws std::bad_alloc.
  static Ref<SpreadMember> join(SpreadState& spread, ServerCore& core);
  /// `source` has been added to the server. Throws std::bad_alloc.
  void serves(const ServerSource& source);
  /// Nothing new is sent to this from now on.
  void leave() noexcept;
  bool is_on_its_way() const noexcept;

 private:
  friend class SpreadHandover;
  friend class SpreadState;
  struct Shared;

  explicit SpreadMember(Shared& shared) noexcept : shared_(shared) {}
  ~SpreadMember();
  void connection_ended() noexcept;
  /// The one with the fewest connections that may serve those of `source`, this one if no other has fewer.
  /// With the mutex held.
  SpreadMember& find_fewest(const ServerSource& source, std::size_t& fewest) const noexcept;

  Shared& shared_;
};

/// What the servers share. Counted references.
class HEDDLE_EXPORT SpreadState {
 public:
  static Ref<SpreadState> make();
  void add_reference() noexcept;
  void release() noexcept;

 private:
  friend class SpreadHandover;
  friend class SpreadMember;
  struct Shared;

  explicit SpreadState(Shared& shared) noexcept : shared_(shared) {}
  ~SpreadState();

  Shared& shared_;
};

}  // namespace detail

/// Connections that are spread evenly over servers which listen at the same addresses, each on a thread of
/// its own. With SO_REUSEPORT the kernel chooses a thread for each connection by a hash, and doesn't look at
/// how many that has: of few connections one thread may get most, and of many those that stay may be on one.
/// Servers with one ServerSpread know how many connections each has now: who accepts one and has more than
/// another hands it over, before anything was read from it.
///
///     heddle::ServerSpread spread;
///     auto listeners = heddle::TcpListener::bind_shared(address, 4);
///     heddle::run_on_threads(4, [&](std::size_t index) -> heddle::Task<void> {
///       heddle::Server server({.spread = &spread});
///       server.add(std::move(listeners[index]), echo);
///       co_await server.serve();
///     });
///
/// A connection is handed to the server with the fewest, if that has fewer by more than a 32nd; never to one
/// that has ServerOptions::max_connections, or that was stopped. A server that has as many itself accepts
/// only what another has room for. There it counts, is limited, reported and ended as if it had been accepted
/// there. What was handed over before stop() is still served; a connection that waits for a place when the
/// grace ends is closed. Only streams with a descriptor are handed over (TcpStream, UnixStream). Each server
/// must add the same listeners and handlers, in the same order.
///
/// May be used from any thread, and destroyed once the servers were made. In the child of a fork() nothing is
/// handed over.
class HEDDLE_EXPORT ServerSpread {
 public:
  ServerSpread() : state_(detail::SpreadState::make()) {}

 private:
  friend class detail::ServerCore;

  detail::Ref<detail::SpreadState> state_;
};

}  // namespace heddle

HEDDLE_HEADER_END
