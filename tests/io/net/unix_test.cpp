// Unix sockets: streams, listeners and their paths, credentials, pairs.
// SPDX-License-Identifier: MIT
#include "../../../io/net/unix.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "../../../runtime/testing/allocation_faults.hpp"
#include "../../support/cancel_everywhere.hpp"
#include "../../support/faulty_system.hpp"
#include "../loopback.hpp"
#include "../temporary.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;

namespace {

Task<UnixStream> accept_one(UnixListener& listener) { co_return co_await listener.accept(); }

Task<void> echo(UnixStream stream) {
  std::string buffer(10'000, '\0');
  while (const std::size_t size = co_await stream.read_some(std::span(buffer)))
    co_await stream.write_all(std::string_view(buffer).substr(0, size));
}

Task<std::string> read_as_many(UnixStream& stream, std::size_t count) {
  std::string all;
  while (all.size() < count) all += co_await read_some(stream);
  co_return all;
}
Task<std::string> read_six(UnixStream& stream) { co_return co_await read_as_many(stream, 6); }

Task<void> yield_for_ever() {
  for (;;) co_await yield();
}

// What the kernel gives apart: "abc", which comes with a descriptor, and "def".
Task<void> send_apart(UnixStream& stream) {
  const std::array<int, 1> fds{0};
  co_await stream.send_with_fds("abc", fds);
  co_await stream.write_all("def");
}

// That is there, and was waited for.
Task<void> readiness_of(UnixStream& from, UnixStream& to) {
  auto sender = spawn(send_apart(from));
  co_await to.readable();
  co_await sender;
}

Task<void> send_when_waited_for(UnixStream& from, UnixStream& to) {
  auto waiter = spawn([](UnixStream& stream) -> Task<void> { co_await stream.readable(); }, std::ref(to));
  co_await sleep(1ms);
  co_await from.write_all("x");
  co_await waiter;
}

Task<void> send_and_end(UnixStream& stream, std::string_view bytes) {
  co_await stream.write_all(bytes);
  stream.shutdown(Shutdown::WRITE);
}

Task<void> visit(UnixAddress address, const std::string& bytes) {
  auto listener = UnixListener::bind(address);
  auto ends = co_await gather(UnixStream::connect(listener.local_address()), accept_one(listener));
  auto server = spawn(echo(std::move(std::get<1>(ends))));
  UnixStream& client = std::get<0>(ends);
  auto results = co_await gather(send_and_end(client, bytes), read_all(client));
  if (std::get<1>(results) != bytes) throw std::runtime_error("the echo is incomplete");
  co_await server;
}

}  // namespace

ON_SELECTORS("megabytes over a Unix socket come back as they were, by path and by abstract name") {
  const TemporaryDirectory directory;
  run_on(selector, [&]() -> Task<void> {
    const std::string bytes = pattern(2'000'003);
    co_await timeout(20s, visit(UnixAddress(directory.path("s")), bytes));
    co_await timeout(20s, visit(UnixAddress::abstract("heddle-test-" + directory.name()), bytes));
    co_await timeout(20s, visit(UnixAddress(), bytes));  // a name that the kernel picks
  });
}

ON_SELECTORS("both ends of a Unix connection know where the listener is") {
  const TemporaryDirectory directory;
  run_on(selector, [&]() -> Task<void> {
    const UnixAddress address(directory.path("s"));
    auto listener = UnixListener::bind(address);
    CHECK(listener.local_address() == address);
    auto ends = co_await gather(UnixStream::connect(address), accept_one(listener));
    CHECK(std::get<0>(ends).peer_address() == address);
    CHECK(std::get<0>(ends).local_address().is_unnamed());
    CHECK(std::get<1>(ends).local_address() == address);
    CHECK(std::get<1>(ends).peer_address().is_unnamed());
  });
}

ON_SELECTORS("the peer of a Unix connection tells who it is") {
  const TemporaryDirectory directory;
  run_on(selector, [&]() -> Task<void> {
    auto listener = UnixListener::bind(UnixAddress(directory.path("s")));
    auto ends = co_await gather(UnixStream::connect(listener.local_address()), accept_one(listener));
    for (const UnixStream* const end : {&std::get<0>(ends), &std::get<1>(ends)}) {
      const PeerCredentials peer = end->peer_credentials();
      CHECK(peer.pid == ::getpid());
      CHECK(peer.uid == ::getuid());
      CHECK(peer.gid == ::getgid());
    }
  });
  CHECK_THAT(thrown<std::system_error>([] { static_cast<void>(UnixStream().peer_credentials()); }),
             Catch::Matchers::Contains("closed"));
}

TEST_CASE("a listener removes its path when it is closed or destroyed, also after it was moved") {
  const TemporaryDirectory directory;
  const UnixAddress address(directory.path("s"));
  {
    auto listener = UnixListener::bind(address);
    CHECK(directory.has("s"));
    UnixListener moved = std::move(listener);
    listener.close();
    CHECK(directory.has("s"));
    UnixListener assigned;
    assigned = std::move(moved);
    CHECK(directory.has("s"));
  }
  CHECK_FALSE(directory.has("s"));
  auto again = UnixListener::bind(address);
  again = UnixListener::bind(UnixAddress(directory.path("other")));
  CHECK_FALSE(directory.has("s"));
  CHECK(directory.has("other"));
  again.close();
  CHECK_FALSE(directory.has("other"));
  auto datagrams = UnixDatagram::bind(address);
  CHECK(directory.has("s"));
  datagrams = UnixDatagram::open();
  CHECK_FALSE(directory.has("s"));
}

TEST_CASE("a listener leaves its path alone when it is told to, or when it is another's by then") {
  const TemporaryDirectory directory;
  const UnixAddress address(directory.path("s"));
  UnixBindOptions options;
  options.unlink = false;
  UnixListener::bind(address, options).close();
  CHECK(directory.has("s"));
  directory.remove("s");
  auto kept = UnixListener::bind(address);
  kept.keep_path();
  kept.close();
  CHECK(directory.has("s"));
  directory.remove("s");
  auto first = UnixListener::bind(address);
  directory.remove("s");
  auto second = UnixListener::bind(address);
  first.close();
  CHECK(directory.has("s"));
  second.close();
  CHECK_FALSE(directory.has("s"));
}

TEST_CASE("a path in use is an error that names it, whatever lies there") {
  const TemporaryDirectory directory;
  const UnixAddress address(directory.path("s"));
  const std::string refused = "listen on " + directory.path("s") + ": Address already in use";
  UnixBindOptions replacing;
  replacing.replace_stale = true;
  {  // somebody listens
    const auto listener = UnixListener::bind(address);
    CHECK(thrown<std::system_error>([&] { UnixListener::bind(address); }) == refused);
    CHECK(thrown<std::system_error>([&] { UnixListener::bind(address, replacing); }) == refused);
    CHECK(directory.has("s"));
  }
  {  // nobody does any more, but only who asks for it takes the place
    UnixBindOptions staying;
    staying.unlink = false;
    UnixListener::bind(address, staying).close();
    CHECK(thrown<std::system_error>([&] { UnixListener::bind(address); }) == refused);
    const auto listener = UnixListener::bind(address, replacing);
    CHECK(listener.is_open());
  }
  {  // the same for datagrams
    UnixBindOptions staying;
    staying.unlink = false;
    UnixDatagram::bind(address, staying).close();
    CHECK_THROWS_AS(UnixDatagram::bind(address), std::system_error);
    const auto socket = UnixDatagram::bind(address, replacing);
    CHECK_THROWS_AS(UnixDatagram::bind(address, replacing), std::system_error);
  }
  // What isn't a socket is never removed.
  directory.write("s", "precious");
  CHECK(thrown<std::system_error>([&] { UnixListener::bind(address, replacing); }) == refused);
  CHECK(directory.read("s") == "precious");
}

TEST_CASE("failing to listen leaves no descriptor and no path") {
  const TemporaryDirectory directory;
  const UnixAddress address(directory.path("s"));
  for (const Call call : {Call::SOCKET, Call::BIND, Call::LISTEN}) {
    FaultySystem system;
    run_on(
        "default",
        [&]() -> Task<void> {
          const int before = open_descriptors(256);
          system.fail(call, 0, ENOMEM);
          CHECK_THAT(thrown<std::system_error>([&] { UnixListener::bind(address); }),
                     Catch::Matchers::StartsWith("listen on " + directory.path("s") + ": "));
          CHECK(open_descriptors(256) == before);
          CHECK_FALSE(directory.has("s"));
          co_return;
        },
        &system);
  }
  CHECK_THAT(thrown<std::system_error>([&] { UnixListener::bind(UnixAddress(directory.path("no/such"))); }),
             Catch::Matchers::Contains("No such file"));
}

ON_SELECTORS("connecting to a path where nobody listens is an error that names it") {
  const TemporaryDirectory directory;
  run_on(selector, [&]() -> Task<void> {
    std::string message;
    std::error_code code =
        co_await error_of(UnixStream::connect(UnixAddress(directory.path("none"))), &message);
    CHECK(code == std::errc::no_such_file_or_directory);
    CHECK_THAT(message, Catch::Matchers::StartsWith("connect to " + directory.path("none") + ": "));
    UnixBindOptions options;
    options.unlink = false;
    UnixListener::bind(UnixAddress(directory.path("gone")), options).close();
    code = co_await error_of(UnixStream::connect(UnixAddress(directory.path("gone"))), &message);
    CHECK(code == std::errc::connection_refused);
  });
}

ON_SELECTORS("connecting waits while the listener's queue is full, and can be cancelled then") {
  const TemporaryDirectory directory;
  run_on(selector, [&]() -> Task<void> {
    auto listener = UnixListener::bind(UnixAddress(directory.path("s")), {}, 1);
    const UnixAddress address = listener.local_address();
    std::vector<UnixStream> queued;
    for (int i = 0; i < 2; ++i) queued.push_back(co_await timeout(5s, UnixStream::connect(address)));
    auto waiting = spawn(UnixStream::connect(address));
    auto cancelled = spawn(UnixStream::connect(address));
    co_await sleep(20ms);
    CHECK_FALSE(waiting.done());
    cancelled.cancel();
    for (int i = 0; i < 3; ++i) co_await yield();
    CHECK(cancelled.cancelled());
    const UnixStream first = co_await timeout(5s, accept_one(listener));
    const UnixStream stream = co_await timeout(5s, waiting);
    CHECK(stream.peer_address() == address);
  });
}

ON_SELECTORS("a Unix listener may be moved while tasks accept from it") {
  const TemporaryDirectory directory;
  run_on(selector, [&]() -> Task<void> {
    auto listener = UnixListener::bind(UnixAddress(directory.path("s")));
    auto accepting = spawn(accept_one(listener));
    co_await sleep(1ms);
    UnixListener moved = std::move(listener);
    UnixStream client = co_await timeout(5s, UnixStream::connect(moved.local_address()));
    const UnixStream served = co_await timeout(5s, accepting);
    CHECK(served.is_open());
    auto second = spawn(error_of(accept_one(moved)));
    co_await sleep(1ms);
    moved.close();
    const std::error_code code = co_await timeout(5s, second);
    CHECK(code == std::errc::operation_canceled);
  });
}

ON_SELECTORS("the ends of a pair of Unix streams talk to each other") {
  run_on(selector, []() -> Task<void> {
    auto [a, b] = socket_pair();
    auto waiting = spawn(read_some(b));
    co_await yield();
    co_await a.write_all("there");
    std::string got = co_await timeout(5s, waiting);
    CHECK(got == "there");
    co_await b.write_all("back");
    got = co_await timeout(5s, read_some(a));
    CHECK(got == "back");
    const PeerCredentials peer = a.peer_credentials();
    CHECK(peer.pid == ::getpid());
    b.close();
    got = co_await timeout(5s, read_some(a));
    CHECK(got.empty());
    const std::error_code code = co_await error_of(a.write_all("x"));
    CHECK(code == std::errc::broken_pipe);
  });
}

TEST_CASE("a pair that can't be made is an error") {
  FaultySystem system;
  run_on(
      "default",
      [&]() -> Task<void> {
        system.fail(Call::SOCKETPAIR, 0, EMFILE, 2);
        CHECK_THAT(thrown<std::system_error>([] { socket_pair(); }),
                   Catch::Matchers::StartsWith("socketpair: Too many"));
        CHECK_THROWS_AS(datagram_pair(), std::system_error);
        co_return;
      },
      &system);
}

ON_SELECTORS("bytes behind others that came with a descriptor are read though nothing more comes") {
  // The kernel gives them apart, so a short read doesn't say that there are no more.
  run_on(selector, []() -> Task<void> {
    auto [a, b] = socket_pair();
    auto reader = spawn(read_six(b));
    co_await sleep(1ms);
    co_await send_apart(a);
    const std::string got = co_await timeout(5s, reader);
    CHECK(got == "abcdef");
  });
}

ON_SELECTORS("bytes behind others that came with a descriptor are found while others keep the loop busy") {
  run_on(selector, []() -> Task<void> {
    auto [a, b] = socket_pair();
    auto reader = spawn(read_six(b));
    auto busy = spawn(yield_for_ever());
    co_await sleep(1ms);
    co_await send_apart(a);
    const std::string got = co_await timeout(5s, reader);
    CHECK(got == "abcdef");
    busy.cancel();
  });
}

ON_SELECTORS("bytes behind others that came with a descriptor wait for whom reads later") {
  run_on(selector, []() -> Task<void> {
    auto [a, b] = socket_pair();
    co_await readiness_of(a, b);
    std::string got = co_await read_some(b);
    CHECK(got == "abc");
    const auto between = std::array{0ms, 150ms};
    for (const auto pause : between) {
      co_await sleep(pause);
      got = co_await timeout(5s, read_some(b));
      CHECK(got == "def");
      co_await send_apart(a);
      got = co_await timeout(5s, read_some(b));
      CHECK(got == "abc");
    }
  });
}

ON_SELECTORS("a stream that is closed right after bytes that came with a descriptor leaves its number free") {
  run_on(selector, []() -> Task<void> {
    for (int i = 0; i < 3; ++i) {
      auto [a, b] = socket_pair();
      co_await readiness_of(a, b);
      const std::string got = co_await read_some(b);
      CHECK(got == "abc");
    }
    auto [a, b] = socket_pair();
    auto reader = spawn(read_six(b));
    co_await sleep(150ms);
    co_await a.write_all("abcdef");
    const std::string got = co_await timeout(5s, reader);
    CHECK(got == "abcdef");
  });
}

ON_SELECTORS("bytes behind others that came with a descriptor are read by a later loop") {
  auto [a, b] = socket_pair();
  run_on(selector, [&]() -> Task<void> {
    co_await readiness_of(a, b);
    const std::string got = co_await read_some(b);
    CHECK(got == "abc");
  });
  run_on(selector, [&]() -> Task<void> {
    std::string got = co_await timeout(5s, read_some(b));
    CHECK(got == "def");
    co_await send_apart(a);
    got = co_await timeout(5s, read_six(b));
    CHECK(got == "abcdef");
  });
}

ON_SELECTORS("of bytes that all came apart, many are not found one by one") {
  run_on(selector, []() -> Task<void> {
    auto [a, b] = socket_pair();
    const std::array<int, 1> fds{0};
    for (int i = 0; i < 60; ++i) co_await a.send_with_fds("x", fds);
    co_await b.readable();
    const std::string got = co_await timeout(2s, read_as_many(b, 60));  // a look at each: 6 s
    CHECK(got == std::string(60, 'x'));
    co_await a.write_all("y");
    const std::string more = co_await timeout(5s, read_some(b));
    CHECK(more == "y");
  });
}

ON_SELECTORS("bytes behind others that came with a descriptor are found on a hundred streams at once") {
  run_on(selector, []() -> Task<void> {
    std::vector<std::pair<UnixStream, UnixStream>> pairs;
    for (int i = 0; i < 100; ++i) pairs.push_back(socket_pair());
    std::vector<JoinHandle<std::string>> readers;
    for (auto& [a, b] : pairs) readers.push_back(spawn(read_six(b)));
    co_await sleep(1ms);
    for (auto& [a, b] : pairs) co_await send_apart(a);
    int whole = 0;
    for (auto& reader : readers) {
      const std::string got = co_await timeout(5s, reader);
      whole += got == "abcdef";
    }
    CHECK(whole == 100);
  });
}

TEST_CASE("bytes behind others that came with a descriptor are found after a loop went to poll and back") {
  run_on("default", []() -> Task<void> {
    auto [a, b] = socket_pair();
    auto reader = spawn(read_some(b));
    co_await sleep(1ms);
    co_await a.write_all("ping");
    std::string got = co_await reader;
    CHECK(got == "ping");
    auto& loop = EventLoop::running();
    const std::string before = loop.selector_name();
    loop.set_selector("poll");
    co_await sleep(150ms);
    loop.set_selector(before);
    reader = spawn(read_six(b));
    co_await sleep(1ms);
    co_await send_apart(a);
    got = co_await timeout(5s, reader);
    CHECK(got == "abcdef");
  });
}

ON_SELECTORS("who waits for readiness ends the time in which no read is taken for the last one") {
  run_on(selector, []() -> Task<void> {
    auto& loop = EventLoop::running();
    const bool looks_again = loop.selector().capabilities().has(Capability::EDGE_TRIGGER);
    auto [a, b] = socket_pair();
    std::array<std::byte, 10> buffer;
    co_await readiness_of(a, b);
    CHECK(b.try_read_some(buffer) == 3U);
    CHECK(loop.timers().empty() != looks_again);
    co_await sleep(150ms);
    CHECK(loop.timers().empty());
    CHECK(b.try_read_some(buffer) == 3U);
    CHECK(loop.timers().empty());
    co_await send_when_waited_for(a, b);
    CHECK(b.try_read_some(buffer) == 1U);
    CHECK(loop.timers().empty() != looks_again);
  });
}

ON_SELECTORS("that a loop will look again counts as no timer") {
  run_on(selector, []() -> Task<void> {
    auto [a, b] = socket_pair();
    co_await readiness_of(a, b);
    const std::string got = co_await read_some(b);
    CHECK(got == "abc");
    CHECK(EventLoop::running().counters().timers == 0);
  });
}

ON_SELECTORS("without memory to note that it has to look again, the next read looks") {
  run_on(selector, []() -> Task<void> {
    auto [a, b] = socket_pair();
    co_await readiness_of(a, b);
    std::array<std::byte, 10> buffer;
    std::optional<std::size_t> size;
    {
      const AllocationFault fault(1);
      size = b.try_read_some(buffer);
    }
    CHECK(size == 3U);
    size = b.try_read_some(buffer);
    CHECK((size == 3U || !allocations_are_observed()));
  });
}

#ifdef SO_PASSCRED
ON_SELECTORS("bytes behind others from another process are read though nothing more comes") {
  run_on(selector, []() -> Task<void> {
    auto [a, b] = socket_pair();
    b.set_option(SOL_SOCKET, SO_PASSCRED, 1, "SO_PASSCRED");
    auto reader = spawn(read_six(b));
    co_await sleep(1ms);
    const pid_t child = ::fork();
    if (child == 0) {
      const bool sent = ::send(a.fileno(), "abc", 3, 0) == 3;
      ::_exit(sent ? 0 : 1);
    }
    int status = 1;
    ::waitpid(child, &status, 0);
    CHECK(status == 0);
    co_await a.write_all("def");
    const std::string got = co_await timeout(5s, reader);
    CHECK(got == "abcdef");
  });
}
#endif

#ifdef __linux__
TEST_CASE("a message over a Unix socket costs one call to read it, and none to find that there are no more") {
  FaultySystem system;
  run_on(
      "epoll",
      [&]() -> Task<void> {
        auto [a, b] = socket_pair();
        auto server = spawn(echo(std::move(b)));
        std::string got;
        auto exchange = [&]() -> Task<void> {
          co_await a.write_all("ping");
          got = co_await timeout(5s, read_some(a));
        };
        co_await exchange();
        const int before = system.made(Call::RECV);
        for (int i = 0; i < 100; ++i) co_await exchange();
        CHECK(got == "ping");
        CHECK(system.made(Call::RECV) - before == 200);
        a.shutdown(Shutdown::WRITE);
        co_await server;
      },
      &system);
}
#endif

ON_SELECTORS("cancelled at every suspension, a session over a Unix socket leaves nothing behind") {
  const TemporaryDirectory directory;
  const std::string bytes = pattern(600'000);
  for (const Canceller canceller : {Canceller::CALLBACK, Canceller::EMBEDDER}) {
    FaultySystem system;
    const CancelCount count = cancel_at_every_suspension(
        loop_options(selector, &system), canceller,
        [&]() -> Task<void> { co_await visit(UnixAddress(directory.path("s")), bytes); },
        [&] { return calls_of(system); }, [&](bool) { CHECK_FALSE(directory.has("s")); });
    CHECK(count.cancelled >= 3);
  }
}

TEST_CASE("whichever call of a session over a Unix socket fails, it ends, and the next one works") {
  const TemporaryDirectory directory;
  const std::string bytes = pattern(20'000);
  for (const Call call : {Call::SOCKET, Call::BIND, Call::LISTEN, Call::ACCEPT, Call::CONNECT, Call::RECVMSG,
                          Call::SEND, Call::GETSOCKNAME, Call::SHUTDOWN, Call::LSTAT, Call::UNLINK}) {
    for (const int error : {EINTR, ENOMEM, ECONNRESET}) {
      if (error == EINTR && (call == Call::SOCKET || call == Call::BIND || call == Call::LISTEN)) continue;
      for (int n = 0; n < 40; ++n) {
        INFO(to_string(call) << " number " << n << " fails with " << error);
        FaultySystem system;
        const int before = open_descriptors(256);
        bool reached = false;
        run_on(
            "default",
            [&]() -> Task<void> {
              EventLoop::running().set_report_handler([](EventLoop&, const Report&, void*) {});
              system.fail(call, n, error);
              try {
                co_await timeout(5s, visit(UnixAddress(directory.path("s")), bytes));
              } catch (const std::exception&) {
              }
              reached = system.made(call) > n;
              system.fault = nullptr;
              if (directory.has("s")) directory.remove("s");  // lstat or unlink failed
              co_await timeout(5s, visit(UnixAddress(directory.path("s")), "x"));
            },
            &system);
        CHECK(open_descriptors(256) <= before);
        if (!reached) break;
      }
    }
  }
}
