// Connecting to a host of several addresses: who is tried when, who wins, and what becomes of the others.
// SPDX-License-Identifier: MIT
#include "../../../io/net/connect.hpp"

#include <sys/socket.h>

#include <optional>
#include <string>
#include <vector>

#include "../../../io/address/resolver.hpp"
#include "../../../io/net/unix.hpp"
#include "../../support/cancel_everywhere.hpp"
#include "../../support/faulty_system.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;

namespace {

// A listener whose queue is full, so that the kernel answers nobody: a host that takes no notice.
class Blackhole {
 public:
  Blackhole() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const Address any = any_port();
    must(::bind(listener_.fileno(), any.data(), any.length()));
    must(::listen(listener_.fileno(), 0));
    unsigned length = Address::capacity();
    must(::getsockname(listener_.fileno(), address_.data(), &length));
    address_.set_length(length);
    for (int i = 0; i < 3; ++i) {
      queued_.push_back(File(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)));
      ::connect(queued_.back().fileno(), address_.data(), address_.length());
    }
  }
  const Address& address() const { return address_; }
  /// From now on it answers.
  void open() { must(::listen(listener_.fileno(), 16)); }

 private:
  File listener_;
  Address address_;
  std::vector<File> queued_;
};

Address refusing() {
  const auto listener = TcpListener::bind(any_port());
  return listener.local_address();
}

// Notes who is connected to, in which order.
struct Log : FaultySystem {
  std::vector<Address> tried;
  int connect(int fd, const sockaddr* address, unsigned length) noexcept override {
    tried.emplace_back(address, length);
    return FaultySystem::connect(fd, address, length);
  }
};

ConnectOptions delay(Duration time) {
  ConnectOptions options;
  options.attempt_delay = time;
  return options;
}

ConnectOptions within(Timeout time, Duration attempt_delay = 250ms) {
  ConnectOptions options = delay(attempt_delay);
  options.timeout = time;
  return options;
}

struct Failed {
  std::string message;
  std::error_code code;
  std::vector<ConnectError::Attempt> attempts;
};

template <class Awaitable>
Task<Failed> failed(Awaitable connecting) {
  Failed result;
  try {
    co_await connecting;
  } catch (const ConnectError& error) {
    result = Failed{error.what(), error.code(), error.attempts()};
  }
  co_return result;
}

}  // namespace

TEST_CASE("the families take turns, beginning with the first") {
  const Address a4("10.0.0.1", 1);
  const Address b4("10.0.0.2", 1);
  const Address c4("10.0.0.3", 1);
  const Address a6("2001:db8::1", 1);
  const Address b6("2001:db8::2", 1);
  CHECK(interleave_families({a6, b6, a4, b4, c4}) == std::vector<Address>{a6, a4, b6, b4, c4});
  CHECK(interleave_families({a4, b4, c4, a6}) == std::vector<Address>{a4, a6, b4, c4});
  CHECK(interleave_families({a4, b4}) == std::vector<Address>{a4, b4});
  CHECK(interleave_families({}).empty());
}

ON_SELECTORS("a host and port is connected to as it is written") {
  run_on(selector, []() -> Task<void> {
    for (const char* const host : {"127.0.0.1", "::1", "localhost"}) {
      const bool v6 = std::string_view(host) == "::1";
      auto listener = TcpListener::bind(Address(v6 ? "::1" : "127.0.0.1", 0));
      const std::string text = to_string(HostPort(host, listener.local_address().port()));
      auto ends = co_await timeout(5s, gather(TcpStream::connect(text), accept_one(listener)));
      CHECK(std::get<0>(ends).peer_address() == listener.local_address());
    }
    CHECK_THROWS_AS(TcpStream::connect("localhost"), ValueError);
    CHECK_THROWS_AS(TcpStream::connect("::1:80"), ValueError);
    CHECK_THROWS_AS(TcpStream::connect(""), ValueError);
    std::string message;
    try {
      co_await TcpStream::connect("no-such-host.invalid:80");
    } catch (const ResolveError& error) {
      message = error.what();
    }
    CHECK_THAT(message, Catch::Matchers::Contains("no-such-host.invalid"));
  });
}

