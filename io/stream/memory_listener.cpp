// MemoryListener: connecting and accepting.
// SPDX-License-Identifier: MIT
#include "memory_listener.hpp"

#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace heddle {

MemoryStream MemoryListener::Accept::await_resume() {
  try {
    return get_.await_resume();
  } catch (const std::logic_error&) {  // it says that the queue was destroyed
    detail::throw_destroyed("MemoryListener.accept()");
  }
}

MemoryStream MemoryListener::connect(std::size_t capacity) {
  auto [client, server] = memory_pair(capacity);
  if (!is_open() || !waiting_.try_put(std::move(server)))
    throw std::system_error(ECONNREFUSED, std::generic_category(), "connect to a memory listener");
  return std::move(client);
}

}  // namespace heddle
