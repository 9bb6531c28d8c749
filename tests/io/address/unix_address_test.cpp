// UnixAddress: paths, abstract names, and what is none.
// SPDX-License-Identifier: MIT
#include "../../../io/address/unix_address.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <string>

#include "../../support/on_selectors.hpp"

using namespace heddle;
using heddle::test::thrown;

TEST_CASE("a Unix address is a path, an abstract name, or unnamed") {
  const UnixAddress path("/run/x.sock");
  CHECK(path.is_path());
  CHECK(path.path() == "/run/x.sock");
  CHECK(to_string(path) == "/run/x.sock");
  CHECK(path.family() == AF_UNIX);
  const UnixAddress name = UnixAddress::abstract("x");
  CHECK(name.is_abstract());
  CHECK(name.name() == "x");
  CHECK(name.path().empty());
  CHECK(to_string(name) == "@x");
  const UnixAddress none;
  CHECK(none.is_unnamed());
  CHECK(to_string(none) == "unnamed");
  CHECK(none.family() == AF_UNIX);
  CHECK_FALSE(path == name);
  CHECK_FALSE(none == name);
  CHECK(path == UnixAddress("/run/x.sock"));
  CHECK(UnixAddress() == none);
}

TEST_CASE("an abstract name may hold any bytes, and is printed all the same") {
  const std::string bytes("a\0\n\\", 4);
  const UnixAddress name = UnixAddress::abstract(bytes);
  CHECK(name.name() == bytes);
  CHECK(to_string(name) == "@a\\x00\\x0a\\x5c");
  CHECK_FALSE(UnixAddress::abstract("a") == UnixAddress::abstract(std::string("a\0", 2)));
  CHECK(UnixAddress::abstract("").is_abstract());
}

TEST_CASE("a path that is too long, empty or holds a NUL is refused by name") {
  const std::string longest(107, 'p');
  CHECK(UnixAddress(longest).path() == longest);
  CHECK(UnixAddress::abstract(longest).name() == longest);
  const std::string too_long(108, 'p');
  const std::string message = thrown<ValueError>([&] { UnixAddress address(too_long); });
  CHECK_THAT(message, Catch::Matchers::StartsWith("\"" + too_long + "\" is too long"));
  CHECK_THAT(message, Catch::Matchers::Contains("108"));
  CHECK_THAT(message, Catch::Matchers::Contains("107"));
  CHECK_THROWS_AS(UnixAddress::abstract(too_long), ValueError);
  CHECK_THROWS_AS(UnixAddress(""), ValueError);
  CHECK_THAT(thrown<ValueError>([] { UnixAddress address(std::string("/a\0b", 4)); }),
             Catch::Matchers::StartsWith("\"/a\\x00b\" is no path"));
}

TEST_CASE("a Unix address is copied from what a system call fills in") {
  sockaddr_un raw{};
  raw.sun_family = AF_UNIX;
  std::memcpy(raw.sun_path, "/tmp/s", 6);
  const auto* const bytes = reinterpret_cast<const sockaddr*>(&raw);
  const UnixAddress same("/tmp/s");
  CHECK(UnixAddress(bytes, sizeof raw) == same);                           // with all the zeros behind it
  CHECK(UnixAddress(bytes, offsetof(sockaddr_un, sun_path) + 7) == same);  // with its NUL
  CHECK(UnixAddress(bytes, offsetof(sockaddr_un, sun_path) + 6) == same);  // without
  CHECK(UnixAddress(bytes, offsetof(sockaddr_un, sun_path)).is_unnamed());
  CHECK(UnixAddress(bytes, 0).is_unnamed());
  std::memset(raw.sun_path, 'q', sizeof raw.sun_path);  // no NUL at all
  CHECK(UnixAddress(bytes, sizeof raw).path() == std::string(sizeof raw.sun_path, 'q'));
}
