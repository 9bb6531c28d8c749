// DatagramDetails: congestion bits, and the addresses and interfaces of this side.
// SPDX-License-Identifier: MIT
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <string>
#include <vector>

#include "../../../io/net/udp.hpp"
#include "../../support/faulty_system.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

unsigned loopback_interface() { return ::if_nametoindex("lo"); }

bool is_mapped(const Address& address) { return address.host().starts_with("::ffff:"); }

UdpSocket informed(const char* host) {
  UdpSocket socket = UdpSocket::bind(Address(host, 0));
  socket.set_receive_ecn(true);
  socket.set_receive_destination(true);
  return socket;
}

Address with_port_of(const char* host, const UdpSocket& socket) {
  return Address(host, socket.local_address().port());
}

// A kernel that has less room for control messages than it is given.
class CrampedSystem : public FaultySystem {
 public:
  std::size_t room = SIZE_MAX;

  int recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags) noexcept override {
    for (unsigned i = 0; i < count; ++i) {
      auto& length = messages[i].msg_hdr.msg_controllen;
      length = std::min<std::size_t>(length, room);
    }
    return FaultySystem::recvmmsg(fd, messages, count, flags);
  }
};

}  // namespace

ON_SELECTORS("congestion bits and the class of service go and come with each datagram") {
  run_on(selector, []() -> Task<void> {
    for (const bool connected : {false, true}) {
      for (const char* const host : {"127.0.0.1", "::1", "::ffff:127.0.0.1"}) {
        INFO(host);
        UdpSocket server = informed(host[0] == ':' ? "::" : host);
        const Address there = with_port_of(host, server);
        UdpSocket client = connected ? UdpSocket::connect(there) : UdpSocket::bind(Address(host, 0));
        DatagramBatch sent = DatagramBatch::with_details(8, 10);
        for (const int dscp : {0, 46}) {
          for (const Ecn ecn : {Ecn::NOT_ECT, Ecn::ECT_1, Ecn::ECT_0, Ecn::CE}) {
            DatagramDetails details;
            details.ecn = ecn;
            details.dscp = static_cast<unsigned char>(dscp);
            sent.push("marked", connected ? Address() : there, details);
          }
        }
        co_await client.send_batch(sent);
        DatagramBatch received = DatagramBatch::with_details(8, 10);
        const std::size_t count = co_await timeout(5s, server.recv_batch(received));
        REQUIRE(count == 8);
        for (std::size_t i = 0; i < count; ++i) {
          CHECK(received.text(i) == "marked");
          CHECK(received.details(i).ecn == static_cast<Ecn>(i % 4));
          CHECK(received.details(i).dscp == (i < 4 ? 0 : 46));
          CHECK(received.details(i).segment_size == 0);
          CHECK_FALSE(received.details(i).incomplete);
        }
      }
    }
  });
}

ON_SELECTORS("a datagram without congestion bits has the socket's traffic class") {
  run_on(selector, []() -> Task<void> {
    for (const char* const host : {"127.0.0.1", "::1"}) {
      UdpSocket server = informed(host);
      UdpSocket client = UdpSocket::connect(server.local_address());
      client.set_traffic_class(0x28 | 1);
      DatagramBatch batch = DatagramBatch::with_details(2, 10);
      batch.push("x");
      co_await client.send_batch(batch);
      co_await timeout(5s, server.recv_batch(batch));
      CHECK(batch.details(0).dscp == 10);
      CHECK(batch.details(0).ecn == Ecn::ECT_1);
    }
  });
}

