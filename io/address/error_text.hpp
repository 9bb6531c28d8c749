// printable(), throw_for(): texts of errors: untrusted bytes escaped, the address named. Not installed.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <system_error>

namespace heddle::detail {

/// The text with control characters and backslashes escaped, as in \x0a.
inline std::string printable(std::string_view bytes) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const char byte : bytes) {
    const auto code = static_cast<unsigned char>(byte);
    if (code >= ' ' && code != 0x7f && code != '\\')
      text += byte;
    else
      text.append("\\x").append(1, digits[code >> 4]).append(1, digits[code & 15]);
  }
  return text;
}

/// Throws `error` again as "listen on 127.0.0.1:80: Address already in use".
template <class SomeAddress>
[[noreturn]] void throw_for(const std::system_error& error, const char* operation,
                            const SomeAddress& address) {
  throw std::system_error(error.code(), std::string(operation) + ' ' + to_string(address));
}

}  // namespace heddle::detail
