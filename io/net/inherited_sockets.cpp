// Socket activation: the environment variables are read, checked and unset.
// SPDX-License-Identifier: MIT
#include "inherited_sockets.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <string_view>
#include <system_error>

#include "../../selector/errors.hpp"
#include "../address/error_text.hpp"

namespace heddle {

using namespace detail;

namespace {

// sd_listen_fds(3) calls it SD_LISTEN_FDS_START.
constexpr int first_inherited = 3;

// -1 when the variable isn't set.
long number_in(const char* variable) {
  const char* const text = std::getenv(variable);
  if (text == nullptr) return -1;
  const std::string_view digits = text;
  long number = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size() || number < 0)
    throw ValueError(std::string(variable) + "=\"" + printable(digits) + "\" is not a number");
  return number;
}

// Also after an exception, so that no child and no library takes the sockets for its own.
struct UnsetVariables {
  ~UnsetVariables() {
    for (const char* const variable : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) ::unsetenv(variable);
  }
};

void prepare(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
    throw_errno(errno, "fcntl of an inherited socket", fd);
}

int option(const Fd& fd, int name) noexcept {
  int value = -1;
  unsigned length = sizeof value;
  return fd.system().getsockopt(fd.fileno(), SOL_SOCKET, name, &value, &length) == 0 ? value : -1;
}

int domain_of_listener(const Fd& fd) noexcept {
  if (!fd.is_open() || option(fd, SO_TYPE) != SOCK_STREAM || option(fd, SO_ACCEPTCONN) != 1) return -1;
  sockaddr_storage address{};
  unsigned length = sizeof address;
  const int named = fd.system().getsockname(fd.fileno(), reinterpret_cast<sockaddr*>(&address), &length);
  return named == 0 ? address.ss_family : -1;
}

}  // namespace

InheritedSocket::InheritedSocket(Fd its_fd, std::string its_name)
    : fd(std::move(its_fd)), name(std::move(its_name)) {}
InheritedSocket::InheritedSocket(InheritedSocket&&) noexcept = default;
InheritedSocket& InheritedSocket::operator=(InheritedSocket&&) noexcept = default;
InheritedSocket::~InheritedSocket() = default;

bool InheritedSocket::is_tcp_listener() const noexcept {
  const int domain = domain_of_listener(fd);
  return domain == AF_INET || domain == AF_INET6;
}

bool InheritedSocket::is_unix_listener() const noexcept { return domain_of_listener(fd) == AF_UNIX; }

std::vector<InheritedSocket> take_inherited_sockets() {
  const UnsetVariables unset;
  // With another pid the variables are meant for another process, and only inherited.
  if (number_in("LISTEN_PID") != ::getpid()) return {};
  const long count = number_in("LISTEN_FDS");
  std::vector<InheritedSocket> sockets;
  const char* const all_names = std::getenv("LISTEN_FDNAMES");
  std::string_view names = all_names != nullptr ? all_names : "";
  for (long i = 0; i < count; ++i) {
    const int fd = first_inherited + static_cast<int>(i);
    prepare(fd);
    const std::size_t end = names.find(':');
    const std::string_view name = names.substr(0, end);
    sockets.emplace_back(Fd(fd), std::string(name.empty() ? "unknown" : name));
    names.remove_prefix(end == std::string_view::npos ? names.size() : end + 1);
  }
  return sockets;
}

}  // namespace heddle