ON_SELECTORS("a socket at every address answers from the one that was asked") {
  run_on(selector, []() -> Task<void> {
    for (const char* const everywhere : {"0.0.0.0", "::"}) {
      for (const char* const host : {"127.0.0.1", "127.0.0.2", "::1"}) {
        if (*everywhere == '0' && *host == ':') continue;
        INFO(everywhere << " is asked at " << host);
        UdpSocket server = informed(everywhere);
        UdpSocket client = UdpSocket::connect(with_port_of(host, server));  // receives only from there
        co_await client.send("question");
        DatagramBatch batch = DatagramBatch::with_details(4, 20);
        co_await timeout(5s, server.recv_batch(batch));
        REQUIRE(batch.size() == 1);
        const Address local = batch.details(0).local;
        CHECK(is_mapped(local) == (*everywhere == ':' && *host == '1'));
        CHECK((local.host() == host || local.host() == "::ffff:" + std::string(host)));
        CHECK(local.port() == 0);
        CHECK(batch.details(0).interface == loopback_interface());
        co_await server.send_batch(batch);
        std::string answer(20, '\0');
        const Received got = co_await timeout(5s, client.recv(std::span(answer)));
        CHECK(answer.substr(0, got.size) == "question");
      }
    }
  });
}

ON_SELECTORS("a datagram is sent from the address and by the interface that its details name") {
  run_on(selector, []() -> Task<void> {
    UdpSocket server = UdpSocket::bind(any_port());
    const Address there = server.local_address();
    const Address mapped_there = with_port_of("::ffff:127.0.0.1", server);
    DatagramBatch received(8, 20);
    for (const bool dual : {false, true}) {
      for (const bool connected : {false, true}) {
        INFO((dual ? "dual-stack" : "IPv4") << (connected ? ", connected" : ""));
        UdpSocket client = UdpSocket::bind(Address(dual ? "::" : "0.0.0.0", 0));
        const Address to = dual ? mapped_there : there;
        if (connected) client.connect_to(to);
        DatagramBatch batch = DatagramBatch::with_details(8, 20);
        const Address named = connected ? Address() : to;
        DatagramDetails details;
        details.local = Address("127.0.0.3", 0);
        batch.push("as IPv4", named, details);
        details.local = Address("::ffff:127.0.0.4", 0);
        batch.push("mapped", named, details);
        details.interface = loopback_interface();
        batch.push("both", named, details);
        details.local = Address();
        batch.push("interface", named, details);
        batch.push("nothing", named);
        co_await client.send_batch(batch);
        const std::size_t count = co_await timeout(5s, server.recv_batch(received));
        REQUIRE(count == 5);
        CHECK(received.address(0).host() == "127.0.0.3");
        CHECK(received.address(1).host() == "127.0.0.4");
        CHECK(received.address(2).host() == "127.0.0.4");
        CHECK(received.address(3).host() == "127.0.0.1");
        CHECK(received.address(4).host() == "127.0.0.1");
      }
    }
    UdpSocket v6 = UdpSocket::bind(Address("::1", 0));
    UdpSocket client = UdpSocket::connect(v6.local_address());
    DatagramBatch batch = DatagramBatch::with_details(2, 20);
    DatagramDetails details;
    details.interface = loopback_interface();
    batch.push("by an interface", Address(), details);
    details.local = Address("::1", 0);
    batch.push("from an address", Address(), details);
    co_await client.send_batch(batch);
    const std::size_t count = co_await timeout(5s, v6.recv_batch(received));
    CHECK(count == 2);
  });
}

