// UnixPath: binding to a path, taking over a stale one, and removing it.
// SPDX-License-Identifier: MIT
#include "unix_path.hpp"

#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>

#include "../../selector/errors.hpp"
#include "../../selector/system.hpp"
#include "../operation/fd.hpp"

namespace heddle::detail {

namespace {

// Whether there is a socket at the path that no process has open.
bool is_stale(System& system, const UnixAddress& address, int type) noexcept {
  struct stat file{};
  if (system.lstat(address.path().c_str(), &file) < 0 || !S_ISSOCK(file.st_mode)) return false;
  const Fd probe(system.socket(AF_UNIX, type, 0), system);
  return probe.is_open() && system.connect(probe.fileno(), address.data(), address.length()) == -ECONNREFUSED;
}

// bind(2), and once more after a stale socket at the path was removed.
int bind_path(System& system, int fd, int type, const UnixAddress& address, bool replace_stale) noexcept {
  const int result = system.bind(fd, address.data(), address.length());
  if (result != -EADDRINUSE || !replace_stale || !address.is_path() || !is_stale(system, address, type))
    return result;
  const int removed = system.unlink(address.path().c_str());
  if (removed < 0 && removed != -ENOENT) return removed;
  return system.bind(fd, address.data(), address.length());
}

}  // namespace

UnixPath UnixPath::bind(System& system, int fd, int type, const UnixAddress& address,
                        const UnixBindOptions& options) {
  if (const int result = bind_path(system, fd, type, address, options.replace_stale); result < 0)
    throw_errno(-result, "bind", fd);
  return options.unlink ? UnixPath(system, address) : UnixPath();
}

UnixPath::UnixPath(System& system, const UnixAddress& address) : path_(address.path()) {
  struct stat file{};
  if (path_.empty() || system.lstat(path_.c_str(), &file) < 0) {
    path_.clear();
    return;
  }
  device_ = file.st_dev;
  inode_ = file.st_ino;
}

void UnixPath::remove(System& system) noexcept {
  if (path_.empty() || !process_.is_here()) return;
  struct stat file{};
  if (system.lstat(path_.c_str(), &file) == 0 && file.st_dev == device_ && file.st_ino == inode_)
    system.unlink(path_.c_str());
  path_.clear();
}

}  // namespace heddle::detail
