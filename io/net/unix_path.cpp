// UnixPath: binding to a path, taking over a stale one, and removing it.
// SPDX-License-Identifier: MIT
#include "unix_path.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <string_view>

#include "../../selector/errors.hpp"
#include "../../selector/system.hpp"
#include "../operation/fd.hpp"

namespace heddle::detail {

namespace {

// What the kernel lists of the Unix sockets (proc(5)). False where that can't be read, or there is no memory
// for it.
bool read_unix_sockets(System& system, std::string& list) noexcept try {
  const Fd file(system.open("/proc/net/unix", O_RDONLY | O_CLOEXEC, 0), system);
  if (!file.is_open()) return false;
  for (char piece[16384];;) {
    const std::ptrdiff_t n = system.read(file.fileno(), piece, sizeof piece);
    if (n < 0 && n != -EINTR) return false;
    if (n > 0) list.append(piece, static_cast<std::size_t>(n));
    if (n == 0) return !list.empty();
  }
} catch (const std::bad_alloc&) {
  return false;
}

std::string_view last_part(std::string_view path) noexcept { return path.substr(path.rfind('/') + 1); }

// Whether the path by which a socket was bound may be that of `file`, which is there as `path`. It may be
// relative to another process's directory, or lead through links: so the last part decides, unless there is
// another file.
bool may_be_bound(System& system, const std::string& bound, const std::string& path,
                  const struct stat& file) noexcept {
  if (last_part(bound) != last_part(path)) return false;
  struct stat other{};
  return !bound.starts_with('/') || system.lstat(bound.c_str(), &other) < 0 ||
         (other.st_dev == file.st_dev && other.st_ino == file.st_ino);
}

// Whether a process has a socket that is bound to the path; yes, too, where that can't be known.
bool is_in_use(System& system, const std::string& path, const struct stat& file) noexcept try {
  std::string list;
  if (!read_unix_sockets(system, list)) return true;
  // "ffff...: 00000002 00000000 00010000 0001 01 20034 /run/socket": the path follows the seventh field. A
  // path may have an end of line in it; of such a one the last lines might be anything.
  if (path.find('\n') != std::string::npos) return true;
  std::string_view rest(list);
  rest.remove_prefix(std::min(rest.find('\n') + 1, rest.size()));  // the names of the fields
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    for (int field = 0; field < 7 && !line.empty(); ++field) {
      line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
      line.remove_prefix(std::min(line.find(' '), line.size()));
    }
    if (line.size() > 1 && may_be_bound(system, std::string(line.substr(1)), path, file)) return true;
  }
  return false;
} catch (const std::bad_alloc&) {
  return true;
}

// Whether there is a socket at the path that no process has open. Connecting is refused also by one that was
// bound and doesn't listen yet.
bool is_stale(System& system, const UnixAddress& address, int type) noexcept {
  const std::string path = address.path();
  struct stat file{};
  if (system.lstat(path.c_str(), &file) < 0 || !S_ISSOCK(file.st_mode)) return false;
  const Fd probe(system.socket(AF_UNIX, type, 0), system);
  if (!probe.is_open() || system.connect(probe.fileno(), address.data(), address.length()) != -ECONNREFUSED)
    return false;
  if (is_in_use(system, path, file)) return false;
  // Another process may have replaced it meanwhile.
  struct stat again{};
  return system.lstat(path.c_str(), &again) == 0 && again.st_dev == file.st_dev &&
         again.st_ino == file.st_ino;
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
