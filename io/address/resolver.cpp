// The resolver: getaddrinfo(3) on the thread pool.
// SPDX-License-Identifier: MIT
#include "resolver.hpp"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "../../runtime/threads/thread_pool.hpp"
#include "error_text.hpp"
#include "host_name.hpp"

namespace heddle {

namespace {

// A look-up mostly waits for a server, for up to half a minute.
constexpr std::size_t most_look_ups = 32;

std::vector<Address> look_up(const std::string& host, std::uint16_t port) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* found = nullptr;
  int code = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
  // Without any configured network AI_ADDRCONFIG hides even the loopback.
  if (code == EAI_NONAME || code == EAI_FAMILY) {
    hints.ai_flags = 0;
    code = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
  }
  if (code != 0) throw ResolveError(host, code);
  std::vector<Address> addresses;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next)
    if (entry->ai_family == AF_INET || entry->ai_family == AF_INET6) {
      const Address address = Address(entry->ai_addr, entry->ai_addrlen).with_port(port);
      // getaddrinfo yields duplicates where /etc/hosts has them.
      if (std::find(addresses.begin(), addresses.end(), address) == addresses.end())
        addresses.push_back(address);
    }
  ::freeaddrinfo(found);
  if (addresses.empty()) throw ResolveError(host, EAI_NONAME);
  return addresses;
}

// Names that hang must not hold up files, so look-ups have threads of their own. There is one pool for a
// process; in the child of a fork() the parent's has no threads. Leaked, as ThreadPool::shared() is.
struct LookUps {
  const pid_t process = ::getpid();
  ThreadPool pool{most_look_ups, ThreadPool::unlimited, "heddle names"};
};

ThreadPool& look_ups() {
  static std::atomic<LookUps*> of_process{nullptr};
  LookUps* found = of_process.load(std::memory_order_acquire);
  if (found != nullptr && found->process == ::getpid()) return found->pool;
  auto* const made = new LookUps;
  if (of_process.compare_exchange_strong(found, made)) return made->pool;
  delete made;
  return found->pool;
}

}  // namespace

ResolveError::ResolveError(const std::string& host, int eai_code)
    : std::runtime_error("resolve \"" + detail::printable(host) + "\": " + ::gai_strerror(eai_code)),
      code(eai_code) {}
ResolveError::ResolveError(const ResolveError&) noexcept = default;
ResolveError::~ResolveError() = default;

Task<std::vector<Address>> resolve(std::string host, std::uint16_t port) {
  if (Address::is_numeric(host)) {
    std::vector<Address> addresses{Address(host, port)};
    co_return addresses;
  }
  // getaddrinfo(3) may read numbers in it that aren't all there is: "127.0.0.1 x", "fe80::1%eth0:x".
  if (!detail::may_be_host(host) || host.find_first_of(":%") != std::string::npos)
    throw ResolveError(host, EAI_NONAME);
  auto work = look_ups().run(look_up, std::move(host), port);
  co_return co_await work;
}

}  // namespace heddle
