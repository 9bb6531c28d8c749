// UdpSocket: datagrams there and back, what is cut off, who may send, what fails.
// SPDX-License-Identifier: MIT
#include "../../../io/net/udp.hpp"

#include <net/if.h>
#include <sys/socket.h>

#include <string>
#include <vector>

#include "../../support/allocations.hpp"
#include "../../support/cancel_everywhere.hpp"
#include "../../support/faulty_system.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

struct Letter {
  std::string text;
  Address from;
};

Task<Letter> receive_from(UdpSocket& socket, std::size_t most = 100) {
  Letter letter;
  letter.text.resize(most);
  const auto got = co_await socket.recv_from(std::span(letter.text));
  letter.text.resize(got.size);
  if (got.truncated) letter.text += "...";
  letter.from = got.from;
  co_return letter;
}

Task<std::string> receive(UdpSocket& socket, std::size_t most = 100) {
  std::string buffer(most, '\0');
  const Received got = co_await socket.recv(std::span(buffer));
  buffer.resize(got.size);
  co_return buffer + (got.truncated ? "..." : "");
}

Task<void> echo(UdpSocket& socket, int count) {
  std::array<std::byte, 2048> buffer;
  for (int i = 0; i < count; ++i) {
    const auto got = co_await socket.recv_from(buffer);
    co_await socket.send_to(std::span(buffer).first(got.size), got.from);
  }
}

}  // namespace

ON_SELECTORS("datagrams arrive whole and in order, with where they came from") {
  run_on(selector, []() -> Task<void> {
    for (const char* const host : {"127.0.0.1", "::1"}) {
      auto server = UdpSocket::bind(Address(host, 0));
      auto client = UdpSocket::bind(Address(host, 0));
      const Address there = server.local_address();
      auto waiting = spawn(receive_from(server));
      co_await sleep(1ms);
      co_await client.send_to("one", there);
      co_await client.send_to("", there);
      co_await client.send_to("three", there);
      Letter letter = co_await timeout(5s, waiting);
      CHECK(letter.text == "one");
      CHECK(letter.from == client.local_address());
      letter = co_await timeout(5s, receive_from(server));
      CHECK(letter.text.empty());
      CHECK(letter.from == client.local_address());
      letter = co_await timeout(5s, receive_from(server));
      CHECK(letter.text == "three");
    }
  });
}

ON_SELECTORS("a datagram that is longer than the buffer is cut off, and that is told") {
  run_on(selector, []() -> Task<void> {
    auto server = UdpSocket::bind(any_port());
    auto client = UdpSocket::connect(server.local_address());
    for (int i = 0; i < 2; ++i) {
      co_await client.send("abcdef");
      co_await client.send("abc");
    }
    std::string got = co_await timeout(5s, receive(server, 3));
    CHECK(got == "abc...");
    got = co_await timeout(5s, receive(server, 3));
    CHECK(got == "abc");
    Letter letter = co_await timeout(5s, receive_from(server, 0));
    CHECK(letter.text == "...");
    letter = co_await timeout(5s, receive_from(server, 3));
    CHECK(letter.text == "abc");
  });
}

ON_SELECTORS("a connected socket receives from its peer only, until it is disconnected") {
  run_on(selector, []() -> Task<void> {
    auto a = UdpSocket::bind(any_port());
    auto b = UdpSocket::bind(any_port());
    auto stranger = UdpSocket::bind(any_port());
    const Address here = a.local_address();
    a.connect_to(b.local_address());
    CHECK(a.peer_address() == b.local_address());
    co_await stranger.send_to("strange", here);
    co_await b.send_to("known", here);
    Letter letter = co_await timeout(5s, receive_from(a));
    CHECK(letter.text == "known");
    CHECK(letter.from == b.local_address());
    co_await a.send("answer");
    const std::string got = co_await timeout(5s, receive(b));
    CHECK(got == "answer");
    a.disconnect();
    const std::error_code code = co_await error_of(a.send("x"));
    CHECK(code == std::errc::destination_address_required);
    co_await stranger.send_to("strange", a.local_address());
    letter = co_await timeout(5s, receive_from(a));
    CHECK(letter.text == "strange");
  });
}

