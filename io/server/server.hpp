// Server: listens, and runs a handler for each connection.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "../../runtime/core/awaitable.hpp"
#include "../../runtime/core/call.hpp"
#include "../../runtime/core/task.hpp"
#include "../../runtime/task/sleep.hpp"
#include "../../runtime/task/timeout.hpp"
#include "../../selector/timeout.hpp"
#include "../net/tcp.hpp"
#include "connection.hpp"
#include "server_core.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

/// What a Server runs for each connection: a function that returns a Task<void> and takes either a `Stream&`,
/// which the server closes when the handler is done, or a `Stream`, which the handler owns.
template <class Handler, class Stream>
concept ConnectionHandler = std::is_invocable_r_v<Task<void>, Handler&, Stream&> ||
                            std::is_invocable_r_v<Task<void>, Handler&, Stream>;

template <class Stream>
class ConnectionOf final : public Connection {
 public:
  ConnectionOf(Stream its_stream, Guard<Semaphore> place, SpreadMember::Place spread) noexcept
      : Connection(std::move(place), std::move(spread)), stream(std::move(its_stream)) {}

  Stream stream;

 private:
  bool reset() noexcept override {
    if constexpr (requires { stream.is_open(); })
      if (!stream.is_open()) return false;  // the handler owns it, or has closed it
    if constexpr (requires { stream.abort(); })
      stream.abort();
    else
      stream.close();
    return true;
  }
  int fileno() const noexcept override {
    if constexpr (requires { stream.fileno(); })
      return stream.fileno();
    else
      return -1;
  }
};

/// A stream that is its descriptor, and so can be given to another thread's Server.
template <class Stream>
concept SpreadableStream = requires(Stream& stream, Fd& fd) {
  { stream.fd() } -> std::same_as<Fd&>;
  Stream(std::move(fd));
};

/// What a Server can listen with.
template <class L>
concept ConnectionListener = requires(L& listener) {
  { listener.accept() } -> Awaitable;
  listener.close();
};

/// A listener and its handler.
template <class Listener, class Handler>
class ServerSourceOf final : public ServerSource {
  using Stream = std::remove_cvref_t<AwaitResult<decltype(std::declval<Listener&>().accept())>>;
  static_assert(
      ConnectionHandler<Handler, Stream>,
      "the handler of a Server takes what accept() yields, or a reference to it, and returns Task<void>");

 public:
  ServerSourceOf(ServerCore& core, Listener&& listener, Handler handler, std::source_location where)
      : ServerSource(core, where),
        listener_(std::forward<Listener>(listener)),
        handler_(std::move(handler)) {}

 private:
  Task<void> accept_all() override {
    for (;;) {
      bool failed = false;
      try {
        co_await accept_one();
        accepted();
      } catch (const std::exception&) {
        report_shortage_or_rethrow();
        failed = true;
      }
      if (failed) co_await sleep(pause);
    }
  }

  Task<void> accept_one() {
    Guard<Semaphore> place;
    Semaphore* const places = core().places();
    if constexpr (requires { listener_.readable(); }) {
      if (places != nullptr) {
        // A listener takes a place only when a connection waits, so that others can have it until then; and
        // gives it back if it can't accept soon: another task was faster, or there is no descriptor left.
        std::optional<Stream> accepted_stream;
        while (!accepted_stream) {
          co_await listener_.readable();
          if (!places->locked() || !others_have_room()) place = co_await places->scoped();
          try {
            accepted_stream.emplace(co_await timeout(place_timeout, listener_.accept()));
          } catch (const TimeoutError&) {
            place.release();
          }
        }
        serve_somewhere(std::move(*accepted_stream), std::move(place));
        co_return;
      }
    }
    Stream stream = co_await listener_.accept();
    if (places != nullptr) place = co_await places->scoped();  // this listener has no readable()
    serve_somewhere(std::move(stream), std::move(place));
  }

  void serve_somewhere(Stream stream, Guard<Semaphore> place) noexcept {
    SpreadMember::Place counted;
    if constexpr (SpreadableStream<Stream>)
      if (SpreadMember* const member = core().member(); member != nullptr) [[unlikely]]
        if (SpreadHandover* const message = member->choose(*this, counted); message != nullptr) {
          core().count_handover();
          return SpreadMember::send(*message, stream.fd().release());
        }
    start_with_place(std::move(stream), std::move(place), std::move(counted));
  }

  bool others_have_room() const noexcept {
    if constexpr (SpreadableStream<Stream>)
      return core().member() != nullptr && core().member()->others_have_room(*this);
    else
      return false;
  }

  void take_over([[maybe_unused]] Fd fd, [[maybe_unused]] SpreadMember::Place counted) noexcept override {
    if constexpr (SpreadableStream<Stream>) start_with_place(Stream(std::move(fd)), {}, std::move(counted));
  }

  void start_with_place(Stream stream, Guard<Semaphore> place, SpreadMember::Place counted) noexcept {
    Semaphore* const places = core().places();
    if (places != nullptr && !place) {
      if (!places->try_acquire()) try {  // a listener has the last one, and may give it back
          return run_beside(start_later(std::move(stream), std::move(counted)));
        } catch (...) {
          return not_started(nullptr);
        }
      place = Guard<Semaphore>(*places);
    }
    start(std::move(stream), std::move(place), std::move(counted));
  }

  Task<void> start_later(Stream stream, SpreadMember::Place counted) {
    Guard<Semaphore> place = co_await core().places()->scoped();
    start(std::move(stream), std::move(place), std::move(counted));
  }

