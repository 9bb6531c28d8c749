// Servers whose system calls fail, one by one: others are served, nothing is echoed wrong, nothing is left.
// Calls of io go through the System; those of the selectors are wrapped by the linker.
// SPDX-License-Identifier: MIT
#include <netdb.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/time.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "../../../io/address/resolver.hpp"
#include "../../../io/server/server.hpp"
#include "../../../io/stream/copy.hpp"
#include "../../../runtime/threads/to_thread.hpp"
#include "../../support/faulty_system.hpp"
#include "../../support/turns.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

// The selectors' own calls, on the thread that asks for it.
struct KernelFault {
  const char* call = nullptr;
  int error = 0;
  int left = -1;  // the n-th from now fails
  int made = 0;
};
constinit thread_local KernelFault kernel_fault;

bool fails(const char* call) noexcept {
  KernelFault& fault = kernel_fault;
  if (fault.call == nullptr || std::string_view(fault.call) != call) return false;
  ++fault.made;
  if (fault.left < 0 || fault.left-- != 0) return false;
  errno = fault.error;
  return true;
}

}  // namespace

// The linker sends calls of NAME here, and __real_NAME is the kernel's.
#define HEDDLE_FAULTY(result, name, parameters, arguments) \
  extern "C" result __real_##name parameters;              \
  extern "C" result __wrap_##name parameters;              \
  extern "C" result __wrap_##name parameters { return fails(#name) ? -1 : __real_##name arguments; }
HEDDLE_FAULTY(int, epoll_create1, (int flags), (flags))
HEDDLE_FAULTY(int, epoll_ctl, (int set, int operation, int fd, epoll_event* event),
              (set, operation, fd, event))
HEDDLE_FAULTY(int, epoll_wait, (int set, epoll_event* events, int room, int ms), (set, events, room, ms))
HEDDLE_FAULTY(int, epoll_pwait2,
              (int set, epoll_event* events, int room, const timespec* time, const sigset_t* mask),
              (set, events, room, time, mask))
HEDDLE_FAULTY(int, ppoll, (pollfd * fds, nfds_t count, const timespec* time, const sigset_t* mask),
              (fds, count, time, mask))
HEDDLE_FAULTY(int, pselect,
              (int count, fd_set* reads, fd_set* writes, fd_set* others, const timespec* time,
               const sigset_t* mask),
              (count, reads, writes, others, time, mask))

void hang_if_told(std::string_view name);  // look_ups_test.cpp

// As where /etc/hosts has a name twice.
extern "C" int __real_getaddrinfo(const char* name, const char* service, const addrinfo* hints,
                                  addrinfo** found);
extern "C" int __wrap_getaddrinfo(const char* name, const char* service, const addrinfo* hints,
                                  addrinfo** found);
extern "C" int __wrap_getaddrinfo(const char* name, const char* service, const addrinfo* hints,
                                  addrinfo** found) {
  hang_if_told(name);
  if (std::string_view(name) != "twice.test") return __real_getaddrinfo(name, service, hints, found);
  const int code = __real_getaddrinfo("127.0.0.1", service, hints, found);
  if (code != 0) return code;
  addrinfo* last = *found;
  while (last->ai_next != nullptr) last = last->ai_next;
  return __real_getaddrinfo("127.0.0.1", service, hints, &last->ai_next);
}