ON_SELECTORS("an address that takes no notice is passed by after its head start, and its socket closed") {
  Log system;
  run_on(
      selector,
      [&]() -> Task<void> {
        const Blackhole silent;
        auto listener = TcpListener::bind(any_port());
        const int before = open_descriptors();
        const std::vector<Address> addresses{silent.address(), listener.local_address(), refusing()};
        system.tried.clear();
        const auto began = std::chrono::steady_clock::now();
        const TcpStream stream = co_await timeout(5s, TcpStream::connect(addresses, delay(30ms)));
        const auto took = std::chrono::steady_clock::now() - began;
        CHECK(stream.peer_address() == listener.local_address());
        CHECK(took >= 30ms);
        CHECK(took < 3s);
        CHECK(system.tried == std::vector<Address>{addresses[0], addresses[1]});
        CHECK(open_descriptors() <= before + 1);
      },
      &system);
}

ON_SELECTORS("an address that refuses is followed by the next at once") {
  Log system;
  run_on(
      selector,
      [&]() -> Task<void> {
        auto listener = TcpListener::bind(any_port());
        const std::vector<Address> addresses{refusing(), Address("::1", refusing().port()),
                                             listener.local_address(), refusing()};
        const TcpStream stream = co_await timeout(5s, TcpStream::connect(addresses, delay(1h)));
        CHECK(stream.peer_address() == listener.local_address());
        CHECK(system.tried.size() == 3);
      },
      &system);
}

ON_SELECTORS("a failure lets the next begin while an earlier address is still waited for") {
  run_on(selector, []() -> Task<void> {
    const Blackhole silent;
    auto listener = TcpListener::bind(any_port());
    const std::vector<Address> addresses{silent.address(), refusing(), listener.local_address()};
    const TcpStream stream = co_await timeout(5s, TcpStream::connect(addresses, delay(20ms)));
    CHECK(stream.peer_address() == listener.local_address());
  });
}

TEST_CASE("an address that answers late is still taken when the others don't answer at all") {
  run_here([]() -> Task<void> {
    Blackhole late;
    const Blackhole silent;
    const std::vector<Address> addresses{late.address(), silent.address()};
    const int before = open_descriptors();
    auto connecting = spawn(
        [](std::vector<Address> all) -> Task<TcpStream> {
          co_return co_await TcpStream::connect(std::move(all), delay(1ms));
        },
        addresses);
    co_await sleep(10ms);
    CHECK(open_descriptors() <= before + 2);
    late.open();  // the kernel asks again within a second
    const TcpStream stream = co_await timeout(20s, connecting);
    CHECK(stream.peer_address() == late.address());
    CHECK(open_descriptors() <= before + 1);
  });
}

ON_SELECTORS("of addresses that answer at the same time one is taken, and the others are closed") {
  FaultySystem system;
  run_on(
      selector,
      [&]() -> Task<void> {
        std::vector<TcpListener> listeners;
        std::vector<Address> addresses;
        for (int i = 0; i < 4; ++i) {
          listeners.push_back(TcpListener::bind(any_port()));
          addresses.push_back(listeners.back().local_address());
        }
        // Each connects, but only an event tells.
        system.fault = [](Call call, int) { return call == Call::CONNECT ? -EINTR : 0; };
        const int before = open_descriptors();
        for (int i = 0; i < 10; ++i) {
          const TcpStream stream = co_await timeout(5s, TcpStream::connect(addresses, delay(0ms)));
          CHECK(stream.is_open());
          CHECK(open_descriptors() <= before + 1);
        }
      },
      &system);
}

ON_SELECTORS("when every address fails, the error tells what each failed with") {
  Log system;
  run_on(
      selector,
      [&]() -> Task<void> {
        const int before = open_descriptors();
        const std::vector<Address> addresses{Address("127.0.0.2", 9), Address("::1", 9),
                                             Address("127.0.0.3", 9)};
        const std::vector<int> errors{ENETUNREACH, ECONNREFUSED, EHOSTUNREACH};
        system.fault = [&](Call call, int) {
          return call == Call::CONNECT ? -errors[system.tried.size() - 1] : 0;
        };
        const Failed result = co_await failed(TcpStream::connect(addresses));
        CHECK(result.code == std::errc::host_unreachable);
        CHECK(result.message ==
              "connect to one of 127.0.0.2:9, [::1]:9, 127.0.0.3:9: 127.0.0.2:9: Network is unreachable, "
              "[::1]:9: Connection refused, 127.0.0.3:9: No route to host");
        REQUIRE(result.attempts.size() == 3);
        for (std::size_t i = 0; i < 3; ++i) {
          CHECK(result.attempts[i].address == addresses[i]);
          CHECK(result.attempts[i].failure.error == errors[i]);
        }
        CHECK(open_descriptors() <= before);
        system.tried.clear();
        const Failed by_name = co_await failed(TcpStream::connect("localhost:9"));
        CHECK_THAT(by_name.message, Catch::Matchers::StartsWith("connect to localhost:9: "));
        CHECK_THAT(by_name.message, Catch::Matchers::Contains("127.0.0.1:9: "));
        const Failed by_number = co_await failed(TcpStream::connect("127.0.0.1:9"));
        CHECK_THAT(by_number.message, Catch::Matchers::StartsWith("connect to 127.0.0.1:9: "));
        CHECK(by_number.message.find("127.0.0.1:9", 20) == std::string::npos);
      },
      &system);
}

