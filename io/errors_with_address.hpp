// Errors of sockets that name the address which was bound, listened on or connected to. For the sources only.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <system_error>

namespace heddle {

/// Throws `error` again as "listen on 127.0.0.1:80: Address already in use".
template <class SomeAddress>
[[noreturn]] void throw_for(const std::system_error& error, const char* operation,
                            const SomeAddress& address) {
  throw std::system_error(error.code(), std::string(operation) + ' ' + to_string(address));
}

}  // namespace heddle