namespace {

// A client that isn't heddle's: blocking, and with five seconds for everything.
class Client {
 public:
  explicit Client(const Address& address, std::string bytes) : bytes_(std::move(bytes)) {
    socket_ = File(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const timeval patience{5, 0};
    must(::setsockopt(socket_.fileno(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience));
    must(::setsockopt(socket_.fileno(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience));
    if (::connect(socket_.fileno(), address.data(), address.length()) != 0) end_ = "refused";
  }

  // Sends a piece and reads it back.
  void exchange(std::size_t size) {
    if (!end_.empty()) return;
    const std::string_view piece = std::string_view(bytes_).substr(at_, size);
    for (std::size_t sent = 0; sent < piece.size();) {
      const auto n = ::send(socket_.fileno(), piece.data() + sent, piece.size() - sent, MSG_NOSIGNAL);
      if (n < 0) return end(n);
      sent += static_cast<std::size_t>(n);
    }
    std::string got(piece.size(), '\0');
    for (std::size_t size_got = 0; size_got < got.size();) {
      const auto n = ::recv(socket_.fileno(), got.data() + size_got, got.size() - size_got, 0);
      if (n <= 0) return end(n);
      size_got += static_cast<std::size_t>(n);
      if (std::string_view(got).substr(0, size_got) != piece.substr(0, size_got)) end_ = "echoed wrong";
    }
    at_ += piece.size();
  }

  // How it went: "ok", or what the server did.
  std::string finish() {
    exchange(bytes_.size());
    if (!end_.empty()) return end_;
    ::shutdown(socket_.fileno(), SHUT_WR);
    char more;
    const auto n = ::recv(socket_.fileno(), &more, 1, 0);
    if (n > 0) return "echoed too much";
    if (n < 0) end(n);
    return end_.empty() ? "ok" : end_;
  }

 private:
  void end(std::ptrdiff_t n) { end_ = n == 0 ? "closed" : errno == EAGAIN ? "never answered" : "reset"; }

  File socket_;
  std::string bytes_;
  std::size_t at_ = 0;
  std::string end_;
};

// Three clients at the same time, then one alone; blocking.
std::vector<std::string> visit(const Address& address, std::size_t size) {
  std::vector<Client> clients;
  for (unsigned i = 0; i < 3; ++i) clients.emplace_back(address, pattern(size, i));
  for (std::size_t part = 0; part < 3; ++part)
    for (Client& client : clients) client.exchange(size / 4);
  std::vector<std::string> ends;
  for (Client& client : clients) ends.push_back(client.finish());
  return ends;
}
std::string visit_alone(const Address& address) { return Client(address, "the last one").finish(); }

Task<void> echo(TcpStream& client) {
  std::string buffer(4'000, '\0');
  while (const std::size_t size = co_await client.read_some(std::span(buffer)))
    co_await client.write_all(std::string_view(buffer).substr(0, size));
}

struct Service {
  std::vector<std::string> ends;  // of the clients that come while a call fails
  std::string last;               // of the one that comes later
  std::string end;                // of the server
  int made = 0;                   // how often the call was made that may fail
};

// A proxy in front of an echo server, both on one loop, so that accept, connect, socket, recv, send and
// whatever the selector calls are all in it.
Task<void> serve(FaultySystem& system, std::size_t size, Service& service, std::function<void()> begin,
                 std::function<int()> end) {
  EventLoop::running().set_report_handler([](EventLoop&, const Report&, void*) {});
  Server server;
  const Address upstream = server.listen(any_port(), echo);
  const auto proxy = [upstream](TcpStream& client) -> Task<void> {
    TcpStream other = co_await TcpStream::connect(upstream);
    co_await copy_bidirectional(client, other);
  };
  const Address address = server.listen(any_port(), proxy);
  begin();
  auto serving = spawn(server.serve());
  service.ends = co_await to_thread(&visit, address, size);
  service.made = end();
  system.fault = nullptr;
  service.last = co_await to_thread(&visit_alone, address);
  server.stop(std::chrono::seconds(5));
  service.end = co_await end_of(std::move(serving));
}

// One call in a run fails, and once: so it can cost one client its connection, and nobody anything else.
void check(const Service& service, const char* call, int n, int error, bool costs_nobody) {
  INFO(call << " number " << n << " failed with " << error << " (" << std::generic_category().message(error)
            << ")");
  std::size_t unhappy = 0;
  for (const std::string& end : service.ends) {
    CHECK_THAT(end, Catch::Matchers::Matches("ok|refused|closed|reset"));
    if (end != "ok") ++unhappy;
  }
  CHECK(unhappy <= (costs_nobody ? 0 : 1));
  CHECK(service.last == "ok");
  CHECK(service.end == "done");
}

struct Fault {
  Call call;
  int error;
  bool costs_nobody = false;
};

// What the man pages list and can be met by a server that makes no mistakes.
constexpr Fault faults[] = {
    {Call::ACCEPT, EINTR, true},
    {Call::ACCEPT, ECONNABORTED, true},
    {Call::ACCEPT, EPROTO, true},
    {Call::ACCEPT, EPERM, true},
    {Call::ACCEPT, ENETDOWN, true},
    {Call::ACCEPT, ENOPROTOOPT, true},
    {Call::ACCEPT, EHOSTDOWN, true},
    {Call::ACCEPT, ENONET, true},
    {Call::ACCEPT, EHOSTUNREACH, true},
    {Call::ACCEPT, ENETUNREACH, true},
    {Call::ACCEPT, ENOBUFS, true},
    {Call::ACCEPT, ENOMEM, true},
    {Call::ACCEPT, EMFILE},
    {Call::ACCEPT, ENFILE},
    {Call::RECV, EINTR, true},
    {Call::RECV, ECONNRESET},
    {Call::RECV, ETIMEDOUT},
    {Call::RECV, ENOMEM},
    {Call::RECV, ECONNREFUSED},
    {Call::SEND, EINTR, true},
    {Call::SEND, ECONNRESET},
    {Call::SEND, EPIPE},
    {Call::SEND, ENOBUFS},
    {Call::SEND, ENOMEM},
    {Call::SEND, ETIMEDOUT},
    {Call::CONNECT, EINTR, true},
    {Call::CONNECT, ECONNREFUSED},
    {Call::CONNECT, ETIMEDOUT},
    {Call::CONNECT, EADDRNOTAVAIL},
    {Call::CONNECT, ENETUNREACH},
    {Call::CONNECT, EACCES},
    {Call::CONNECT, EAGAIN},
    {Call::SOCKET, EMFILE},
    {Call::SOCKET, ENFILE},
    {Call::SOCKET, ENOBUFS},
    {Call::SOCKET, ENOMEM},
    {Call::SOCKET, EACCES},
    {Call::SHUTDOWN, ENOBUFS},
    {Call::GETSOCKOPT, ENOBUFS},
};

constexpr int far_too_many = 500;

}  // namespace

ON_SELECTORS("whichever call of a server fails, the others are served and nothing is left") {
  // Every error everywhere once; elsewhere each call with its first errors.
  const bool thorough = selector == "epoll";
  for (const Fault& fault : faults) {
    if (!thorough && fault.error != EINTR && fault.error != EMFILE && fault.error != ECONNRESET) continue;
    const int before = open_descriptors(256);
    int n = 0;
    for (int made = 1; made > n && n < far_too_many; ++n) {
      FaultySystem system;
      Service service;
      run_on(
          selector,
          [&]() -> Task<void> {
            std::function<void()> begin = [&] { system.fail(fault.call, n, fault.error); };
            std::function<int()> end = [&] { return system.made(fault.call); };
            co_await serve(system, 9'000, service, begin, end);
          },
          &system);
      made = service.made;
      check(service, to_string(fault.call), n, fault.error, fault.costs_nobody);
      INFO(to_string(fault.call) << " number " << n << " failed with " << fault.error);
      CHECK(descriptors_come_down_to(before));
    }
    CHECK(n < far_too_many);
  }
}

TEST_CASE("a server whose transfers are short echoes every byte, on poll and on select") {
  for (const std::string_view selector : {"poll", "select"})
    for (const std::size_t most : {1UL, 2UL, 3UL, 7UL, 100UL, 1'000UL, 3'999UL}) {
      FaultySystem system;
      system.most = most;
      Service service;
      run_on(
          selector,
          [&]() -> Task<void> {
            std::function<void()> begin = [] {};
            std::function<int()> end = [] { return 0; };
            co_await serve(system, std::min<std::size_t>(most * 200, 9'000), service, begin, end);
          },
          &system);
      check(service, "nothing", 0, 0, true);
    }
}

namespace {

struct SelectorFault {
  const char* selector;
  const char* call;
  int error;
  bool costs_nobody = false;
};

constexpr SelectorFault selector_faults[] = {
    {"epoll", "epoll_ctl", ENOMEM},       {"epoll", "epoll_ctl", ENOSPC},
    {"epoll", "epoll_wait", EINTR, true}, {"epoll", "epoll_pwait2", EINTR, true},
    {"poll", "ppoll", EINTR, true},       {"select", "pselect", EINTR, true},
};

Task<void> serve_with(const SelectorFault& fault, int n, FaultySystem& system, Service& service) {
  std::function<void()> begin = [&fault, n] { kernel_fault = {fault.call, fault.error, n, 0}; };
  std::function<int()> end = [] { return std::exchange(kernel_fault, KernelFault()).made; };
  co_await serve(system, 9'000, service, begin, end);
}

}  // namespace

TEST_CASE("whichever call of a selector fails, the others are served and nothing is left") {
  for (const SelectorFault& fault : selector_faults) {
    const int before = open_descriptors(256);
    int n = 0;
    for (int made = 1; made > n && n < far_too_many; ++n) {
      FaultySystem system;
      Service service;
      run_on(
          fault.selector, [&]() -> Task<void> { co_await serve_with(fault, n, system, service); }, &system);
      made = service.made;
      check(service, fault.call, n, fault.error, fault.costs_nobody);
      CHECK(descriptors_come_down_to(before));
    }
    CHECK(n < far_too_many);
  }
}

TEST_CASE("a wait that the kernel refuses for good ends run() with its name, and nothing is left") {
  for (const SelectorFault& fault :
       {SelectorFault{"epoll", "epoll_wait", EINVAL}, SelectorFault{"epoll", "epoll_pwait2", EBADF},
        SelectorFault{"poll", "ppoll", ENOMEM}, SelectorFault{"select", "pselect", ENOMEM}})
    for (const int n : {0, 1, 2}) {
      const int before = open_descriptors(256);
      const std::string end = thrown<std::system_error>([&] {
        run_on(fault.selector, [&]() -> Task<void> {
          Server server;
          server.listen(any_port(), echo);
          auto serving = spawn(server.serve());
          kernel_fault = {fault.call, fault.error, n, 0};
          for (int i = 0; i < 10; ++i) co_await sleep(1ms);
          for (int i = 0; i < 1'000; ++i) co_await yield();
        });
      });
      kernel_fault = {};
      INFO(fault.selector << ": " << fault.call << " number " << n);
      // The call and what it said, or the call was never made (epoll_wait where there is epoll_pwait2).
      if (end != "nothing") {
        CHECK_THAT(end, Catch::Matchers::Contains(std::generic_category().message(fault.error)));
        CHECK_THAT(end, Catch::Matchers::Contains(std::string(fault.selector)));
      }
      CHECK(descriptors_come_down_to(before));
    }
}

TEST_CASE("a selector that can't be made is an error that says which call was refused") {
  for (const int error : {EMFILE, ENFILE, ENOMEM}) {
    const int before = open_descriptors(256);
    kernel_fault = {"epoll_create1", error, 0, 0};
    const std::string end = thrown<std::system_error>([] { EventLoop loop(loop_options("epoll")); });
    kernel_fault = {};
    CHECK(end == "epoll_create1: " + std::generic_category().message(error));
    CHECK(descriptors_come_down_to(before));
  }
}

TEST_CASE("a name that has an address twice is listened on once") {
  run_here([]() -> Task<void> {
    const std::vector<Address> addresses = co_await resolve("twice.test", 80);
    CHECK(addresses == std::vector<Address>{Address("127.0.0.1", 80)});
    const std::vector<TcpListener> listeners = co_await TcpListener::bind_host("twice.test", 0);
    CHECK(listeners.size() == 1);
  });
}
