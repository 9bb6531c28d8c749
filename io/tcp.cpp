// TCP: binding and connecting, with errors that name the address.
// SPDX-License-Identifier: MIT
#include "tcp.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <exception>
#include <system_error>
#include <vector>

#include "resolver.hpp"

namespace heddle {

namespace {

[[noreturn]] void throw_for(const std::system_error& error, const char* operation, const Address& address) {
  throw std::system_error(error.code(), std::string(operation) + ' ' + to_string(address));
}

}  // namespace

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
    Socket socket(make_socket(address.family(), SOCK_STREAM));
    socket.set_option(SOL_SOCKET, SO_REUSEADDR, 1);
    if (options.reuse_port) socket.set_option(SOL_SOCKET, SO_REUSEPORT, 1);
    if (address.family() == AF_INET6) socket.set_option(IPPROTO_IPV6, IPV6_V6ONLY, options.v6_only);
    System& system = socket.fd().system();
    if (const int result = system.bind(socket.fileno(), address.data(), address.length()); result < 0)
      throw_errno(-result, "bind", socket.fileno());
    if (const int result = system.listen(socket.fileno(), options.backlog); result < 0)
      throw_errno(-result, "listen", socket.fileno());
    return TcpListener(std::move(socket.fd()));
  } catch (const std::system_error& error) {
    throw_for(error, "listen on", address);
  }
}

}  // namespace heddle
