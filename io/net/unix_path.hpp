// UnixPath: the path in the file system that a bound Unix socket owns; UnixBindOptions.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstdint>
#include <string>
#include <utility>

#include "../../selector/process_mark.hpp"
#include "../address/unix_address.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

class System;

/// How to bind to a path.
struct UnixBindOptions {
  /// Replace a socket at the path that no process has open any more: connecting is refused, and the kernel
  /// lists none that was bound to it (/proc/net/unix: of this network namespace). A socket in use, also by
  /// one that doesn't listen yet, and any other file, is EADDRINUSE; so is every one where the list can't be
  /// read.
  bool replace_stale = false;
  bool unlink = true;  ///< remove the path when the socket is closed
};

namespace detail {

/// A path to which a socket was bound, or none. Its device and inode are kept, so that remove() doesn't touch
/// a file that has taken its place since. In the child of a fork() the path is still the parent's.
class HEDDLE_EXPORT UnixPath {
 public:
  UnixPath() noexcept = default;
  UnixPath(UnixPath&& other) noexcept
      : path_(std::move(other.path_)),
        device_(other.device_),
        inode_(other.inode_),
        process_(other.process_) {
    other.path_.clear();
  }
  UnixPath& operator=(UnixPath&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(device_, other.device_);
    std::swap(inode_, other.inode_);
    std::swap(process_, other.process_);
    return *this;
  }

  /// Binds `fd`, a socket of `type`, and yields the path, if the address is one and the options want it
  /// removed. Throws std::system_error.
  static UnixPath bind(System& system, int fd, int type, const UnixAddress& address,
                       const UnixBindOptions& options);
  void remove(System& system) noexcept;
  /// remove() will do nothing.
  void forget() noexcept { path_.clear(); }

 private:
  UnixPath(System& system, const UnixAddress& address);

  std::string path_;
  std::uint64_t device_ = 0;
  std::uint64_t inode_ = 0;
  ProcessMark process_;
};

}  // namespace detail

}  // namespace heddle

HEDDLE_HEADER_END
