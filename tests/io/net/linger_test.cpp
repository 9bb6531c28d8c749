// SO_LINGER: however a socket is closed, close(2) doesn't wait for its peer.
// SPDX-License-Identifier: MIT
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

// Notes what each TCP socket would have its close(2) do.
class ClosingSystem : public KernelSystem {
 public:
  struct Closed {
    bool lingers;
    bool resets;
    unsigned user_timeout;  // ms
  };
  std::vector<Closed> closed;

  int close(int fd) noexcept override {
    linger value{};
    socklen_t size = sizeof value;
    unsigned limit = 0;
    socklen_t limit_size = sizeof limit;
    if (::getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit, &limit_size) == 0 &&
        ::getsockopt(fd, SOL_SOCKET, SO_LINGER, &value, &size) == 0)
      closed.push_back(
          {value.l_onoff != 0 && value.l_linger > 0, value.l_onoff != 0 && value.l_linger == 0, limit});
    return KernelSystem::close(fd);
  }
};

struct Way {
  const char* name;
  Task<void> (*close)(TcpStream stream);
};

const std::vector<Way> ways{
    {"close",
     [](TcpStream stream) -> Task<void> {
       stream.close();
       co_return;
     }},
    {"the destructor",
     [](TcpStream stream) -> Task<void> {
       {
         const TcpStream dies(std::move(stream));
       }
       co_return;
     }},
    {"an assignment",
     [](TcpStream stream) -> Task<void> {
       stream = TcpStream();
       co_return;
     }},
    {"finish", [](TcpStream stream) -> Task<void> { co_await stream.finish(1ms); }},
};

}  // namespace

TEST_CASE("a socket that lingers is closed without waiting for its peer, whichever way") {
  for (const Way& way : ways) {
    ClosingSystem system;
    run_on(
        "default",
        [&]() -> Task<void> {
          Streams streams = co_await connect_pair();
          system.closed.clear();
          streams.client.set_linger(2s);
          CHECK(streams.client.linger() == 2s);
          while (streams.client.try_write_some(std::string(65536, 'x')) != 0)
            continue;  // the peer reads nothing
          co_await way.close(std::move(streams.client));
        },
        &system);
    INFO(way.name);
    REQUIRE_FALSE(system.closed.empty());
    CHECK_FALSE(system.closed[0].lingers);
    CHECK_FALSE(system.closed[0].resets);
    CHECK(system.closed[0].user_timeout == 2000);
  }
}

TEST_CASE("one that got the option by other ways, or outlives its loop, doesn't wait either") {
  ClosingSystem system;
  std::optional<TcpStream> outlives;
  run_on(
      "default",
      [&]() -> Task<void> {
        auto listener = TcpListener::bind(any_port());
        listener.set_linger(3s);  // those that it accepts inherit it
        auto ends = co_await gather(TcpStream::connect(listener.local_address()), accept_one(listener));
        TcpStream& client = std::get<0>(ends);
        TcpStream& server = std::get<1>(ends);
        CHECK(server.linger() == 3s);
        const linger raw{1, 4};
        must(::setsockopt(client.fileno(), SOL_SOCKET, SO_LINGER, &raw, sizeof raw));
        const unsigned own = 1500;  // shorter than it would be set to
        must(::setsockopt(client.fileno(), IPPROTO_TCP, TCP_USER_TIMEOUT, &own, sizeof own));
        system.closed.clear();
        client.close();
        outlives.emplace(std::move(server));
      },
      &system);
  outlives.reset();
  REQUIRE(system.closed.size() == 3);  // with the listener
  for (const auto& each : system.closed) CHECK_FALSE(each.lingers);
  CHECK(system.closed[0].user_timeout == 1500);
  CHECK(system.closed[2].user_timeout == 3000);
}

TEST_CASE("a linger time of nothing still resets, and without one nothing is changed") {
  ClosingSystem system;
  run_on(
      "default",
      [&]() -> Task<void> {
        Streams streams = co_await connect_pair();
        system.closed.clear();
        streams.client.set_linger(0s);
        streams.client.close();
        streams.server.close();
        Streams others = co_await connect_pair();
        others.client.abort();
      },
      &system);
  REQUIRE(system.closed.size() >= 4);
  CHECK(system.closed[0].resets);
  CHECK_FALSE(system.closed[1].resets);
  CHECK(system.closed[1].user_timeout == 0);
}