  // A failure here ends this connection only.
  void start(Stream stream, Guard<Semaphore> place, SpreadMember::Place counted) noexcept {
    ConnectionOf<Stream>* connection = nullptr;
    try {
      connection = new ConnectionOf<Stream>(std::move(stream), std::move(place), std::move(counted));
      run(*connection, handle(connection->stream));
    } catch (...) {
      not_started(connection);
    }
  }

  HEDDLE_CORO_WRAPPER Task<void> handle(Stream& stream) {
    if constexpr (std::is_invocable_v<Handler&, Stream&>)
      return handler_(stream);
    else
      return handler_(std::move(stream));
  }

  void close() noexcept override { listener_.close(); }

  Listener listener_;
  Handler handler_;
};

}  // namespace detail

/// Listens at one or more places and runs a handler, a coroutine, for each connection.
///
///     heddle::Task<void> serve() {
///       heddle::Server server;
///       server.listen(heddle::Address("127.0.0.1", 7000), echo);  // Task<void> echo(TcpStream&)
///       co_await heddle::when_any(server.serve(), heddle::signal(SIGTERM));
///     }
///
/// Handlers run beside each other as children of serve(), which doesn't end before they have. What a handler
/// throws ends its connection and is reported, once, to the loop's report handler; but not that the peer has
/// gone (ECONNRESET, EPIPE, ...), unless ServerOptions::report_disconnects is set. When descriptors run out,
/// peers that wait are refused until there are some again (see TcpListener::accept).
///
/// For one loop's thread; for several threads, give each a Server of its own (see run_on_threads,
/// TcpListener::bind_shared, ServerSpread). Destroying it while serve() runs stops it as stop(0) does.
class HEDDLE_EXPORT Server {
 public:
  explicit Server(const ServerOptions& options = {});
  Server(Server&& other) noexcept : core_(std::exchange(other.core_, nullptr)) {}
  Server& operator=(Server&& other) noexcept {
    std::swap(core_, other.core_);
    return *this;
  }
  ~Server();

  /// Listens at `address` too, and yields it, with the port that the kernel has picked if that was 0. The
  /// handler lives as long as there are connections. Peers may connect from now on, and wait until serve()
  /// runs. Throws std::system_error that names the address.
  template <class Handler>
  Address listen(const Address& address, Handler handler, const ListenOptions& options = {},
                 std::source_location where = std::source_location::current()) {
    TcpListener listener = TcpListener::bind(address, options);
    const Address bound = listener.local_address();
    add(std::move(listener), std::move(handler), where);
    return bound;
  }
  /// The same at every address of a host, all with one port; "" is every address of this machine. Throws
  /// ResolveError, too.
  template <class Handler>
  Task<std::vector<Address>> listen(std::string host, std::uint16_t port, Handler handler,
                                    ListenOptions options = {},
                                    std::source_location where = std::source_location::current()) {
    std::vector<TcpListener> listeners = co_await TcpListener::bind_host(std::move(host), port, options);
    std::vector<Address> addresses;
    for (TcpListener& listener : listeners) {
      addresses.push_back(listener.local_address());
      add(std::move(listener), handler, where);
    }
    co_return addresses;
  }
  /// Serves what `listener` accepts: a TcpListener, a UnixListener, or anything else with accept() and
  /// close(); an lvalue must outlive serve(), an rvalue is owned. Throws std::logic_error after stop().
  template <class Listener, class Handler>
    requires detail::ConnectionListener<std::remove_reference_t<Listener>>
  void add(Listener&& listener, Handler handler,
           std::source_location where = std::source_location::current()) {
    core().add(*new detail::ServerSourceOf<Listener, Handler>(core(), std::forward<Listener>(listener),
                                                              std::move(handler), where));
  }

  /// Serves until stop() or close() is called, and all handlers have ended. A request to stop this task does
  /// the same as stop(), and Cancelled is thrown when that is done; a second request ends the grace, a third
  /// resets the connections (when_any() and its like pass on the first one only). If a listener can't accept
  /// any more, its error is thrown after the handlers were stopped. Throws std::logic_error when it listens
  /// nowhere, or serves already. Returns at once if it was stopped before.
  HEDDLE_CORO_WRAPPER Task<void> serve() { return core().serve(detail::ServerCore::Reference(core())); }

  /// Ends the service, in steps: accepting ends, and the listeners are closed (peers that were not accepted
  /// yet see a reset); handlers may go on for `grace` (zero or less: not at all; nullopt: without a limit);
  /// those that are left are cancelled; after ServerOptions::abort_after the connections of those that still
  /// go on are reset. Called again it can only shorten the grace. May be called from a handler.
  void stop(Timeout grace) { core().stop(grace); }
  /// The same with ServerOptions::grace.
  void stop() { core().stop(core().options().grace); }
  /// stop(), and waits until serve() has ended. If the wait is cancelled, the service still ends. A handler
  /// that awaits this waits for its own end, until it is cancelled after the grace.
  HEDDLE_CORO_WRAPPER Task<void> close(Timeout grace) {
    return core().close(detail::ServerCore::Reference(core()), grace);
  }
  HEDDLE_CORO_WRAPPER Task<void> close() { return close(core().options().grace); }

  /// `co_await server.stopping()` waits until stop() is called: for a handler between two requests, which can
  /// end then without using up the grace. Cancel-safe.
  detail::EventOperation stopping() { return core().stopping(); }

  /// serve() runs, and stop() wasn't called.
  bool is_serving() const { return core().is_serving(); }
  ServerCounters counters() const { return core().counters(); }

 private:
  /// Throws std::logic_error for a Server that was moved from.
  detail::ServerCore& core() const {
    if (core_ == nullptr) throw_moved_from();
    return *core_;
  }
  [[noreturn]] static void throw_moved_from();

  detail::ServerCore* core_;
};

}  // namespace heddle

HEDDLE_HEADER_END
