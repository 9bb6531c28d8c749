// HostPort: what is a host and port, and what is wrong with what isn't.
// SPDX-License-Identifier: MIT
#include "../../../io/address/host_port.hpp"

#include <string>

#include "../../../io/address/address.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using heddle::test::thrown;

namespace {

std::string wrong(std::string_view text, std::optional<std::uint16_t> default_port = std::nullopt) {
  return thrown<ValueError>([&] { static_cast<void>(HostPort::parse(text, default_port)); });
}

}  // namespace

TEST_CASE("a host and port is printed as it is parsed") {
  for (const char* const text : {"example.com:80", "localhost:0", "127.0.0.1:65535", "[::1]:443",
                                 "[fe80::1%lo]:22", "my_host-1.example:8080", "host:007"}) {
    const HostPort where = HostPort::parse(text);
    CHECK(HostPort::parse(to_string(where)) == where);
  }
  CHECK(HostPort::parse("[::1]:443") == HostPort("::1", 443));
  CHECK(to_string(HostPort("::1", 443)) == "[::1]:443");
  CHECK(to_string(HostPort("a", 1)) == "a:1");
}

TEST_CASE("where there is a default port, it may be missing, and then brackets too") {
  CHECK(HostPort::parse("example.com", 80) == HostPort("example.com", 80));
  CHECK(HostPort::parse("example.com:81", 80) == HostPort("example.com", 81));
  CHECK(HostPort::parse("[::1]", 80) == HostPort("::1", 80));
  CHECK(HostPort::parse("::1", 80) == HostPort("::1", 80));
  CHECK(HostPort::parse("[::1]:81", 80) == HostPort("::1", 81));
}

TEST_CASE("what isn't a host and port is quoted, with what is wrong") {
  using Catch::Matchers::Contains;
  CHECK_THAT(wrong("example.com"), Catch::Matchers::StartsWith("\"example.com\" is not a host and port: "));
  CHECK_THAT(wrong("example.com"), Contains("there is no port"));
  CHECK_THAT(wrong("[::1]"), Contains("there is no port"));
  for (const char* const port : {"", "http", "65536", "-1", "8o", " 80", "80 ", "+80"})
    CHECK_THAT(wrong("host:" + std::string(port)), Contains("\"" + std::string(port) + "\" is not a port"));
  CHECK_THAT(wrong(":80"), Contains("there is no host"));
  CHECK_THAT(wrong(""), Contains("there is no host"));
  CHECK_THAT(wrong("", 80), Contains("there is no host"));
  CHECK_THAT(wrong("::1:80"), Contains("brackets"));
  CHECK_THAT(wrong("a:b:80", 80), Contains("brackets"));
  CHECK_THAT(wrong("[::1:80"), Contains("isn't closed"));
  CHECK_THAT(wrong("[::1]80"), Contains("colon"));
  CHECK_THAT(wrong("[example.com]:80"), Contains("not an IPv6 address"));
  CHECK_THAT(wrong("[127.0.0.1]:80"), Contains("not an IPv6 address"));
  CHECK_THAT(wrong("[]:80"), Contains("not an IPv6 address"));
  for (const char* const host : {"a b", " a", "a\n", "http//x", "u@h", "a]"})
    CHECK_THAT(wrong(std::string(host) + ":80"), Contains("no host has"));
  CHECK_THAT(wrong(std::string("a\0b:80", 6)), Contains("no host has"));
}

TEST_CASE("a zone is the name of an interface and nothing else, so no zone ends a header") {
  for (const char* const zone : {"lo:\r\nA: b", "lo:junk", "lo\n", "lo ", " lo", "lo%lo", "", "lo/x", "lo]",
                                 "-1", "0", "1x", "99999999999999999999", "lo\t", "\x7f"}) {
    INFO(zone);
    CHECK(wrong("[fe80::1%" + std::string(zone) + "]:80") != "nothing");
    CHECK(wrong("fe80::1%" + std::string(zone), 80) != "nothing");
    CHECK_FALSE(Address::is_numeric("fe80::1%" + std::string(zone)));
    const std::string error = thrown<ValueError>([&] { Address("fe80::1%" + std::string(zone), 1); });
    CHECK(error != "nothing");
    CHECK(error.find_first_of("\r\n\t") == std::string::npos);
  }
  CHECK(HostPort::parse("[fe80::1%lo]:80").host == "fe80::1%lo");
  CHECK(HostPort::parse("[fe80::1%1]:80").host == "fe80::1%1");
}
