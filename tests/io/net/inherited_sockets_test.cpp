// Socket activation: a process that was handed sockets serves at them.
// SPDX-License-Identifier: MIT
#include "../../../io/net/inherited_sockets.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "../../../io/net/unix.hpp"
#include "../../../io/server/server.hpp"
#include "../../support/denied.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

// What `say` returns in a child whose descriptors from 3 on are `files`, and whose environment says so.
template <class Say>
std::string activated(std::vector<int> files, const char* names, Say say, const char* count = nullptr) {
  return in_child([&] {
    std::vector<int> copies;
    for (const int fd : files) copies.push_back(must(::fcntl(fd, F_DUPFD, 200)));
    // The pipe that the answer goes by may lie where they are to be: it is moved by whoever forked us.
    for (std::size_t i = 0; i < copies.size(); ++i) must(::dup2(copies[i], 3 + static_cast<int>(i)));
    for (const int fd : copies) ::close(fd);
    ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
    ::setenv("LISTEN_FDS", count != nullptr ? count : std::to_string(files.size()).c_str(), 1);
    if (names != nullptr) ::setenv("LISTEN_FDNAMES", names, 1);
    return say();
  });
}

std::string list() {
  std::string text;
  for (const InheritedSocket& socket : take_inherited_sockets()) {
    text += std::to_string(socket.fd.fileno()) + " " + socket.name;
    if (socket.is_tcp_listener()) text += " tcp";
    if (socket.is_unix_listener()) text += " unix";
    const int flags = ::fcntl(socket.fd.fileno(), F_GETFL);
    if ((flags & O_NONBLOCK) != 0 && ::fcntl(socket.fd.fileno(), F_GETFD) == FD_CLOEXEC) text += " ready";
    text += ";";
  }
  if (std::getenv("LISTEN_FDS") != nullptr || !take_inherited_sockets().empty()) text += "again!";
  return text;
}

// A listening socket as a supervisor makes it: blocking, and to be inherited.
File listening(const sockaddr* address, unsigned length) {
  File file(::socket(address->sa_family, SOCK_STREAM, 0));
  must(::bind(file.fileno(), address, length));
  must(::listen(file.fileno(), 10));
  return file;
}

// Keeps the numbers from 3 on from being used by what the test opens.
class Fence {
 public:
  Fence() {
    for (int i = 0; i < 8; ++i) files_.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  }

 private:
  std::vector<File> files_;
};

}  // namespace

TEST_CASE("sockets that a supervisor hands over come with their names, ready for use, once") {
  const Fence fence;
  const Address any = any_port();
  const File tcp = listening(any.data(), any.length());
  const UnixAddress name = UnixAddress::abstract("heddle-inherited-" + std::to_string(::getpid()));
  const File path = listening(name.data(), name.length());
  const File datagrams(::socket(AF_INET, SOCK_DGRAM, 0));
  CHECK(activated({tcp.fileno(), path.fileno(), datagrams.fileno()}, "web:control", list) ==
        "3 web tcp ready;4 control unix ready;5 unknown ready;");
  CHECK(activated({tcp.fileno()}, nullptr, list) == "3 unknown tcp ready;");
  CHECK(activated({}, nullptr, list).empty());
}

TEST_CASE("what was handed to another process, and what makes no sense, is not taken") {
  CHECK(in_child(list).empty());
  CHECK(in_child([] {
          ::setenv("LISTEN_PID", "1", 1);
          ::setenv("LISTEN_FDS", "1", 1);
          return list();
        }).empty());
  CHECK(activated({}, nullptr, list, "many") == "LISTEN_FDS=\"many\" is not a number");
  CHECK(activated({}, nullptr, list, "-1") == "LISTEN_FDS=\"-1\" is not a number");
  const auto list_without_any = [] {
    ::close(3);
    return list();
  };
  CHECK(activated({}, nullptr, list_without_any, "1") ==
        "fcntl of an inherited socket on fd 3: Bad file descriptor");
}

TEST_CASE("a server serves at the sockets that it was handed") {
  const Fence fence;
  const Address any = any_port();
  const File tcp = listening(any.data(), any.length());
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  must(::getsockname(tcp.fileno(), reinterpret_cast<sockaddr*>(&bound), &length));
  File client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  must(::connect(client.fileno(), reinterpret_cast<const sockaddr*>(&bound), length));
  client.write("hello");
  const std::string said = activated({tcp.fileno()}, "echo", [] {
    std::string got;
    run_here([&]() -> Task<void> {
      Server server;
      const auto handler = [&](TcpStream& stream) -> Task<void> {
        got = co_await read_some(stream);
        co_await stream.write_all("you said " + got);
        server.stop(5s);
      };
      for (InheritedSocket& socket : take_inherited_sockets())
        if (socket.is_tcp_listener()) server.add(TcpListener(std::move(socket.fd)), handler);
      co_await timeout(5s, server.serve());
    });
    return got;
  });
  CHECK(said == "hello");
  CHECK(client.read() == "you said hello");
}
