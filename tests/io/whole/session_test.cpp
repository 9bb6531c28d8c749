// A client and a server session that is cancelled at each of its suspensions, and in which each call fails.
// SPDX-License-Identifier: MIT
#include <sys/socket.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "../../../io/address/resolver.hpp"
#include "../../../runtime/task/task_group.hpp"
#include "../../../runtime/testing/testing.hpp"
#include "../../support/faulty_system.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

Task<void> echo(TcpStream stream) {
  try {
    std::string buffer(10'000, '\0');
    while (const std::size_t size = co_await stream.read_some(std::span(buffer)))
      co_await stream.write_all(std::string_view(buffer).substr(0, size));
  } catch (const std::system_error&) {
  }
}

Task<void> serve(TcpListener& listener) {
  for (;;) {
    try {
      spawn(echo(co_await listener.accept()));
    } catch (const std::system_error&) {
      if (!listener.is_open()) throw;
    }
  }
}

Task<void> send_then_end(TcpStream& stream, const std::string& bytes) {
  co_await stream.write_all(bytes);
  stream.shutdown(Shutdown::WRITE);
}

// The server ended the connection too early.
struct Refused : std::runtime_error {
  Refused() : std::runtime_error("the echo is incomplete") {}
};

// Something of everything: names, connects, small and large messages, both directions at once, deadlines.
Task<void> visit(std::string host, std::uint16_t port, const std::string& bytes) {
  TcpStream stream = co_await TcpStream::connect(host, port);
  stream.set_send_buffer(16'384);
  co_await stream.write_all("hello");
  for (std::string hello; hello != "hello";) {
    const std::string piece = co_await timeout(5s, read_some(stream));
    if (piece.empty()) throw Refused();
    hello += piece;
  }
  auto results = co_await gather(send_then_end(stream, bytes), read_all(stream));
  if (std::get<1>(results) != bytes) throw Refused();
}

Task<void> whole_session(const std::string& bytes, std::string host = "127.0.0.1") {
  auto listener = TcpListener::bind(any_port());
  const std::uint16_t port = listener.local_address().port();
  auto body = [&](TaskGroup& group) -> Task<void> {
    auto server = group.spawn(serve(listener));
    co_await visit(host, port, bytes);
    server.cancel();
  };
  co_await task_group(body);
}

}  // namespace

ON_SELECTORS("cancelled at every suspension, one a run, a session leaves nothing behind") {
  const std::string bytes = pattern(60'000);
  const auto scenario = [&]() -> Task<void> { co_await whole_session(bytes, "localhost"); };
  DisturbOptions options;
  options.loop.selector = selector;
  options.main_only = true;  // a client whose server was stopped would wait in vain
  for (const bool from_outside : {false, true}) {
    options.from_outside = from_outside;
    const DisturbCount count = cancel_everywhere(scenario, &check_usual_end, options);
    INFO(count.places << " places, stopped at " << count.failed);
    CHECK(count.places >= 10);
    CHECK(count.failed >= 10);
  }
}

ON_SELECTORS(
    "a client that is cancelled at any suspension doesn't disturb the server, which serves the next") {
  const std::string bytes = pattern(30'000);
  struct Server {
    std::optional<TcpListener> listener;
    JoinHandle<void> task;
  } server;
  // The server lives on the same loop, beside the client that is cancelled.
  auto client = [&]() -> Task<void> {
    server.listener.emplace(TcpListener::bind(any_port()));
    server.task = spawn(serve(*server.listener));
    const std::uint16_t port = server.listener->local_address().port();
    bool stopped = false;
    try {
      co_await visit("localhost", port, bytes);
    } catch (const Cancelled&) {
      stopped = true;
    }
    co_await visit("127.0.0.1", port, bytes);
    server.task.cancel();
    if (stopped) throw Cancelled();
  };
  const auto check = [&](const DisturbedRun& run) {
    check_usual_end(run);
    server.listener.reset();
    server.task = JoinHandle<void>();
  };
  DisturbOptions options;
  options.loop.selector = selector;
  options.main_only = true;
  CHECK(cancel_everywhere(client, check, options).places >= 10);
}

namespace {

struct Fault {
  Call call;
  std::vector<int> errors;
};

const std::vector<Fault>& faults() {
  static const std::vector<Fault> all{
      {Call::SOCKET, {EMFILE, ENFILE, ENOBUFS, ENOMEM, EACCES}},
      {Call::BIND, {EADDRINUSE, EACCES}},
      {Call::LISTEN, {EADDRINUSE}},
      {Call::ACCEPT, {EINTR, ECONNABORTED, EPROTO, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM}},
      {Call::CONNECT, {EINTR, ECONNREFUSED, ETIMEDOUT, EADDRNOTAVAIL, ENETUNREACH, EHOSTUNREACH}},
      {Call::RECV, {EINTR, ECONNRESET, ENOMEM, ETIMEDOUT}},
      {Call::SEND, {EINTR, ECONNRESET, EPIPE, ENOBUFS, ENOMEM}},
      {Call::SETSOCKOPT, {ENOMEM}},
      {Call::GETSOCKNAME, {ENOBUFS}},
      {Call::SHUTDOWN, {ENOBUFS}},
  };
  return all;
}

bool is_no_failure(Call call, int error) {
  return error == EINTR || (call == Call::ACCEPT && error != EMFILE && error != ENFILE);
}

}  // namespace

ON_SELECTORS(
    "whichever call fails, with whatever error, the session ends or goes on, and the next one works") {
  const std::string bytes = pattern(20'000);
  int sessions = 0;
  for (const Fault& fault : faults()) {
    for (const int error : fault.errors) {
      for (int n = 0;; ++n) {
        INFO(to_string(fault.call) << " number " << n << " fails with " << error);
        FaultySystem system;
        const int before = open_descriptors(256);
        bool failed = false;
        bool reached = false;
        std::string wrong;
        run_on(
            selector,
            [&]() -> Task<void> {
              system.fail(fault.call, n, error);
              try {
                co_await timeout(5s, whole_session(bytes));
              } catch (const std::system_error& e) {
                failed = true;
                if (e.code().value() != error && fault.call != Call::SEND && fault.call != Call::RECV)
                  wrong = e.what();
              } catch (const ExceptionGroup& group) {
                failed = true;
                for (const std::exception_ptr& each : group.exceptions()) {
                  try {
                    std::rethrow_exception(each);
                  } catch (const Refused&) {
                  } catch (const std::system_error& e) {
                    if (e.code().value() != error && fault.call != Call::SEND && fault.call != Call::RECV &&
                        fault.call != Call::ACCEPT)
                      wrong = e.what();
                  } catch (const std::exception& e) {
                    wrong = e.what();
                  }
                }
              }
              reached = system.made(fault.call) > n;
              system.fault = nullptr;
              // What happened has broken nothing.
              co_await timeout(5s, whole_session("x"));
            },
            &system);
        ++sessions;
        CHECK(wrong.empty());
        if (is_no_failure(fault.call, error)) CHECK_FALSE(failed);
        CHECK(open_descriptors(256) <= before);
        if (!reached || n > 60) break;
      }
    }
  }
  CHECK(sessions > 60);
}

ON_SELECTORS("transfers that are interrupted all the time still deliver every byte") {
  FaultySystem system;
  int turn = 0;
  system.fault = [&](Call call, int) {
    if (call != Call::RECV && call != Call::SEND && call != Call::ACCEPT && call != Call::CONNECT) return 0;
    return ++turn % 3 != 0 ? -EINTR : 0;
  };
  system.fault = [&, inner = system.fault](Call call, int fd) {
    return call == Call::CONNECT ? 0 : inner(call, fd);
  };
  run_on(selector, []() -> Task<void> { co_await whole_session(pattern(200'000)); }, &system);
  SUCCEED("and so they did");
}

// A System may give less than there is only where the selector tells again and again: with edge-triggered
// readiness a short transfer says that there is no more, as it does in the kernel.
TEST_CASE("short reads and writes deliver every byte, on poll and on select") {
  for (const std::string_view selector : {"poll", "select"}) {
    for (const std::size_t most : {1UL, 2UL, 3UL, 7UL, 1000UL}) {
      FaultySystem system;
      system.most = most;
      run_on(selector, [&]() -> Task<void> { co_await whole_session(pattern(most * 500 + 3)); }, &system);
    }
  }
  SUCCEED("and so they did");
}

TEST_CASE("would-block answers out of the blue delay nothing for ever, on poll and on select") {
  for (const std::string_view selector : {"poll", "select"}) {
    FaultySystem system;
    int turn = 0;
    system.fault = [&](Call call, int) {
      return (call == Call::RECV || call == Call::SEND || call == Call::ACCEPT) && ++turn % 2 != 0 ? -EAGAIN
                                                                                                   : 0;
    };
    run_on(selector, []() -> Task<void> { co_await whole_session(pattern(100'000)); }, &system);
  }
  SUCCEED("and so they did");
}