ON_SELECTORS("a source that can't be is an error of that datagram, and the others are sent") {
  run_on(selector, []() -> Task<void> {
    UdpSocket server = UdpSocket::bind(Address("::", 0));
    const std::string here = std::to_string(server.local_address().port());
    struct Case {
      const char* socket;
      const char* to;
      const char* source;
    };
    for (const Case& bad : {Case{"0.0.0.0", "127.0.0.1", "::1"}, Case{"0.0.0.0", "127.0.0.1", "192.0.2.77"},
                            Case{"0.0.0.0", "127.0.0.1", "224.0.0.1"}, Case{"::", "::ffff:127.0.0.1", "::1"},
                            Case{"::", "::1", "127.0.0.1"}, Case{"::", "::1", "2001:db8::77"}}) {
      INFO(bad.socket << " sends to " << bad.to << " from " << bad.source);
      UdpSocket client = UdpSocket::bind(Address(bad.socket, 0));
      const Address there = with_port_of(bad.to, server);
      DatagramDetails details;
      details.local = Address(bad.source, 0);
      DatagramBatch batch = DatagramBatch::with_details(3, 20);
      batch.push("before", there);
      batch.push("bad", there, details);
      batch.push("after", there);
      std::string message;
      const std::error_code code = co_await error_of(client.send_batch(batch), &message);
      CHECK(code.value() != 0);
      CHECK_THAT(message, Catch::Matchers::StartsWith("sendmmsg on fd " + std::to_string(client.fileno())));
      CHECK(batch.failed());
      CHECK(batch.sent() == 1);
      batch.skip();
      co_await client.send_batch(batch);
      std::vector<std::string> texts;
      DatagramBatch received(3, 20);
      while (texts.size() < 2) {
        co_await timeout(5s, server.recv_batch(received));
        for (std::size_t i = 0; i < received.size(); ++i) texts.emplace_back(received.text(i));
      }
      CHECK(texts == std::vector<std::string>{"before", "after"});
    }
  });
}

ON_SELECTORS("details that don't fit are missing, never wrong, and that is told") {
  CrampedSystem system;
  run_on(
      selector,
      [&]() -> Task<void> {
        for (const char* const host : {"127.0.0.1", "::1", "::ffff:127.0.0.1"}) {
          UdpSocket server = informed(host[0] == ':' ? "::" : host);
          UdpSocket client = UdpSocket::connect(with_port_of(host, server));
          bool was_complete = false;
          for (std::size_t room = 0; room <= 120; ++room) {
            INFO(host << ", room for " << room << " bytes");
            system.room = room;
            DatagramBatch batch = DatagramBatch::with_details(1, 10);
            DatagramDetails details;
            details.ecn = Ecn::CE;
            batch.push("text", Address(), details);
            co_await client.send_batch(batch);
            co_await timeout(5s, server.recv_batch(batch));
            const DatagramDetails& got = batch.details(0);
            CHECK(batch.text(0) == "text");
            CHECK_FALSE(batch.truncated(0));
            const bool has_ecn = got.ecn == Ecn::CE;
            const bool has_local = got.local.host() == host;
            CHECK((has_ecn || got.ecn == Ecn::NOT_ECT));
            CHECK((has_local || (got.local.length() == 0 && got.interface == 0)));
            CHECK((got.incomplete || (has_ecn && has_local)));
            if (room == 0) CHECK(got.incomplete);
            was_complete = !got.incomplete;
          }
          CHECK(was_complete);
        }
      },
      &system);
}

ON_SELECTORS("timestamps that the user asked for leave the details whole") {
  run_on(selector, []() -> Task<void> {
    for (const char* const host : {"::1", "::ffff:127.0.0.1"}) {
      UdpSocket server = informed("::");
      server.set_option(SOL_SOCKET, SO_TIMESTAMP, 1);
      if (server.can_receive_coalesced()) server.set_receive_coalesced(true);
      UdpSocket client = UdpSocket::connect(with_port_of(host, server));
      co_await client.send("x");
      DatagramBatch batch = DatagramBatch::with_details(1, 65535);
      co_await timeout(5s, server.recv_batch(batch));
      CHECK_FALSE(batch.details(0).incomplete);
      CHECK(batch.details(0).local.host() == host);
    }
  });
}

