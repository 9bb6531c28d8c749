// may_be_host(), may_be_zone(): which characters a host and an IPv6 zone may have. Not installed.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <string_view>

namespace heddle::detail {

// No name has these: they are a typing error, or an attempt at injection, where a host becomes part of a
// header or a URL.
inline bool is_in_no_host(char letter) noexcept {
  const auto code = static_cast<unsigned char>(letter);
  return code <= ' ' || code == 0x7f ||
         std::string_view("/[]@\\\"<>?#").find(letter) != std::string_view::npos;
}

inline bool may_be_host(std::string_view text) noexcept {
  return !text.empty() && std::none_of(text.begin(), text.end(), is_in_no_host);
}

/// A zone is the name of an interface, or its number (RFC 4007, section 11.2): if_nametoindex(3) would ignore
/// what follows a colon.
inline bool may_be_zone(std::string_view text) noexcept {
  return may_be_host(text) && text.find_first_of(":%") == std::string_view::npos;
}

}  // namespace heddle::detail
