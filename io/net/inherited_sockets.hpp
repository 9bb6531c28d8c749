// InheritedSocket, take_inherited_sockets: sockets that systemd has opened for this program.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <string>
#include <vector>

#include "../operation/fd.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// A socket that this program was started with.
struct HEDDLE_EXPORT InheritedSocket {
  InheritedSocket(Fd its_fd, std::string its_name);
  InheritedSocket(InheritedSocket&&) noexcept;
  InheritedSocket& operator=(InheritedSocket&&) noexcept;
  ~InheritedSocket();

  /// Whether a TcpListener, or a UnixListener, can own it: a listening stream socket of IP, or of AF_UNIX.
  bool is_tcp_listener() const noexcept;
  bool is_unix_listener() const noexcept;

  Fd fd;             ///< non-blocking and close-on-exec
  std::string name;  ///< FileDescriptorName= of the socket unit, "unknown" when none was given
};

/// The sockets that systemd, or another supervisor that speaks its protocol, has handed over (socket
/// activation: LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES, as sd_listen_fds(3) describes them); empty if it
/// hasn't. The variables are unset, so that children don't take them for theirs, and a second call yields
/// nothing. Call it before threads are started that look at the environment. Throws std::system_error for
/// what is no open descriptor, ValueError for variables that make no sense.
///
///     for (heddle::InheritedSocket& socket : heddle::take_inherited_sockets())
///       if (socket.is_tcp_listener()) server.add(heddle::TcpListener(std::move(socket.fd)), handle);
HEDDLE_EXPORT std::vector<InheritedSocket> take_inherited_sockets();

}  // namespace heddle

HEDDLE_HEADER_END
