// resolve: names to addresses off the loop.
// SPDX-License-Identifier: MIT
#include "../../../io/address/resolver.hpp"

#include <netdb.h>

#include <string>
#include <vector>

#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

Task<std::string> failure_of(std::string host) {
  try {
    co_await resolve(std::move(host), 80);
  } catch (const ResolveError& error) {
    co_return error.what();
  }
  co_return "resolved";
}

}  // namespace

ON_SELECTORS("a numeric host is its own address, without another thread") {
  run_on(selector, []() -> Task<void> {
    for (const std::string host : {"127.0.0.1", "::1", "fe80::1%lo"}) {
      // timeout 0: it doesn't wait for anything.
      const std::vector<Address> addresses = co_await timeout(0s, resolve(host, 99));
      REQUIRE(addresses.size() == 1);
      CHECK(addresses.front() == Address(host, 99));
    }
  });
}

ON_SELECTORS("localhost is the loopback, with the port") {
  run_on(selector, []() -> Task<void> {
    const std::vector<Address> addresses = co_await resolve("localhost", 8080);
    REQUIRE_FALSE(addresses.empty());
    for (const Address& address : addresses) {
      CHECK((address.host() == "127.0.0.1" || address.host() == "::1"));
      CHECK(address.port() == 8080);
    }
  });
}

TEST_CASE("a name that doesn't exist is a ResolveError that names it") {
  run_here([]() -> Task<void> {
    const std::string message = co_await failure_of("no-such-host.invalid");
    CHECK_THAT(message, Catch::Matchers::StartsWith("resolve \"no-such-host.invalid\": "));
    const std::string empty = co_await failure_of("");
    CHECK_THAT(empty, Catch::Matchers::StartsWith("resolve \"\": "));
    const std::string spaced = co_await failure_of("not a host");
    CHECK_THAT(spaced, Catch::Matchers::StartsWith("resolve \"not a host\": "));
  });
}

TEST_CASE("a name with a NUL in it is not looked up as what stands before that") {
  run_here([]() -> Task<void> {
    const std::string message = co_await failure_of(std::string("localhost\0.example", 18));
    CHECK(message != "resolved");
  });
}

TEST_CASE("a look-up can be abandoned") {
  run_here([]() -> Task<void> {
    auto handle = spawn(resolve("localhost", 1));
    co_await yield();
    handle.cancel();
    while (!handle.done()) co_await yield();
    // A result that has come already is delivered.
    CHECK((handle.cancelled() || !handle.result().empty()));
  });
}

TEST_CASE("what getaddrinfo would read only a part of isn't resolved") {
  run_here([]() -> Task<void> {
    for (const char* const host : {"127.0.0.1 x", "127.0.0.1\n", "fe80::1%lo:junk", "fe80::1%lo\r\nA: b",
                                   "::1%nowhere", "[::1]", "localhost:80", "a/b", "u@localhost"}) {
      const std::string message = co_await failure_of(host);
      CHECK_THAT(message, Catch::Matchers::StartsWith("resolve \""));
      CHECK(message.find_first_of("\r\n") == std::string::npos);
    }
  });
}
