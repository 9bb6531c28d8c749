// A server without memory: it does without one client, and goes on.
// SPDX-License-Identifier: MIT
#include <sys/socket.h>

#include <new>
#include <string>

#include "../../../io/server/server.hpp"
#include "../../../runtime/loop/event_loop.hpp"
#include "../../../runtime/testing/allocation_faults.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

Task<void> echo(TcpStream client) try {
  std::string buffer(1024, '\0');
  while (const std::size_t size = co_await client.read_some(std::span(buffer)))
    co_await client.write_all(std::string_view(buffer.data(), size));
} catch (const std::exception&) {
}

// As in the README.
Task<void> accept_all(TcpListener& listener) {
  for (;;) {
    auto client = co_await listener.accept();
    try {
      spawn(echo(std::move(client)));
    } catch (const std::bad_alloc&) {
    }
  }
}

// A client that isn't heddle's, so that it allocates nothing.
File knock(const Address& address) {
  File client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  static_cast<void>(::connect(client.fileno(), address.data(), address.length()));
  return client;
}

Task<std::string> ask(Address address) {
  auto client = co_await TcpStream::connect(address);
  co_await client.write_all("hello");
  co_return co_await read_some(client);
}

// Lets each allocation fail that serving a client takes, one after the other; how many there are.
template <class IsAlive>
Task<int> let_each_fail(Address address, IsAlive is_alive) {
  std::string answer = co_await timeout(5s, ask(address));
  CHECK(answer == "hello");
  const detail::FrameCacheBypass bypass;
  for (int number = 1;; ++number) {
    File client = knock(address);
    bool failed = false;
    {
      const detail::AllocationFault fault(static_cast<std::uint64_t>(number));
      // (sleep() may have to allocate.)
      const EventLoop& loop = EventLoop::running();
      const std::uint64_t enough = loop.counters().polls + 20;
      while (loop.counters().polls < enough) co_await yield();
      failed = fault.has_failed();
    }
    client.close();
    CHECK(is_alive());
    answer = co_await timeout(5s, ask(address));
    CHECK(answer == "hello");
    if (!failed) co_return number - 1;
  }
}

void keep_quiet(EventLoop& loop, const Report&, void*) { static_cast<void>(loop); }

}  // namespace

TEST_CASE("an accept loop of the README's form outlives each allocation that fails") {
  if (!allocations_are_observed()) return;
  run_here([]() -> Task<void> {
    EventLoop::running().set_report_handler(&keep_quiet);
    auto listener = TcpListener::bind(any_port());
    auto serving = spawn(accept_all(listener));
    const int failures = co_await let_each_fail(listener.local_address(), [&] { return !serving.done(); });
    CHECK(failures >= 2);
    serving.cancel();
  });
}

TEST_CASE("a Server outlives each allocation that fails while it serves") {
  if (!allocations_are_observed()) return;
  run_here([]() -> Task<void> {
    EventLoop::running().set_report_handler(&keep_quiet);
    Server server;
    const Address address =
        server.listen(any_port(), [](TcpStream client) -> Task<void> { co_await echo(std::move(client)); });
    auto serving = spawn(server.serve());
    const int failures = co_await let_each_fail(address, [&] { return !serving.done(); });
    CHECK(failures >= 2);
    server.stop(0s);
    co_await timeout(5s, std::move(serving));
  });
}