ON_SELECTORS("who asked for nothing gets no details, and who has a plain batch gets its datagrams") {
  run_on(selector, []() -> Task<void> {
    UdpSocket plain = UdpSocket::bind(any_port());
    UdpSocket server = informed("127.0.0.1");
    UdpSocket client = UdpSocket::bind(any_port());
    DatagramBatch sent = DatagramBatch::with_details(2, 10);
    DatagramDetails details;
    details.ecn = Ecn::ECT_0;
    sent.push("one", plain.local_address(), details);
    sent.push("two", server.local_address(), details);
    co_await client.send_batch(sent);
    DatagramBatch batch = DatagramBatch::with_details(2, 10);
    co_await timeout(5s, plain.recv_batch(batch));
    CHECK(batch.text(0) == "one");
    CHECK(batch.details(0).ecn == Ecn::NOT_ECT);
    CHECK(batch.details(0).local == Address());
    CHECK_FALSE(batch.details(0).incomplete);
    DatagramBatch without(2, 10);
    co_await timeout(5s, server.recv_batch(without));
    CHECK(without.text(0) == "two");
    CHECK_FALSE(without.truncated(0));
    CHECK_FALSE(without.has_details());
    CHECK_THROWS_AS(without.details(0), ValueError);
    CHECK_THROWS_AS(without.push("x", Address(), details), ValueError);
    CHECK(without.size() == 1);
    // Off again.
    server.set_receive_ecn(false);
    server.set_receive_destination(false);
    CHECK_FALSE(server.receive_ecn());
    CHECK_FALSE(server.receive_destination());
    sent.clear();
    sent.push("three", server.local_address(), details);
    co_await client.send_batch(sent);
    co_await timeout(5s, server.recv_batch(batch));
    CHECK(batch.details(0).ecn == Ecn::NOT_ECT);
    CHECK(batch.details(0).interface == 0);
    // What is pushed without details has none of its predecessor's.
    batch = std::move(sent);
    CHECK(batch.has_details());
    batch.clear();
    batch.push("plain", server.local_address());
    CHECK(batch.details(0).ecn == Ecn::NOT_ECT);
  });
}

TEST_CASE(
    "what a datagram tells of itself is an option of its socket, and one that the kernel lacks an error") {
  FaultySystem system;
  run_on(
      "default",
      [&]() -> Task<void> {
        for (const char* const host : {"127.0.0.1", "::1", "::"}) {
          UdpSocket socket = UdpSocket::bind(Address(host, 0));
          CHECK_FALSE(socket.receive_ecn());
          CHECK_FALSE(socket.receive_destination());
          CHECK_FALSE(socket.dont_fragment());
          socket.set_receive_ecn(true);
          socket.set_receive_destination(true);
          socket.set_dont_fragment(true);
          CHECK(socket.receive_ecn());
          CHECK(socket.receive_destination());
          CHECK(socket.dont_fragment());
          socket.set_dont_fragment(false);
          CHECK_FALSE(socket.dont_fragment());
        }
        UdpSocket socket = UdpSocket::bind(any_port());
        const std::string on_fd = " on fd " + std::to_string(socket.fileno()) + ": Protocol not available";
        system.fail(Call::SETSOCKOPT, 0, ENOPROTOOPT, 4);
        CHECK(thrown<std::system_error>([&] { socket.set_receive_ecn(true); }) ==
              "setsockopt IP_RECVTOS" + on_fd);
        CHECK(thrown<std::system_error>([&] { socket.set_receive_destination(true); }) ==
              "setsockopt IP_PKTINFO" + on_fd);
        CHECK(thrown<std::system_error>([&] { socket.set_receive_coalesced(true); }) ==
              "setsockopt UDP_GRO" + on_fd);
        CHECK(thrown<std::system_error>([&] { socket.set_dont_fragment(true); }) ==
              "setsockopt IP_MTU_DISCOVER" + on_fd);
        system.fail(Call::GETSOCKOPT, 0, ENOPROTOOPT, 2);
        CHECK_FALSE(socket.can_receive_coalesced());
        CHECK_FALSE(socket.can_send_segments());
        system.fail(Call::GETSOCKOPT, 0, ENOBUFS, 1);
        CHECK_THROWS_AS(socket.can_send_segments(), std::system_error);
        socket.close();
        CHECK_THROWS_AS(socket.can_send_segments(), std::system_error);
        co_return;
      },
      &system);
}
