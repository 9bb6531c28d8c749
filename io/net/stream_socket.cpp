// finish(): ending a connection without losing what was sent last.
// SPDX-License-Identifier: MIT
#include "stream_socket.hpp"

#include <array>
#include <exception>
#include <utility>

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
  try {
    socket.shutdown_write();
  } catch (const std::exception&) {
    // It isn't connected any more: there is nothing to wait for.
  }
  // From here on it is this coroutine's, which closes it however it ends: the stream may go meanwhile.
  Fd fd = std::move(socket.fd());
  try {
    co_await timeout(limit, drop_rest(fd));
  } catch (const std::exception&) {
  }
}

}  // namespace heddle::detail
