// Unix sockets: binding to paths and giving them back, connecting, credentials.
// SPDX-License-Identifier: MIT
#include "unix.hpp"

#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <system_error>

#include "../../runtime/task/sleep.hpp"
#include "../address/error_text.hpp"

namespace heddle {

namespace {

constexpr auto full_queue_pause = std::chrono::milliseconds(5);

// Whether there is a socket at the path that nobody has open.
bool is_stale(System& system, const UnixAddress& address, int type) noexcept {
  struct stat file{};
  if (system.lstat(address.path().c_str(), &file) < 0 || !S_ISSOCK(file.st_mode)) return false;
  const Fd probe(system.socket(AF_UNIX, type, 0), system);
  return probe.is_open() && system.connect(probe.fileno(), address.data(), address.length()) == -ECONNREFUSED;
}

// bind(2), and once more when what was in the way is nobody's.
int bind_path(System& system, int fd, int type, const UnixAddress& address, bool replace_stale) noexcept {
  const int result = system.bind(fd, address.data(), address.length());
  if (result != -EADDRINUSE || !replace_stale || !address.is_path() || !is_stale(system, address, type))
    return result;
  const int removed = system.unlink(address.path().c_str());
  if (removed < 0 && removed != -ENOENT) return removed;
  return system.bind(fd, address.data(), address.length());
}

}  // namespace

// BoundPath.

BoundPath::BoundPath(System& system, const UnixAddress& address) : path_(address.path()) {
  struct stat file{};
  if (path_.empty() || system.lstat(path_.c_str(), &file) < 0) {
    path_.clear();
    return;
  }
  device_ = file.st_dev;
  inode_ = file.st_ino;
}

void BoundPath::remove(System& system) noexcept {
  if (path_.empty()) return;
  struct stat file{};
  if (system.lstat(path_.c_str(), &file) == 0 && file.st_dev == device_ && file.st_ino == inode_)
    system.unlink(path_.c_str());
  path_.clear();
}

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
      // The kernel tells nobody when there is room in the listener's queue again (connect(2)).
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
  return SendFdsOperation(fd(), buffer, fds);
}

// UnixListener.

UnixListener UnixListener::bind(const UnixAddress& address, const UnixBindOptions& options, int backlog) {
  try {
    UnixListener listener(make_socket(AF_UNIX, SOCK_STREAM));
    System& system = listener.fd().system();
    const int fd = listener.fileno();
    if (const int result = bind_path(system, fd, SOCK_STREAM, address, options.replace_stale); result < 0)
      throw_errno(-result, "bind", fd);
    if (options.unlink) listener.path_ = BoundPath(system, address);
    listener.listen(backlog);
    return listener;
  } catch (const std::system_error& error) {
    throw_for(error, "listen on", address);
  }
}

UnixListener& UnixListener::operator=(UnixListener&& other) noexcept {
  if (this != &other) {
    close();
    UnixSocket::operator=(std::move(other));
    spare_ = std::move(other.spare_);
    path_ = std::move(other.path_);
  }
  return *this;
}

// The path goes first: while the socket is there, nobody takes it for stale and puts his own in its place.
void UnixListener::close() noexcept {
  if (!is_open()) return;
  path_.remove(fd().system());
  Socket::close();
}

// UnixDatagram.

UnixDatagram UnixDatagram::open() { return UnixDatagram(make_socket(AF_UNIX, SOCK_DGRAM)); }

UnixDatagram UnixDatagram::bind(const UnixAddress& address, const UnixBindOptions& options) {
  try {
    UnixDatagram socket = open();
    System& system = socket.fd().system();
    const int fd = socket.fileno();
    if (const int result = bind_path(system, fd, SOCK_DGRAM, address, options.replace_stale); result < 0)
      throw_errno(-result, "bind", fd);
    if (options.unlink) socket.path_ = BoundPath(system, address);
    return socket;
  } catch (const std::system_error& error) {
    throw_for(error, "bind to", address);
  }
}

UnixDatagram& UnixDatagram::operator=(UnixDatagram&& other) noexcept {
  if (this != &other) {
    close();
    UnixSocket::operator=(std::move(other));
    path_ = std::move(other.path_);
  }
  return *this;
}

void UnixDatagram::connect_to(const UnixAddress& peer) {
  try {
    connect_now(peer.data(), peer.length());
  } catch (const std::system_error& error) {
    throw_for(error, "connect to", peer);
  }
}

void UnixDatagram::close() noexcept {
  if (!is_open()) return;
  path_.remove(fd().system());
  Socket::close();
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
