// KernelSystem::describe: what a descriptor is, as a text for people.
// SPDX-License-Identifier: MIT
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstring>

#include "system.hpp"

namespace heddle {

namespace {

constexpr std::size_t longest_address = 160;

// "127.0.0.1:7000", "[::1]:7000", a path, "@abstract"; empty for a socket without a name.
void print_address(const sockaddr_storage& address, unsigned length, char* text) noexcept {
  char host[INET6_ADDRSTRLEN] = "";
  *text = '\0';
  if (address.ss_family == AF_INET) {
    sockaddr_in in;
    std::memcpy(&in, &address, sizeof in);
    ::inet_ntop(AF_INET, &in.sin_addr, host, sizeof host);
    std::snprintf(text, longest_address, "%s:%u", host, unsigned{ntohs(in.sin_port)});
  } else if (address.ss_family == AF_INET6) {
    sockaddr_in6 in;
    std::memcpy(&in, &address, sizeof in);
    ::inet_ntop(AF_INET6, &in.sin6_addr, host, sizeof host);
    std::snprintf(text, longest_address, "[%s]:%u", host, unsigned{ntohs(in.sin6_port)});
  } else if (address.ss_family == AF_UNIX) {
    sockaddr_un un;
    std::memcpy(&un, &address, sizeof un);
    const std::size_t size =
        length > offsetof(sockaddr_un, sun_path) ? length - offsetof(sockaddr_un, sun_path) : 0;
    if (size > 1 && un.sun_path[0] == '\0')
      std::snprintf(text, longest_address, "@%.*s", static_cast<int>(size - 1), un.sun_path + 1);
    else if (size > 0)
      std::snprintf(text, longest_address, "%.*s", static_cast<int>(size), un.sun_path);
  }
}

const char* kind_of_socket(int family, int type) noexcept {
  const bool stream = type == SOCK_STREAM;
  if (family == AF_UNIX) return stream ? "Unix stream" : "Unix datagram";
  if (family == AF_INET || family == AF_INET6) return stream ? "TCP" : "UDP";
  return "socket";
}

}  // namespace

bool System::describe(int, char*, std::size_t) noexcept { return false; }

bool KernelSystem::describe(int fd, char* text, std::size_t size) noexcept {
  int type = 0;
  unsigned length = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0) {
    sockaddr_storage address = {};
    char local[longest_address];
    char remote[longest_address];
    length = sizeof address;
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return false;
    print_address(address, length, local);
    const char* const kind = kind_of_socket(address.ss_family, type);
    length = sizeof address;
    const bool connected = getpeername(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0;
    if (connected) print_address(address, length, remote);
    int listens = 0;
    length = sizeof listens;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) == 0 && listens != 0)
      std::snprintf(text, size, "%s listener %s", kind, local);
    else
      std::snprintf(text, size, "%s%s%s%s%s", kind, *local != '\0' ? " " : "", local,
                    connected && *remote != '\0' ? " <- " : "", connected ? remote : "");
    return true;
  }
#ifdef __linux__
  char link[32];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t count = ::readlink(link, text, size - 1);
  if (count < 0) return false;
  text[count] = '\0';
  return true;
#else
  return false;
#endif
}

}  // namespace heddle