ON_SELECTORS("a socket that can't be made counts as a failure of that address") {
  FaultySystem system;
  run_on(
      selector,
      [&]() -> Task<void> {
        auto listener = TcpListener::bind(any_port());
        const std::vector<Address> addresses{Address("::1", 9), listener.local_address()};
        system.fail(Call::SOCKET, 0, EAFNOSUPPORT);
        {
          const TcpStream stream = co_await timeout(5s, TcpStream::connect(addresses));
          CHECK(stream.peer_address() == listener.local_address());
        }
        system.fail(Call::SOCKET, 0, EMFILE, 9);
        Failed result = co_await failed(TcpStream::connect(addresses));
        CHECK(result.code == std::errc::too_many_files_open);
        CHECK_THAT(result.message, Catch::Matchers::Contains("[::1]:9: socket: Too many open files"));
        result = co_await failed(TcpStream::connect(listener.local_address()));
        CHECK(result.message ==
              "connect to " + to_string(listener.local_address()) + ": socket: Too many open files");
      },
      &system);
}

ON_SELECTORS("the timeout ends everything, and the error tells what had failed by then") {
  run_on(selector, []() -> Task<void> {
    const Blackhole silent;
    const Blackhole other;
    const int before = open_descriptors(256);
    const auto began = std::chrono::steady_clock::now();
    Failed result = co_await failed(TcpStream::connect(silent.address(), within(30ms)));
    CHECK(std::chrono::steady_clock::now() - began >= 30ms);
    CHECK(result.code == std::errc::timed_out);
    CHECK(result.message ==
          "connect to " + to_string(silent.address()) + ": no answer within 30 ms: Connection timed out");
    const Address refuses = refusing();
    const std::vector<Address> addresses{silent.address(), refuses, other.address()};
    result = co_await failed(TcpStream::connect(addresses, within(40ms, 5ms)));
    CHECK(result.code == std::errc::timed_out);
    REQUIRE(result.attempts.size() == 1);
    CHECK(result.attempts[0].address == refuses);
    CHECK_THAT(result.message,
               Catch::Matchers::EndsWith(to_string(refuses) + ": Connection refused: no answer within 40 ms: "
                                                              "Connection timed out"));
    // The caller's own timeout stays a TimeoutError.
    bool expired = false;
    try {
      co_await timeout(10ms, TcpStream::connect(silent.address(), within(1h)));
    } catch (const TimeoutError&) {
      expired = true;
    }
    CHECK(expired);
    CHECK(open_descriptors(256) <= before);
    // Looking up the name counts.
    result = co_await failed(TcpStream::connect("localhost:9", within(0ms)));
    CHECK(result.code == std::errc::timed_out);
    // The look-up goes on, and opens one file after the other: that must not trouble others' counts.
    for (int quiet = 0; quiet < 20; ++quiet) {
      co_await sleep(1ms);
      if (open_descriptors(256) > before) quiet = 0;
    }
  });
}

ON_SELECTORS("a connection comes from the address that it is bound to") {
  run_on(selector, []() -> Task<void> {
    auto listener = TcpListener::bind(any_port());
    const Address there = listener.local_address();
    ConnectOptions options;
    options.local = Address("127.0.0.5", 0);
    {
      auto ends = co_await gather(TcpStream::connect(there, options), accept_one(listener));
      CHECK(std::get<1>(ends).peer_address().host() == "127.0.0.5");
    }
    // Of several addresses, only those of its family can be it.
    const std::vector<Address> addresses{Address("::1", there.port()), there};
    const TcpStream stream = co_await timeout(5s, TcpStream::connect(addresses, options));
    CHECK(stream.local_address().host() == "127.0.0.5");
    Failed result = co_await failed(TcpStream::connect(addresses.front(), options));
    CHECK(result.code == std::errc::address_family_not_supported);
    options.local = Address("192.0.2.1", 0);
    result = co_await failed(TcpStream::connect(there, options));
    CHECK(result.code == std::errc::address_not_available);
    CHECK_THAT(result.message, Catch::Matchers::StartsWith("connect to " + to_string(there) + ": bind: "));
    options.local = Address("127.0.0.1", stream.peer_address().port());
    result = co_await failed(TcpStream::connect(there, options));
    CHECK(result.code == std::errc::address_in_use);
  });
}

