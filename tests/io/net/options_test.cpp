// Options of sockets: each is set and read again, and what is refused is named.
// SPDX-License-Identifier: MIT
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <string>

#include "../../../io/net/tcp.hpp"
#include "../../../io/net/udp.hpp"
#include "../../../io/net/unix.hpp"
#include "../../support/faulty_system.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;

TEST_CASE("options that all sockets have are set and read again") {
  for (const int family : {AF_INET, AF_INET6, AF_UNIX}) {
    Socket socket(make_socket(family, SOCK_STREAM));
    socket.set_receive_buffer(20'000);
    CHECK(socket.receive_buffer() >= 20'000);
    socket.set_send_buffer(30'000);
    CHECK(socket.send_buffer() >= 30'000);
    CHECK_FALSE(socket.linger());
    socket.set_linger(7s);
    CHECK(socket.linger() == 7s);
    socket.set_linger(std::nullopt);
    CHECK_FALSE(socket.linger());
    CHECK_FALSE(socket.reuse_address());
    socket.set_reuse_address(true);
    CHECK(socket.reuse_address());
    CHECK_FALSE(socket.take_error());
    CHECK(socket.option(SOL_SOCKET, SO_TYPE) == SOCK_STREAM);
    if (family == AF_UNIX) continue;
    socket.set_reuse_port(true);
    CHECK(socket.reuse_port());
  }
}

TEST_CASE("options of IP are set and read again, in both families") {
  for (const int family : {AF_INET, AF_INET6}) {
    IpSocket socket(make_socket(family, SOCK_DGRAM));
    socket.set_hop_limit(17);
    CHECK(socket.hop_limit() == 17);
    socket.set_traffic_class(0x10);
    CHECK(socket.traffic_class() == 0x10);
  }
  IpSocket v6(make_socket(AF_INET6, SOCK_STREAM));
  v6.set_v6_only(true);
  CHECK(v6.v6_only());
  v6.set_v6_only(false);
  CHECK_FALSE(v6.v6_only());
}

TEST_CASE("options of TCP are set and read again") {
  TcpSocket socket(make_socket(AF_INET, SOCK_STREAM));
  CHECK_FALSE(socket.nodelay());
  socket.set_nodelay(true);
  CHECK(socket.nodelay());
  CHECK_FALSE(socket.keepalive().on);
  Keepalive how;
  how.idle = 33s;
  how.interval = 7s;
  how.count = 4;
  socket.set_keepalive(how);
  CHECK(socket.keepalive().on);
  CHECK(socket.keepalive().idle == 33s);
  CHECK(socket.keepalive().interval == 7s);
  CHECK(socket.keepalive().count == 4);
  socket.set_keepalive(false);
  CHECK_FALSE(socket.keepalive().on);
  socket.set_user_timeout(1234ms);
  CHECK(socket.user_timeout() == 1234ms);
  socket.set_not_sent_low_water(16'384);
  CHECK(socket.not_sent_low_water() == 16'384);
  socket.set_congestion_control("reno");
  CHECK(socket.congestion_control() == "reno");
  socket.set_fast_open_connect(true);
  CHECK(socket.fast_open_connect());
  socket.set_quick_ack(false);
  CHECK_FALSE(socket.quick_ack());
  socket.set_max_segment(1000);
  CHECK(socket.max_segment() > 0);
  auto listener = TcpListener::bind(any_port());
  listener.set_fast_open(5);
  CHECK(listener.fast_open() == 5);
}

TEST_CASE("what is refused of an option names the option and the descriptor") {
  TcpSocket socket(make_socket(AF_INET, SOCK_STREAM));
  const std::string on_fd = " on fd " + std::to_string(socket.fileno()) + ": ";
  CHECK_THAT(thrown<std::system_error>([&] { socket.set_congestion_control("no such one"); }),
             Catch::Matchers::StartsWith("setsockopt TCP_CONGESTION" + on_fd));
  CHECK_THAT(thrown<std::system_error>([&] { socket.set_v6_only(true); }),
             Catch::Matchers::StartsWith("setsockopt IPV6_V6ONLY" + on_fd));
  CHECK_THAT(thrown<std::system_error>([&] { socket.set_hop_limit(1000); }),
             Catch::Matchers::StartsWith("setsockopt IP_TTL" + on_fd));
  CHECK_THAT(thrown<std::system_error>([&] { socket.set_option(IPPROTO_TCP, 9999, 1); }),
             Catch::Matchers::StartsWith("setsockopt option 9999 of level 6" + on_fd));
  CHECK_THAT(thrown<std::system_error>([&] { static_cast<void>(socket.option(IPPROTO_TCP, 9999)); }),
             Catch::Matchers::StartsWith("getsockopt option 9999 of level 6" + on_fd));
  UdpSocket udp(make_socket(AF_INET, SOCK_DGRAM));
  CHECK_THAT(
      thrown<std::system_error>([&] { static_cast<void>(TcpSocket(Fd(::dup(udp.fileno()))).nodelay()); }),
      Catch::Matchers::StartsWith("getsockopt TCP_NODELAY on fd "));
  socket.close();
  CHECK_THAT(thrown<std::system_error>([&] { socket.set_nodelay(true); }),
             Catch::Matchers::StartsWith("setsockopt on a closed socket: Bad file"));
  CHECK_THAT(thrown<std::system_error>([&] { static_cast<void>(socket.linger()); }),
             Catch::Matchers::StartsWith("getsockopt on a closed socket: Bad file"));
}

TEST_CASE("options go through the loop's System") {
  FaultySystem system;
  run_on(
      "default",
      [&]() -> Task<void> {
        TcpSocket socket(make_socket(AF_INET, SOCK_STREAM));
        system.fail(Call::SETSOCKOPT, 0, ENOMEM);
        CHECK_THAT(thrown<std::system_error>([&] { socket.set_receive_buffer(1000); }),
                   Catch::Matchers::StartsWith("setsockopt SO_RCVBUF on fd "));
        system.fail(Call::GETSOCKOPT, 0, ENOBUFS);
        CHECK_THAT(thrown<std::system_error>([&] { static_cast<void>(socket.send_buffer()); }),
                   Catch::Matchers::StartsWith("getsockopt SO_SNDBUF on fd "));
        co_return;
      },
      &system);
}

ON_SELECTORS("an error in the background is told once by take_error") {
  run_on(selector, []() -> Task<void> {
    auto server = UdpSocket::bind(any_port());
    auto client = UdpSocket::connect(server.local_address());
    server.close();
    co_await client.send("x");
    co_await timeout(5s, client.readable());
    const std::error_code code = client.take_error();
    CHECK(code == std::errc::connection_refused);
    CHECK_FALSE(client.take_error());
  });
}