ON_SELECTORS("that nobody is there is told to a connected socket once, and it goes on working") {
  run_on(selector, []() -> Task<void> {
    auto server = UdpSocket::bind(any_port());
    const Address there = server.local_address();
    auto client = UdpSocket::connect(there);
    server.close();
    auto waiting = spawn(error_of(receive(client)));
    co_await sleep(1ms);
    co_await client.send("anybody?");
    const std::error_code code = co_await timeout(5s, waiting);
    CHECK(code == std::errc::connection_refused);
    server = UdpSocket::bind(there);
    co_await client.send("now?");
    Letter letter = co_await timeout(5s, receive_from(server));
    CHECK(letter.text == "now?");
    co_await server.send_to("yes", letter.from);
    const std::string got = co_await timeout(5s, receive(client));
    CHECK(got == "yes");
  });
}

ON_SELECTORS("tasks that wait for datagrams get them in turn, and one that is cancelled loses none") {
  run_on(selector, []() -> Task<void> {
    auto server = UdpSocket::bind(any_port());
    auto client = UdpSocket::connect(server.local_address());
    std::vector<JoinHandle<std::string>> readers;
    for (int i = 0; i < 4; ++i) readers.push_back(spawn(receive(server)));
    co_await sleep(1ms);
    readers[1].cancel();
    for (const char* const text : {"1", "2", "3", "4"}) co_await client.send(text);
    std::string got = co_await timeout(5s, readers[0]);
    CHECK(got == "1");
    got = co_await timeout(5s, readers[2]);
    CHECK(got == "2");
    got = co_await timeout(5s, readers[3]);
    CHECK(got == "3");
    got = co_await timeout(5s, receive(server));
    CHECK(got == "4");
    CHECK(readers[1].cancelled());
  });
}

ON_SELECTORS("closing a socket ends what waits on it, and afterwards nothing works") {
  run_on(selector, []() -> Task<void> {
    auto server = UdpSocket::bind(any_port());
    auto first = spawn(error_of(receive(server)));
    auto second = spawn(error_of(receive_from(server)));
    co_await sleep(1ms);
    server.close();
    std::error_code code = co_await timeout(5s, first);
    CHECK(code == std::errc::operation_canceled);
    code = co_await timeout(5s, second);
    CHECK(code == std::errc::operation_canceled);
    code = co_await error_of(receive(server));
    CHECK(code == std::errc::bad_file_descriptor);
    code = co_await error_of(server.send_to("x", any_port()));
    CHECK(code == std::errc::bad_file_descriptor);
    CHECK_THROWS_AS(server.local_address(), std::system_error);
    CHECK_THROWS_AS(server.disconnect(), std::system_error);
  });
}

