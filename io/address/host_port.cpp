// HostPort: text to host and port, and back.
// SPDX-License-Identifier: MIT
#include "host_port.hpp"

#include <algorithm>
#include <charconv>

#include "address.hpp"
#include "error_text.hpp"
#include "host_name.hpp"

namespace heddle {

using namespace detail;

namespace {

[[noreturn]] void refuse(std::string_view text, const std::string& why) {
  throw ValueError("\"" + printable(text) + "\" is not a host and port: " + why);
}

std::uint16_t port_of(std::string_view text, std::string_view digits) {
  std::uint16_t port = 0;
  const char* const end = digits.data() + digits.size();
  const auto [rest, error] = std::from_chars(digits.data(), end, port);
  if (digits.empty() || error != std::errc() || rest != end)
    refuse(text, "\"" + printable(digits) + "\" is not a port, which is a number up to 65535");
  return port;
}

}  // namespace

HostPort HostPort::parse(std::string_view text, std::optional<std::uint16_t> default_port) {
  std::string_view host;
  std::string_view rest;  // from the colon on
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) refuse(text, "the bracket isn't closed");
    host = text.substr(1, end - 1);
    rest = text.substr(end + 1);
    if (!rest.empty() && rest.front() != ':') refuse(text, "behind the bracket there must be a colon");
    if (host.find(':') == std::string_view::npos || !Address::is_numeric(host))
      refuse(text, "\"" + printable(host) + "\" in brackets is not an IPv6 address");
  } else {
    const bool many_colons = std::count(text.begin(), text.end(), ':') > 1;
    if (many_colons && !(default_port && Address::is_numeric(text)))
      refuse(text, "an IPv6 address stands in brackets, as in [::1]:80");
    const std::size_t colon = many_colons ? std::string_view::npos : text.find(':');
    host = text.substr(0, colon);
    if (colon != std::string_view::npos) rest = text.substr(colon);
    if (host.empty()) refuse(text, "there is no host");
    if (!may_be_host(host)) refuse(text, "there is a character that no host has");
  }
  if (!rest.empty()) return {std::string(host), port_of(text, rest.substr(1))};
  if (!default_port) refuse(text, "there is no port, as in example.com:80");
  return {std::string(host), *default_port};
}

std::string to_string(const HostPort& where) {
  const bool v6 = where.host.find(':') != std::string::npos;
  return (v6 ? '[' + where.host + ']' : where.host) + ':' + std::to_string(where.port);
}

}  // namespace heddle
