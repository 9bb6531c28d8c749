// Address: where a socket is, IPv4 or IPv6.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "../../selector/errors.hpp"

struct sockaddr;

HEDDLE_HEADER_BEGIN

namespace heddle {

/// A numeric socket address; a small value. Names are looked up by resolve() (resolver.hpp).
class HEDDLE_EXPORT Address {
 public:
  /// No address at all.
  Address() noexcept = default;
  /// A numeric host: "127.0.0.1", "::1", "fe80::1%eth0", with the name or the number of an interface; to
  /// listen on, "::" is every address of the machine and "0.0.0.0" every IPv4 one. Throws ValueError for what
  /// isn't numeric.
  Address(std::string_view host, std::uint16_t port);
  /// "127.0.0.1:80" or "[::1]:80". Throws ValueError.
  static Address parse(std::string_view text);
  /// A copy of what a system call filled in.
  Address(const sockaddr* address, unsigned length) noexcept;

  /// Whether `host` is what the constructor takes.
  static bool is_numeric(std::string_view host) noexcept;

  /// AF_INET, AF_INET6, or AF_UNSPEC (0) when there is none.
  int family() const noexcept;
  std::uint16_t port() const noexcept;
  /// The same host at another port.
  Address with_port(std::uint16_t port) const noexcept;
  /// Without the port: "::1".
  std::string host() const;

  const sockaddr* data() const noexcept;
  sockaddr* data() noexcept;
  unsigned length() const noexcept { return length_; }
  static constexpr unsigned capacity() noexcept { return sizeof storage_; }
  void set_length(unsigned length) noexcept { length_ = length; }

  friend HEDDLE_EXPORT bool operator==(const Address& a, const Address& b) noexcept;

 private:
  alignas(8) unsigned char storage_[28] = {};
  unsigned length_ = 0;
};

/// "127.0.0.1:80", "[::1]:80", "no address".
HEDDLE_EXPORT std::string to_string(const Address& address);

}  // namespace heddle

HEDDLE_HEADER_END
