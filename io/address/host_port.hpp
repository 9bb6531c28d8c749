// HostPort: "example.com:80", parsed.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "../../selector/errors.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// A host, by name or by number, and a port; what resolve() takes.
struct HEDDLE_EXPORT HostPort {
  HostPort() = default;
  HostPort(std::string its_host, std::uint16_t its_port) : host(std::move(its_host)), port(its_port) {}
  /// "example.com:80", "127.0.0.1:80", "[::1]:80"; with a `default_port` the port may be left out, and then
  /// the brackets as well. Throws ValueError that quotes the text and says what is wrong with it.
  static HostPort parse(std::string_view text, std::optional<std::uint16_t> default_port = std::nullopt);

  std::string host;  ///< without brackets
  std::uint16_t port = 0;

  friend bool operator==(const HostPort&, const HostPort&) = default;
};

/// In the form that parse() takes.
HEDDLE_EXPORT std::string to_string(const HostPort& where);

}  // namespace heddle

HEDDLE_HEADER_END
