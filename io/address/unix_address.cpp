// UnixAddress: paths and names to sockaddr_un and back.
// SPDX-License-Identifier: MIT
#include "unix_address.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "error_text.hpp"

namespace heddle {

using namespace detail;

namespace {

constexpr unsigned offset = offsetof(sockaddr_un, sun_path);
constexpr std::size_t longest = sizeof(sockaddr_un::sun_path) - 1;

[[noreturn]] void refuse(std::string_view text, const std::string& why) {
  throw ValueError("\"" + printable(text) + "\" " + why);
}

void check_length(std::string_view text) {
  if (text.size() > longest)
    refuse(text, "is too long for a Unix socket: " + std::to_string(text.size()) + " bytes, the limit is " +
                     std::to_string(longest));
}

}  // namespace

UnixAddress::UnixAddress(std::string_view path) {
  static_assert(offset == 2 && sizeof storage_ >= sizeof(sockaddr_un) && AF_UNIX == 1);
  if (path.empty()) throw ValueError("a Unix socket's path is empty");
  if (path.find('\0') != std::string_view::npos) refuse(path, "is no path: there is a NUL in it");
  check_length(path);
  std::memcpy(storage_ + offset, path.data(), path.size());
  set_length(offset + static_cast<unsigned>(path.size()) + 1);
}

UnixAddress UnixAddress::abstract(std::string_view name) {
  check_length(name);
  UnixAddress address;
  std::memcpy(address.storage_ + offset + 1, name.data(), name.size());
  address.set_length(offset + 1 + static_cast<unsigned>(name.size()));
  return address;
}

UnixAddress::UnixAddress(const sockaddr* address, unsigned length) noexcept {
  length = std::min<unsigned>(length, sizeof storage_);
  if (length < offset) return;
  std::memcpy(storage_, address, length);
  set_length(length);
}

// Normalises a path's length to end at its NUL, so that equal paths compare equal.
void UnixAddress::set_length(unsigned length) noexcept {
  length_ = std::clamp<unsigned>(length, offset, sizeof storage_);
  if (length < offset) {  // the kernel fills in nothing for an unnamed peer
    *this = UnixAddress();
  } else if (is_path()) {
    const auto* const text = reinterpret_cast<const char*>(storage_) + offset;
    const auto size =
        static_cast<unsigned>(::strnlen(text, std::min<std::size_t>(length_ - offset, longest + 1)));
    length_ = offset + size;
    if (size <= longest) storage_[length_++] = 0;
  }
}

bool UnixAddress::is_unnamed() const noexcept { return length_ <= offset; }
bool UnixAddress::is_abstract() const noexcept { return length_ > offset && storage_[offset] == 0; }

std::string_view UnixAddress::bytes() const noexcept {
  return {reinterpret_cast<const char*>(storage_) + offset, length_ - offset};
}

std::string UnixAddress::path() const {
  if (!is_path()) return {};
  const std::string_view all = bytes();
  return std::string(all.substr(0, all.find('\0')));
}

std::string UnixAddress::name() const {
  return is_abstract() ? std::string(bytes().substr(1)) : std::string();
}

int UnixAddress::family() const noexcept { return AF_UNIX; }
const sockaddr* UnixAddress::data() const noexcept { return reinterpret_cast<const sockaddr*>(storage_); }
sockaddr* UnixAddress::data() noexcept { return reinterpret_cast<sockaddr*>(storage_); }

bool operator==(const UnixAddress& a, const UnixAddress& b) noexcept { return a.bytes() == b.bytes(); }

std::string to_string(const UnixAddress& address) {
  if (address.is_unnamed()) return "unnamed";
  return address.is_abstract() ? '@' + printable(address.name()) : printable(address.path());
}

}  // namespace heddle
