// TlsStream over TCP, instantiated here and not by users.
// SPDX-License-Identifier: MIT
#include "tls_stream.hpp"

#include <cerrno>
#include <stdexcept>
#include <system_error>

#include "../../runtime/core/current.hpp"
#include "../../runtime/core/task_state.hpp"

namespace heddle {

using namespace detail;

namespace detail {

void throw_no_tls() { throw std::logic_error("this TlsStream is empty"); }

void throw_tls_writing_ended() {
  throw std::system_error(EPIPE, std::generic_category(), "TLS write after shutdown_write()");
}

void throw_tls_closed(const char* operation, int error) {
  throw std::system_error(error, std::generic_category(), std::string(operation) + " on a closed stream");
}

void postpone_cancel() noexcept {
  if (current.task->requests_in_force() > 0) current.task->defer_cancel();
}

}  // namespace detail

template <class S>
Task<BasicTlsStream<S>> BasicTlsStream<S>::connect(std::string host, std::uint16_t port, TlsContext context)
  requires std::same_as<S, TcpStream>
{
  TcpStream stream = co_await TcpStream::connect(host, port);
  co_return co_await start_tls(std::move(stream), std::move(context), std::move(host));
}

template class detail::TlsConnection<TcpStream>;
template class BasicTlsStream<TcpStream>;

}  // namespace heddle
