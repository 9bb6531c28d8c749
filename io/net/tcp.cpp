// TCP: binding and connecting, with errors that name the address.
// SPDX-License-Identifier: MIT
#include "tcp.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <system_error>

#include "../address/error_text.hpp"
#include "../address/resolver.hpp"

namespace heddle {

using namespace detail;

namespace {

Task<TcpStream> stream_of(Task<Fd> connecting) { co_return TcpStream(co_await connecting); }

}  // namespace

Connecting<TcpStream> TcpStream::connect(Address address, ConnectOptions options) {
  return Connecting<TcpStream>(stream_of(connect_address(address, options)));
}

Connecting<TcpStream> TcpStream::connect(std::vector<Address> addresses, ConnectOptions options) {
  return Connecting<TcpStream>(stream_of(connect_first(std::move(addresses), options)));
}

Connecting<TcpStream> TcpStream::connect(std::string host, std::uint16_t port, ConnectOptions options) {
  return Connecting<TcpStream>(stream_of(connect_host(HostPort(std::move(host), port), options)));
}

Connecting<TcpStream> TcpStream::connect(std::string host_and_port, ConnectOptions options) {
  return Connecting<TcpStream>(stream_of(connect_host(HostPort::parse(host_and_port), options)));
}

TcpListener TcpListener::bind(const Address& address, const ListenOptions& options) {
  try {
    TcpListener listener(make_socket(address.family(), SOCK_STREAM));
    listener.set_reuse_address(true);
    if (options.reuse_port) listener.set_reuse_port(true);
    if (address.family() == AF_INET6) listener.set_v6_only(options.v6_only);
    listener.bind_to(address.data(), address.length());
    listener.listen(options.backlog);
    return listener;
  } catch (const std::system_error& error) {
    throw_for(error, "listen on", address);
  }
}

namespace {

bool has(const std::vector<Address>& addresses, int family) {
  return std::any_of(addresses.begin(), addresses.end(),
                     [family](const Address& address) { return address.family() == family; });
}

bool is_unavailable_here(const std::system_error& error) {
  return error.code() == std::errc::address_not_available ||
         error.code() == std::errc::address_family_not_supported;
}

// Skips addresses that this machine doesn't have, unless none is left.
std::vector<TcpListener> bind_all(const std::vector<Address>& addresses, const ListenOptions& options) {
  std::vector<TcpListener> listeners;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    Address address = addresses[i];
    if (!listeners.empty()) address = address.with_port(listeners.front().local_address().port());
    try {
      listeners.push_back(TcpListener::bind(address, options));
    } catch (const std::system_error& error) {
      if (!is_unavailable_here(error) || (listeners.empty() && i + 1 == addresses.size())) throw;
    }
  }
  return listeners;
}

}  // namespace

Task<std::vector<TcpListener>> TcpListener::bind_host(std::string host, std::uint16_t port,
                                                      ListenOptions options) {
  std::vector<Address> addresses;
  if (host.empty())
    addresses = {Address("0.0.0.0", port), Address("::", port)};
  else
    addresses = co_await resolve(std::move(host), port);
  // An IPv6 socket that takes IPv4 connections too would occupy the IPv4 socket's port.
  if (has(addresses, AF_INET)) options.v6_only = true;
  // The port that the kernel picks at the first address may be in use at the second.
  for (int attempts = port == 0 ? 16 : 1;; --attempts) {
    try {
      co_return bind_all(addresses, options);
    } catch (const std::system_error& error) {
      if (error.code() != std::errc::address_in_use || attempts == 1) throw;
    }
  }
}

std::vector<TcpListener> TcpListener::bind_shared(const Address& address, std::size_t count,
                                                  ListenOptions options) {
  options.reuse_port = true;
  std::vector<TcpListener> listeners;
  listeners.reserve(count);
  for (std::size_t i = 0; i < count; ++i)
    listeners.push_back(bind(i == 0 ? address : listeners.front().local_address(), options));
  return listeners;
}

}  // namespace heddle