ON_SELECTORS("what a datagram can't be is told by its errno") {
  run_on(selector, []() -> Task<void> {
    auto socket = UdpSocket::bind(any_port());
    const std::string huge(70'000, 'x');
    std::string message;
    std::error_code code = co_await error_of(socket.send_to(huge, socket.local_address()), &message);
    CHECK(code == std::errc::message_size);
    CHECK_THAT(message, Catch::Matchers::StartsWith("sendmsg on fd "));
    const Result<void> result = co_await socket.send_to(huge, socket.local_address()).as_result();
    CHECK(result.error() == std::errc::message_size);
    CHECK_THROWS_AS(result.value(), std::system_error);
    const Result<void> good = co_await socket.send_to("x", socket.local_address()).as_result();
    CHECK(good);
    std::array<char, 8> buffer;
    const Result<Received> got = co_await socket.recv(std::span(buffer)).as_result();
    CHECK(got.has_value());
    code = co_await error_of(socket.send("x"));
    CHECK(code == std::errc::destination_address_required);
    code = co_await error_of(socket.send_to("x", Address("::1", 9)));
    CHECK(code.value() != 0);
  });
}

TEST_CASE("a UDP port in use, and an address that isn't ours, are errors that name it") {
  const int before = open_descriptors();
  {
    const auto socket = UdpSocket::bind(any_port());
    const Address taken = socket.local_address();
    CHECK(thrown<std::system_error>([&] { UdpSocket::bind(taken); }) ==
          "bind to " + to_string(taken) + ": Address already in use");
    CHECK_THAT(thrown<std::system_error>([] { UdpSocket::bind(Address("192.0.2.1", 0)); }),
               Catch::Matchers::StartsWith("bind to 192.0.2.1:0: "));
    CHECK_THROWS_AS(UdpSocket::bind(Address()), std::system_error);
    CHECK_THROWS_AS(UdpSocket::connect(Address()), std::system_error);
  }
  UdpOptions options;
  options.reuse_port = true;
  const auto first = UdpSocket::bind(any_port(), options);
  const auto second = UdpSocket::bind(first.local_address(), options);
  CHECK(second.local_address() == first.local_address());
  CHECK(open_descriptors() <= before + 2);
}

ON_SELECTORS("sending to a broadcast address is allowed when it was asked for") {
  run_on(selector, []() -> Task<void> {
    auto socket = UdpSocket::bind(any_port());
    CHECK_FALSE(socket.broadcast());
    const Address everybody("127.255.255.255", 9);
    std::error_code code = co_await error_of(socket.send_to("x", everybody));
    CHECK(code == std::errc::permission_denied);
    socket.set_broadcast(true);
    CHECK(socket.broadcast());
    code = co_await error_of(socket.send_to("x", everybody));
    CHECK_FALSE(code);
  });
}

ON_SELECTORS("who has joined a multicast group receives what is sent to it, until he leaves") {
  run_on(selector, []() -> Task<void> {
    const unsigned loopback = ::if_nametoindex("lo");
    UdpOptions options;
    options.reuse_address = true;
    auto member = UdpSocket::bind(Address("0.0.0.0", 0), options);
    auto sender = UdpSocket::bind(any_port());
    sender.set_multicast_interface(loopback);
    sender.set_multicast_loop(true);
    sender.set_multicast_hops(3);
    CHECK(sender.multicast_loop());
    CHECK(sender.multicast_hops() == 3);
    const Address group("239.255.77.77", member.local_address().port());
    member.join_group(group, loopback);
    CHECK_THAT(thrown<std::system_error>([&] { member.join_group(group, loopback); }),
               Catch::Matchers::StartsWith("join 239.255.77.77:"));
    co_await sender.send_to("to all", group);
    const std::string got = co_await timeout(5s, receive(member));
    CHECK(got == "to all");
    member.leave_group(group, loopback);
    CHECK_THROWS_AS(member.leave_group(group, loopback), std::system_error);
    co_await sender.send_to("to nobody", group);
    co_await sender.send_to("to you", member.local_address().port() != 0
                                          ? Address("127.0.0.1", member.local_address().port())
                                          : any_port());
    // What was sent to the group came first, if it came.
    sender.set_multicast_loop(false);
    CHECK_FALSE(sender.multicast_loop());
    auto v6 = UdpSocket::bind(Address("::", 0));
    v6.set_multicast_interface(loopback);
    v6.set_multicast_hops(2);
    CHECK(v6.multicast_hops() == 2);
    v6.join_group(Address("ff15::77", 0), loopback);
    v6.leave_group(Address("ff15::77", 0), loopback);
  });
}

ON_SELECTORS("a batch of datagrams is received by one call, and sent back by one") {
  FaultySystem system;
  run_on(
      selector,
      [&]() -> Task<void> {
        auto server = UdpSocket::bind(any_port());
        auto client = UdpSocket::bind(any_port());
        DatagramBatch sent(8, 64);
        CHECK(sent.empty());
        CHECK(sent.capacity() == 8);
        CHECK(sent.datagram_size() == 64);
        for (int i = 0; i < 8; ++i) sent.push("number " + std::to_string(i), server.local_address());
        CHECK(sent.full());
        CHECK_THROWS_AS(sent.push("x"), ValueError);
        std::size_t count = co_await client.send_batch(sent);
        CHECK(count == 8);
        CHECK(system.made(Call::SENDMMSG) == 1);
        DatagramBatch received(16, 5);
        count = co_await timeout(5s, server.recv_batch(received));
        REQUIRE(count == 8);
        CHECK(received.size() == 8);
        CHECK(system.made(Call::RECVMMSG) == 1);
        for (std::size_t i = 0; i < 8; ++i) {
          CHECK(received.text(i) == "numbe");
          CHECK(received.truncated(i));
          CHECK(received.address(i) == client.local_address());
        }
        received[0][0] = std::byte{'N'};
        received.resize(1, 0);
        CHECK_THROWS_AS(received.resize(1, 6), ValueError);
        count = co_await server.send_batch(received);
        CHECK(count == 8);
        DatagramBatch back = std::move(sent);
        count = co_await timeout(5s, client.recv_batch(back));
        REQUIRE(count == 8);
        CHECK(back.text(0) == "Numbe");
        CHECK(back.text(1).empty());
        CHECK(back.text(7) == "numbe");
        CHECK_FALSE(back.truncated(7));
        // To the connected peer, without an address.
        client.connect_to(server.local_address());
        back.clear();
        back.push("connected");
        co_await client.send_batch(back);
        const std::string got = co_await timeout(5s, receive(server));
        CHECK(got == "connected");
        back.clear();
        count = co_await client.send_batch(back);
        CHECK(count == 0);
      },
      &system);
  CHECK_THROWS_AS(DatagramBatch(0, 1), ValueError);
  CHECK_THROWS_AS(DatagramBatch(1, 0), ValueError);
}

ON_SELECTORS("a batch waits for its first datagram, and takes no more than it has room for") {
  run_on(selector, []() -> Task<void> {
    auto server = UdpSocket::bind(any_port());
    auto client = UdpSocket::connect(server.local_address());
    DatagramBatch batch(3, 16);
    auto receives = [](UdpSocket& socket, DatagramBatch& into) -> Task<std::size_t> {
      co_return co_await socket.recv_batch(into);
    };
    auto waiting = spawn(receives(server, batch));
    co_await sleep(1ms);
    CHECK_FALSE(waiting.done());
    co_await client.send("first");
    std::size_t count = co_await timeout(5s, waiting);
    CHECK(count == 1);
    for (const char* const text : {"a", "b", "c", "d"}) co_await client.send(text);
    count = co_await timeout(5s, receives(server, batch));
    CHECK(count == 3);
    CHECK(batch.text(2) == "c");
    count = co_await timeout(5s, receives(server, batch));
    CHECK(count == 1);
    CHECK(batch.text(0) == "d");
    waiting = spawn(receives(server, batch));
    co_await yield();
    server.close();
    const std::error_code code = co_await error_of(std::move(waiting));
    CHECK(code == std::errc::operation_canceled);
  });
}

ON_SELECTORS("of a batch that can't be sent it is known how far it came, and it can be gone on with") {
  FaultySystem system;
  run_on(
      selector,
      [&]() -> Task<void> {
        auto server = UdpSocket::bind(any_port());
        auto client = UdpSocket::bind(any_port());
        DatagramBatch batch(4, 70'000);
        const std::string huge(69'999, 'x');
        batch.push("one", server.local_address());
        batch.push("two", server.local_address());
        batch.push(huge, server.local_address());
        batch.push("four", server.local_address());
        std::error_code code = co_await error_of(client.send_batch(batch));
        CHECK(code == std::errc::message_size);
        CHECK(batch.sent() == 2);
        batch.skip();
        const std::size_t count = co_await client.send_batch(batch);
        CHECK(count == 1);
        for (const std::string_view expected : {"one", "two", "four"}) {
          const std::string got = co_await timeout(5s, receive(server));
          CHECK(got == expected);
        }
        system.fail(Call::RECVMMSG, 0, EINTR);
        co_await client.send_to("x", server.local_address());
        co_await timeout(5s, server.recv_batch(batch));
        CHECK(batch.text(0) == "x");
        system.fail(Call::RECVMMSG, 0, ENOMEM);
        code = co_await error_of(server.recv_batch(batch));
        CHECK(code == std::errc::not_enough_memory);
        system.fault = nullptr;
        system.most = 1;  // one datagram a call
        batch.clear();
        for (const char* const text : {"a", "b", "c"}) batch.push(text, server.local_address());
        co_await client.send_batch(batch);
        for (const std::string_view expected : {"a", "b", "c"}) {
          co_await timeout(5s, server.recv_batch(batch));
          CHECK(batch.text(0) == expected);
        }
      },
      &system);
}

ON_SELECTORS("an echoed datagram allocates nothing once things are warm, nor does a batch") {
  if (!allocations_are_counted) return;
  run_on(selector, []() -> Task<void> {
    auto server = UdpSocket::bind(any_port());
    auto client = UdpSocket::connect(server.local_address());
    auto echoing = spawn(echo(server, 300));
    std::array<std::byte, 64> message{};
    std::uint64_t before = 0;
    for (int i = 0; i < 300; ++i) {
      if (i == 50) before = allocations();
      co_await client.send(message);
      const Received got = co_await client.recv(message);
      if (got.size != message.size()) FAIL("the echo is wrong");
    }
    CHECK(allocations() - before == 0);
    co_await echoing;
    DatagramBatch batch(16, 64);
    DatagramBatch back(16, 64);
    for (int i = 0; i < 60; ++i) {
      if (i == 10) before = allocations();
      batch.clear();
      while (!batch.full()) batch.push(message);
      co_await client.send_batch(batch);
      const std::size_t count = co_await server.recv_batch(back);
      if (count != 16) FAIL("datagrams are missing");
    }
    CHECK(allocations() - before == 0);
  });
}

ON_SELECTORS("whichever call of UDP fails, the error comes out, and the next datagram goes through") {
  for (const int error : {EINTR, ENOBUFS, ENOMEM, ECONNREFUSED, EMSGSIZE, EPERM, ENETUNREACH}) {
    for (const Call call : {Call::SENDMSG, Call::RECVMSG}) {
      INFO(to_string(call) << " fails with " << error);
      FaultySystem system;
      run_on(
          selector,
          [&]() -> Task<void> {
            auto server = UdpSocket::bind(any_port());
            auto client = UdpSocket::bind(any_port());
            auto waiting = spawn(error_of(receive_from(server)));
            co_await sleep(1ms);
            system.fail(call, 0, error);
            std::error_code code = co_await error_of(client.send_to("x", server.local_address()));
            if (call == Call::SENDMSG && error != EINTR) {
              CHECK(code.value() == error);
              co_await client.send_to("x", server.local_address());
            } else {
              CHECK_FALSE(code);
            }
            code = co_await timeout(5s, waiting);
            CHECK(code.value() == (call == Call::RECVMSG && error != EINTR ? error : 0));
            system.fault = nullptr;
            co_await client.send_to("y", server.local_address());
            std::string got;
            while (got != "y") got = co_await timeout(5s, receive(server));
          },
          &system);
    }
  }
}

TEST_CASE("would-block answers out of the blue delay no datagram for ever, on poll and on select") {
  for (const std::string_view selector : {"poll", "select"}) {
    FaultySystem system;
    int turn = 0;
    system.fault = [&](Call call, int) {
      return (call == Call::RECVMSG || call == Call::SENDMSG) && ++turn % 2 != 0 ? -EAGAIN : 0;
    };
    run_on(
        selector,
        []() -> Task<void> {
          auto server = UdpSocket::bind(any_port());
          auto client = UdpSocket::connect(server.local_address());
          auto echoing = spawn(echo(server, 50));
          for (int i = 0; i < 50; ++i) {
            co_await client.send(std::to_string(i));
            const std::string got = co_await timeout(5s, receive(client));
            CHECK(got == std::to_string(i));
          }
          co_await echoing;
        },
        &system);
  }
}

ON_SELECTORS("cancelled at every suspension, an exchange of datagrams leaves nothing behind") {
  FaultySystem system;
  for (const Canceller canceller : {Canceller::CALLBACK, Canceller::EMBEDDER}) {
    const CancelCount count = cancel_at_every_suspension(
        loop_options(selector, &system), canceller,
        [&]() -> Task<void> {
          auto server = UdpSocket::bind(any_port());
          auto client = UdpSocket::connect(server.local_address());
          auto asks = [](UdpSocket& socket) -> Task<void> {
            DatagramBatch batch(4, 100);
            for (int i = 0; i < 3; ++i) {
              co_await socket.send("hello");
              co_await socket.recv_batch(batch);
              CHECK(batch.text(0) == "hello");
            }
          };
          co_await gather(echo(server, 3), asks(client));
        },
        [&] { return calls_of(system); }, [](bool) {});
    CHECK(count.cancelled >= 3);
  }
}