ON_SELECTORS("connecting yields a Result instead of throwing, when it is asked to") {
  run_on(selector, []() -> Task<void> {
    auto listener = TcpListener::bind(any_port());
    const Address there = listener.local_address();
    Result<TcpStream> stream = co_await TcpStream::connect(there).as_result();
    REQUIRE(stream.has_value());
    CHECK(stream->peer_address() == there);
    stream = co_await TcpStream::connect(to_string(there)).as_result();
    CHECK(stream.has_value());
    listener.close();
    stream = co_await TcpStream::connect(there).as_result();
    CHECK(stream.error() == std::errc::connection_refused);
    CHECK_THAT(thrown<std::system_error>([&] { static_cast<void>(stream.value()); }),
               Catch::Matchers::StartsWith("connect: Connection refused"));
    const Result<UnixStream> local =
        co_await UnixStream::connect(UnixAddress::abstract("heddle-nobody")).as_result();
    CHECK(local.error() == std::errc::connection_refused);
  });
}

ON_SELECTORS("connecting to no address at all is bad use") {
  run_on(selector, []() -> Task<void> {
    std::string message;
    try {
      co_await TcpStream::connect(std::vector<Address>());
    } catch (const ValueError& error) {
      message = error.what();
    }
    CHECK_THAT(message, Catch::Matchers::StartsWith("connect: "));
    const Failed result = co_await failed(TcpStream::connect(Address()));
    CHECK(result.code.value() != 0);
  });
}

ON_SELECTORS("cancelled at every suspension, a race of addresses leaves nothing behind") {
  const Blackhole silent;
  for (const Canceller canceller : {Canceller::CALLBACK, Canceller::EMBEDDER}) {
    FaultySystem system;
    const CancelCount count = cancel_at_every_suspension(
        loop_options(selector, &system), canceller,
        [&]() -> Task<void> {
          auto listener = TcpListener::bind(any_port());
          const std::vector<Address> addresses{silent.address(), refusing(), silent.address(),
                                               listener.local_address(), silent.address()};
          const TcpStream stream = co_await TcpStream::connect(addresses, within(10s, 2ms));
          CHECK(stream.peer_address() == listener.local_address());
        },
        [&] { return calls_of(system); }, [](bool) {});
    CHECK(count.cancelled >= 3);
  }
}

ON_SELECTORS("whatever connect fails with, the next address is tried") {
  for (const int error : {EACCES, EPERM, EADDRINUSE, EADDRNOTAVAIL, EAGAIN, ECONNREFUSED, EINVAL, ENETUNREACH,
                          EHOSTUNREACH, ETIMEDOUT, ECONNRESET}) {
    INFO(error);
    FaultySystem system;
    run_on(
        selector,
        [&]() -> Task<void> {
          auto listener = TcpListener::bind(any_port());
          const std::vector<Address> addresses{refusing(), listener.local_address()};
          system.fail(Call::CONNECT, 0, error);
          const TcpStream stream = co_await timeout(5s, TcpStream::connect(addresses, delay(1h)));
          CHECK(stream.peer_address() == listener.local_address());
        },
        &system);
  }
}

ON_SELECTORS("a socket that the kernel has connected to itself is refused, and keeps nobody from the port") {
  run_on(selector, []() -> Task<void> {
    for (const char* const host : {"127.0.0.1", "::1"}) {
      auto listener = TcpListener::bind(Address(host, 0));
      const Address closed = listener.local_address();
      listener.close();
      ConnectOptions options;
      options.local = closed;  // as the kernel may pick it
      std::error_code code = co_await error_of(TcpStream::connect(closed, options));
      CHECK(code == std::errc::connection_refused);
      const std::vector<Address> twice{closed, closed};
      code = co_await error_of(TcpStream::connect(twice, options));
      CHECK(code == std::errc::connection_refused);
      listener = TcpListener::bind(closed);
      const auto ends = co_await gather(TcpStream::connect(closed), accept_one(listener));
      CHECK(std::get<0>(ends).is_open());
    }
  });
}
