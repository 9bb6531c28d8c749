// Unix sockets: binding, connecting, credentials.
// SPDX-License-Identifier: MIT
#include "unix.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <system_error>

#include "../../runtime/task/sleep.hpp"
#include "../address/error_text.hpp"

namespace heddle {

using namespace detail;

namespace {

constexpr auto full_queue_pause = std::chrono::milliseconds(5);

}  // namespace

// UnixSocket.

UnixAddress UnixSocket::local_address() const {
  UnixAddress address;
  address.set_length(own_name(address.data(), UnixAddress::capacity()));
  return address;
}

UnixAddress UnixSocket::peer_address() const {
  UnixAddress address;
  address.set_length(peer_name(address.data(), UnixAddress::capacity()));
  return address;
}

PeerCredentials UnixSocket::peer_credentials() const {
#ifdef SO_PEERCRED
  ucred found{};
  option(SOL_SOCKET, SO_PEERCRED, &found, sizeof found, "SO_PEERCRED");
  return {found.pid, found.uid, found.gid};
#else
  PeerCredentials found;
  uid_t uid = 0;
  gid_t gid = 0;
  const int fd = checked("getpeereid");
  if (::getpeereid(fd, &uid, &gid) < 0) throw_errno(errno, "getpeereid", fd);
  found.uid = uid;
  found.gid = gid;
  return found;
#endif
}

// UnixStream.

namespace {

Task<UnixStream> connect_stream(UnixAddress address) {
  try {
    UnixStream stream(make_socket(AF_UNIX, SOCK_STREAM));
    for (;;) {
      const Result<void> result = co_await ConnectOperation(stream.fd(), address).as_result();
      if (result) co_return stream;
      // No event reports when the listener's queue has room again (connect(2)).
      if (result.failure().error != EAGAIN) result.value();
      co_await sleep(full_queue_pause);
    }
  } catch (const std::system_error& error) {
    throw_for(error, "connect to", address);
  }
}

}  // namespace

Connecting<UnixStream> UnixStream::connect(UnixAddress address) {
  return Connecting<UnixStream>(connect_stream(address));
}

SendFdsOperation UnixStream::send_with_fds(std::span<const std::byte> buffer, std::span<const int> fds) {
  if (buffer.empty()) throw ValueError("descriptors are sent with at least one byte on a stream");
  return SendFdsOperation(fd(), buffer, fds, most_per_turn);
}

// BoundUnixSocket.

BoundUnixSocket& BoundUnixSocket::operator=(BoundUnixSocket&& other) noexcept {
  if (this != &other) {
    close();
    UnixSocket::operator=(std::move(other));
    path_ = std::move(other.path_);
  }
  return *this;
}

// The path goes first: while the socket is open, no other process can take the path over as stale.
void BoundUnixSocket::close() noexcept {
  if (!is_open()) return;
  path_.remove(fd().system());
  Socket::close();
}

void BoundUnixSocket::bind_as(int type, const UnixAddress& address, const UnixBindOptions& options) {
  path_ = UnixPath::bind(fd().system(), fileno(), type, address, options);
}

// UnixListener.

UnixListener UnixListener::bind(const UnixAddress& address, const UnixBindOptions& options, int backlog) {
  try {
    UnixListener listener(make_socket(AF_UNIX, SOCK_STREAM));
    listener.bind_as(SOCK_STREAM, address, options);
    listener.listen(backlog);
    return listener;
  } catch (const std::system_error& error) {
    throw_for(error, "listen on", address);
  }
}

// UnixDatagram.

UnixDatagram UnixDatagram::open() { return UnixDatagram(make_socket(AF_UNIX, SOCK_DGRAM)); }

UnixDatagram UnixDatagram::bind(const UnixAddress& address, const UnixBindOptions& options) {
  try {
    UnixDatagram socket = open();
    socket.bind_as(SOCK_DGRAM, address, options);
    return socket;
  } catch (const std::system_error& error) {
    throw_for(error, "bind to", address);
  }
}

void UnixDatagram::connect_to(const UnixAddress& peer) {
  try {
    connect_now(peer.data(), peer.length());
  } catch (const std::system_error& error) {
    throw_for(error, "connect to", peer);
  }
}

// Pairs.

namespace {

template <class S>
std::pair<S, S> make_pair_of(int type) {
  System& system = current_system();
  int fds[2] = {-1, -1};
  if (const int result = system.socketpair(AF_UNIX, type, 0, fds); result < 0)
    throw_errno(-result, "socketpair", -1);
  return {S(Fd(fds[0], system)), S(Fd(fds[1], system))};
}

}  // namespace

std::pair<UnixStream, UnixStream> socket_pair() { return make_pair_of<UnixStream>(SOCK_STREAM); }
std::pair<UnixDatagram, UnixDatagram> datagram_pair() { return make_pair_of<UnixDatagram>(SOCK_DGRAM); }

}  // namespace heddle
