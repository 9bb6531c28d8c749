// Address: text to sockaddr and back.
// SPDX-License-Identifier: MIT
#include "address.hpp"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "error_text.hpp"
#include "host_name.hpp"

namespace heddle {

using namespace detail;

namespace {

template <class SocketAddress>
SocketAddress load(const unsigned char* storage) noexcept {
  SocketAddress address;
  std::memcpy(&address, storage, sizeof address);
  return address;
}

// 0 when there is no such interface.
unsigned scope_of(const std::string& zone) noexcept {
  unsigned scope = 0;
  const char* const end = zone.data() + zone.size();
  const auto [rest, error] = std::from_chars(zone.data(), end, scope);
  return error == std::errc() && rest == end ? scope : ::if_nametoindex(zone.c_str());
}

// The length of the address, 0 for what isn't one.
unsigned fill(unsigned char* storage, std::string_view host, std::uint16_t port) noexcept {
  if (host.find('\0') != std::string_view::npos) return 0;
  sockaddr_in v4 = {};
  const std::string text(host);
  if (::inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(storage, &v4, sizeof v4);
    return sizeof v4;
  }
  sockaddr_in6 v6 = {};
  const std::size_t percent = text.find('%');
  const std::string number = text.substr(0, percent);
  if (::inet_pton(AF_INET6, number.c_str(), &v6.sin6_addr) != 1) return 0;
  if (percent != std::string::npos) {
    const std::string zone = text.substr(percent + 1);
    if (!may_be_zone(zone) || (v6.sin6_scope_id = scope_of(zone)) == 0) return 0;
  }
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  std::memcpy(storage, &v6, sizeof v6);
  return sizeof v6;
}

}  // namespace

Address::Address(std::string_view host, std::uint16_t port) : length_(fill(storage_, host, port)) {
  static_assert(sizeof storage_ >= sizeof(sockaddr_in6));
  if (length_ == 0) throw ValueError("\"" + printable(host) + "\" is not a numeric IPv4 or IPv6 address");
}

Address Address::parse(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  std::string_view host = text.substr(0, colon);
  std::uint16_t port = 0;
  bool good = colon != std::string_view::npos && colon + 1 < text.size();
  if (good) {
    const auto [rest, error] = std::from_chars(text.data() + colon + 1, text.data() + text.size(), port);
    good = error == std::errc() && rest == text.data() + text.size();
  }
  if (good && host.size() >= 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  else if (host.find(':') != std::string_view::npos)
    good = false;
  if (!good) throw ValueError("\"" + printable(text) + "\" is not an address like 127.0.0.1:80 or [::1]:80");
  return Address(host, port);
}

Address::Address(const sockaddr* address, unsigned length) noexcept
    : length_(std::min<unsigned>(length, sizeof storage_)) {
  std::memcpy(storage_, address, length_);
}

bool Address::is_numeric(std::string_view host) noexcept {
  unsigned char storage[sizeof storage_];
  return fill(storage, host, 0) != 0;
}

int Address::family() const noexcept { return length_ == 0 ? AF_UNSPEC : data()->sa_family; }

std::uint16_t Address::port() const noexcept {
  switch (family()) {
    case AF_INET:
      return ntohs(load<sockaddr_in>(storage_).sin_port);
    case AF_INET6:
      return ntohs(load<sockaddr_in6>(storage_).sin6_port);
    default:
      return 0;
  }
}

Address Address::with_port(std::uint16_t port) const noexcept {
  Address copy = *this;
  static_assert(offsetof(sockaddr_in, sin_port) == offsetof(sockaddr_in6, sin6_port));
  const std::uint16_t in_network_order = htons(port);
  if (length_ != 0)
    std::memcpy(copy.storage_ + offsetof(sockaddr_in, sin_port), &in_network_order, sizeof in_network_order);
  return copy;
}

std::string Address::host() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (family() == AF_INET) {
    const auto v4 = load<sockaddr_in>(storage_);
    ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
  } else if (family() == AF_INET6) {
    const auto v6 = load<sockaddr_in6>(storage_);
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    if (v6.sin6_scope_id != 0) {
      char zone[IF_NAMESIZE];
      const bool named = ::if_indextoname(v6.sin6_scope_id, zone) != nullptr;
      return std::string(text) + '%' + (named ? zone : std::to_string(v6.sin6_scope_id).c_str());
    }
  }
  return text;
}

const sockaddr* Address::data() const noexcept { return reinterpret_cast<const sockaddr*>(storage_); }
sockaddr* Address::data() noexcept { return reinterpret_cast<sockaddr*>(storage_); }

bool operator==(const Address& a, const Address& b) noexcept {
  return a.length_ == b.length_ && std::memcmp(a.storage_, b.storage_, a.length_) == 0;
}

std::string to_string(const Address& address) {
  if (address.length() == 0) return "no address";
  const std::string host = address.host();
  const std::string port = std::to_string(address.port());
  return host.find(':') == std::string::npos ? host + ':' + port : '[' + host + "]:" + port;
}

}  // namespace heddle
