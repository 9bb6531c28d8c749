// TCP: binding and connecting, with errors that name the address.
// SPDX-License-Identifier: MIT
#include "tcp.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <system_error>

#include "error_text.hpp"

namespace heddle {

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

}  // namespace heddle
