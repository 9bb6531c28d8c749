// finish(): ending a connection without losing what was sent last.
// SPDX-License-Identifier: MIT
#include "stream_socket.hpp"

#include <array>
#include <exception>

#include "../../runtime/task/timeout.hpp"

namespace heddle::detail {

namespace {

Task<void> drop_rest(Fd& fd) {
  std::array<std::byte, 4096> buffer;
  std::size_t size = 1;
  while (size != 0) size = co_await BasicReceiveOperation<ShortRead::MAY_LEAVE_MORE>(fd, buffer);
}

}  // namespace

Task<void> finish_connection(Socket& socket, Timeout limit) {
  struct Closing {
    Socket& socket;
    ~Closing() { socket.close(); }
  };
  const Closing closing{socket};
  try {
    socket.shutdown_write();
    co_await timeout(limit, drop_rest(socket.fd()));
  } catch (const std::exception&) {
    // `closing` closes it in any case.
  }
}

}  // namespace heddle::detail
