// The callback echo server of Python's selectors documentation, over the bare selector: no coroutine, no
// loop. What a client doesn't take yet waits here, and then that client is only watched for writing.
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <heddle/selector/mechanisms/make_selector.hpp>
#include <stdexcept>
#include <string>
#include <system_error>
#include <unordered_map>

#include "options.hpp"

using heddle::EVENT_READ;
using heddle::EVENT_WRITE;

namespace {

// A byte in it ends the server. (A flag could be set just before the selector begins to wait.)
int stop_pipe[2];

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

// "127.0.0.1:7000", "[::1]:7000"
std::string name_of(const sockaddr* address, socklen_t length) {
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  ::getnameinfo(address, length, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
  return (address->sa_family == AF_INET6 ? '[' + std::string(host) + ']' : host) + ':' + port;
}

int listen_on(const Options& options) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int code = options.host.empty() ? EAI_NONAME
                                        : ::getaddrinfo(options.host.c_str(),
                                                        std::to_string(options.port).c_str(), &hints, &found);
  if (code != 0) throw std::runtime_error('"' + options.host + "\": " + ::gai_strerror(code));
  const std::string name = name_of(found->ai_addr, found->ai_addrlen);
  const int fd = ::socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  if (fd < 0 || ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::bind(fd, found->ai_addr, found->ai_addrlen) != 0 || ::listen(fd, 4096) != 0)
    fail("listen on " + name);
  ::freeaddrinfo(found);
  return fd;
}

class EchoServer {
 public:
  EchoServer(heddle::BaseSelector& selector, int listener) : selector_(selector), listener_(listener) {
    selector_.register_(listener_, EVENT_READ);
    selector_.register_(stop_pipe[0], EVENT_READ);
  }

  void run() {
    for (bool stopped = false; !stopped;)
      for (const auto& [key, events] : selector_.select()) {
        if (key.fd == stop_pipe[0])
          stopped = true;
        else if (key.fd == listener_)
          accept();
        else if (events.contains(EVENT_WRITE))
          flush(key.fd);
        else
          echo(key.fd);
      }
    while (!waiting_.empty()) close(waiting_.begin()->first);
    ::close(listener_);
  }

 private:
  void accept() {
    const int client = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0) {
      if (errno == EMFILE || errno == ENFILE) refuse();
      return;
    }
    try {
      selector_.register_(client, EVENT_READ);
      waiting_.emplace(client, std::string());
    } catch (const std::exception&) {  // select() has no room for a descriptor as high as this
      ::close(client);
    }
  }

  // Without a descriptor left, the listener would be reported for ever: the reserve serves to turn the client
  // away.
  void refuse() {
    ::close(reserve_);
    const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client >= 0) ::close(client);
    reserve_ = ::dup(listener_);
  }

  void echo(int client) {
    char data[16384];
    const ssize_t size = ::recv(client, data, sizeof data, 0);
    if (size > 0)
      send(client, {data, static_cast<std::size_t>(size)});
    else if (size == 0 || (errno != EAGAIN && errno != EINTR))
      close(client);
  }

  void send(int client, std::string_view data) {
    const ssize_t sent = ::send(client, data.data(), data.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
      close(client);
      return;
    }
    data.remove_prefix(sent < 0 ? 0 : static_cast<std::size_t>(sent));
    waiting_[client] = std::string(data);
    selector_.modify(client, data.empty() ? EVENT_READ : EVENT_WRITE);
  }

  void flush(int client) { send(client, std::string(waiting_[client])); }

  void close(int client) {
    selector_.unregister(client);
    waiting_.erase(client);
    ::close(client);
  }

  heddle::BaseSelector& selector_;
  int listener_;
  int reserve_ = ::dup(listener_);
  std::unordered_map<int, std::string> waiting_;  // what each client hasn't taken yet
};

void stop(int) {
  const int before = errno;
  static_cast<void>(!::write(stop_pipe[1], "", 1));
  errno = before;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse_options(argc, argv);
  try {
    if (::pipe2(stop_pipe, O_NONBLOCK | O_CLOEXEC) != 0) fail("pipe");
    ::signal(SIGINT, stop);
    const auto selector = heddle::make_selector(options.selector);
    const int listener = listen_on(options);
    sockaddr_storage address;
    socklen_t length = sizeof address;
    ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
    EchoServer server(*selector, listener);
    std::printf("listening on %s (selector %s)\n",
                name_of(reinterpret_cast<sockaddr*>(&address), length).c_str(), selector->name());
    std::fflush(stdout);
    server.run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "selector_echo: %s\n", error.what());
    return 1;
  }
}
