// Address: text in, text out, and what isn't an address.
// SPDX-License-Identifier: MIT
#include "../../../io/address/address.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <string>

#include "../../support/on_selectors.hpp"

using namespace heddle;
using heddle::test::thrown;

TEST_CASE("an address is printed as it is parsed") {
  for (const char* const text : {"127.0.0.1:80", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:80", "[::]:0",
                                 "[2001:db8::7]:443", "[::ffff:1.2.3.4]:5", "[fe80::1%lo]:22"}) {
    const Address address = Address::parse(text);
    CHECK(to_string(address) == text);
    CHECK(Address::parse(to_string(address)) == address);
    CHECK(Address(address.host(), address.port()) == address);
  }
}

TEST_CASE("the long forms of an IPv6 address are the short one") {
  CHECK(to_string(Address::parse("[0:0:0:0:0:0:0:1]:1")) == "[::1]:1");
  CHECK(Address("2001:DB8:0::7", 1) == Address("2001:db8::7", 1));
}

TEST_CASE("host, port and family can be asked for") {
  const Address v4("10.1.2.3", 8080);
  CHECK(v4.host() == "10.1.2.3");
  CHECK(v4.port() == 8080);
  CHECK(v4.family() == AF_INET);
  const Address v6("::1", 1);
  CHECK(v6.host() == "::1");
  CHECK(v6.family() == AF_INET6);
  const Address other = v6.with_port(65535);
  CHECK(other.port() == 65535);
  CHECK(other.host() == "::1");
  CHECK(v6.port() == 1);
  CHECK_FALSE(other == v6);
  CHECK_FALSE(v4 == v6);
}

TEST_CASE("no address is no address") {
  const Address none;
  CHECK(none.family() == AF_UNSPEC);
  CHECK(none.port() == 0);
  CHECK(none.host().empty());
  CHECK(to_string(none) == "no address");
  CHECK(none == Address());
  CHECK(none.with_port(5) == none);
}

TEST_CASE("an address is copied from what a system call fills in") {
  sockaddr_in raw = {};
  raw.sin_family = AF_INET;
  raw.sin_port = htons(1234);
  raw.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const Address address(reinterpret_cast<const sockaddr*>(&raw), sizeof raw);
  CHECK(address == Address("127.0.0.1", 1234));
}

TEST_CASE("a host that isn't numeric is a ValueError that shows it") {
  for (const char* const host :
       {"", "localhost", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.4 ", " 1.2.3.4", "01.2.3.4x", "::g",
        ":::", "[::1]", "::1%", "::1%nosuchinterface0", "1.2.3.4:80", "12345::", "::1%%lo"}) {
    const std::string message = thrown<ValueError>([&] { Address(host, 1); });
    CHECK(message == "\"" + std::string(host) + "\" is not a numeric IPv4 or IPv6 address");
    CHECK_FALSE(Address::is_numeric(host));
  }
  CHECK_FALSE(Address::is_numeric(std::string_view("127.0.0.1\0x", 11)));
  CHECK_THROWS_AS(Address(std::string_view("127.0.0.1\0x", 11), 1), ValueError);
  CHECK_THROWS_AS(Address(std::string(10'000, '1'), 1), ValueError);
  CHECK(Address::is_numeric("127.0.0.1"));
  CHECK(Address::is_numeric("::1"));
}

TEST_CASE("what isn't an address with a port is a ValueError that shows it and what is wanted") {
  for (const char* const text : {"",
                                 ":",
                                 ":80",
                                 "127.0.0.1",
                                 "127.0.0.1:",
                                 "127.0.0.1:x",
                                 "127.0.0.1:-1",
                                 "127.0.0.1:65536",
                                 "127.0.0.1:99999999999999999999",
                                 "127.0.0.1:+80",
                                 "127.0.0.1: 80",
                                 "127.0.0.1:80 ",
                                 "127.0.0.1:0x50",
                                 "::1:80",
                                 "::1",
                                 "[::1]",
                                 "[::1]:",
                                 "[::1:80",
                                 "::1]:80",
                                 "[::1]80",
                                 "[]:80",
                                 "localhost:80",
                                 "[::1]:80:80",
                                 "[[::1]]:80"}) {
    const std::string message = thrown<ValueError>([&] { Address::parse(text); });
    INFO(text);
    CHECK_THAT(message, Catch::Matchers::Contains("\"") && Catch::Matchers::Contains("not a"));
  }
  CHECK(thrown<ValueError>([] { Address::parse("127.0.0.1"); }) ==
        "\"127.0.0.1\" is not an address like 127.0.0.1:80 or [::1]:80");
}
