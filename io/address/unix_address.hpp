// UnixAddress: the address of a Unix socket: a path, an abstract name, or none.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <string>
#include <string_view>

#include "../../selector/errors.hpp"

struct sockaddr;

HEDDLE_HEADER_BEGIN

namespace heddle {

/// A socket address of AF_UNIX (unix(7)); a value.
class HEDDLE_EXPORT UnixAddress {
 public:
  /// Unnamed, as an unbound socket is. Binding to it lets Linux pick an abstract name.
  UnixAddress() noexcept = default;
  /// A path in the file system. Throws ValueError when it is empty, too long (107 bytes on Linux) or holds a
  /// NUL.
  explicit UnixAddress(std::string_view path);
  /// A name in Linux' abstract namespace, of any bytes. Throws ValueError when it is too long.
  static UnixAddress abstract(std::string_view name);
  /// A copy of what a system call filled in.
  UnixAddress(const sockaddr* address, unsigned length) noexcept;

  bool is_unnamed() const noexcept;
  bool is_abstract() const noexcept;
  bool is_path() const noexcept { return !is_unnamed() && !is_abstract(); }
  /// Empty when it isn't a path.
  std::string path() const;
  /// The abstract name; empty when it has none.
  std::string name() const;

  /// AF_UNIX.
  int family() const noexcept;
  const sockaddr* data() const noexcept;
  sockaddr* data() noexcept;
  unsigned length() const noexcept { return length_; }
  static constexpr unsigned capacity() noexcept { return sizeof storage_; }
  void set_length(unsigned length) noexcept;

  friend HEDDLE_EXPORT bool operator==(const UnixAddress& a, const UnixAddress& b) noexcept;

 private:
  std::string_view bytes() const noexcept;  // of the path or the name, with the NUL before a name

  // The kernel may append a NUL to a path of full length.
  alignas(8) unsigned char storage_[112] = {1};  // AF_UNIX
  unsigned length_ = 2;
};

/// The path, "@name" for an abstract one (what isn't printable as \x00), "unnamed".
HEDDLE_EXPORT std::string to_string(const UnixAddress& address);

}  // namespace heddle

HEDDLE_HEADER_END
