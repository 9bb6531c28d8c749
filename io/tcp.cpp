// TCP: binding and connecting, with errors that name the address.
// SPDX-License-Identifier: MIT
#include "tcp.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <exception>
#include <system_error>
#include <vector>

#include "errors_with_address.hpp"
#include "resolver.hpp"

namespace heddle {

Task<TcpStream> TcpStream::connect(Address address) {
  try {
    Fd fd = make_socket(address.family(), SOCK_STREAM);
    co_await ConnectOperation(fd, address);
    co_return TcpStream(std::move(fd));
  } catch (const std::system_error& error) {
    throw_for(error, "connect to", address);
  }
}

Task<TcpStream> TcpStream::connect(std::string host, std::uint16_t port) {
  const std::vector<Address> addresses = co_await resolve(std::move(host), port);
  std::exception_ptr failure;
  for (const Address& address : addresses) {
    try {
      co_return co_await connect(address);
    } catch (const std::system_error&) {
      failure = std::current_exception();
    }
  }
  std::rethrow_exception(failure);
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
