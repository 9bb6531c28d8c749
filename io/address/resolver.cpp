// The resolver: getaddrinfo(3) on the thread pool.
// SPDX-License-Identifier: MIT
#include "resolver.hpp"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>

#include "../../runtime/threads/to_thread.hpp"

namespace heddle {

namespace {

std::vector<Address> look_up(const std::string& host, std::uint16_t port) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* found = nullptr;
  int code = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
  // Without any configured network AI_ADDRCONFIG hides even the loopback.
  if (code == EAI_NONAME || code == EAI_FAMILY) {
    hints.ai_flags = 0;
    code = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
  }
  if (code != 0) throw ResolveError(host, code);
  std::vector<Address> addresses;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next)
    if (entry->ai_family == AF_INET || entry->ai_family == AF_INET6) {
      const Address address = Address(entry->ai_addr, entry->ai_addrlen).with_port(port);
      // getaddrinfo yields duplicates where /etc/hosts has them.
      if (std::find(addresses.begin(), addresses.end(), address) == addresses.end())
        addresses.push_back(address);
    }
  ::freeaddrinfo(found);
  if (addresses.empty()) throw ResolveError(host, EAI_NONAME);
  return addresses;
}

}  // namespace

ResolveError::ResolveError(const std::string& host, int eai_code)
    : std::runtime_error("resolve \"" + host + "\": " + ::gai_strerror(eai_code)), code(eai_code) {}
ResolveError::ResolveError(const ResolveError&) noexcept = default;
ResolveError::~ResolveError() = default;

Task<std::vector<Address>> resolve(std::string host, std::uint16_t port) {
  if (Address::is_numeric(host)) {
    std::vector<Address> addresses{Address(host, port)};
    co_return addresses;
  }
  if (host.find('\0') != std::string::npos)
    throw ResolveError(host, EAI_NONAME);  // a C string would end there
  auto work = to_thread(look_up, std::move(host), port);
  co_return co_await work;
}

}  // namespace heddle
