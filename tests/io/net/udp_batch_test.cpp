// send_batch() and whose error it is that it reports.
// SPDX-License-Identifier: MIT
#include <string>
#include <vector>

#include "../../../io/net/udp.hpp"
#include "../../support/faulty_system.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

Task<std::vector<std::string>> receive(UdpSocket& socket, std::size_t count) {
  std::vector<std::string> all;
  std::string buffer(100, '\0');
  while (all.size() < count) {
    const auto received = co_await socket.recv_from(std::span(buffer));
    all.push_back(buffer.substr(0, received.size));
  }
  co_return all;
}

// As one sends whatever can be sent.
Task<int> send_all(UdpSocket& socket, DatagramBatch& batch) {
  int errors = 0;
  for (;;) {
    const auto result = co_await socket.send_batch(batch).as_result();
    if (result) co_return errors;
    ++errors;
    batch.skip();
  }
}

}  // namespace

ON_SELECTORS("an error that an earlier datagram has left costs a batch no datagram") {
  run_on(selector, []() -> Task<void> {
    auto gone = UdpSocket::bind(any_port());
    const Address address = gone.local_address();
    gone.close();
    auto client = UdpSocket::bind(any_port());
    client.connect_to(address);
    co_await client.send("to nobody");  // is answered by a refusal, which waits for the next call
    auto server = UdpSocket::bind(address);
    DatagramBatch batch(3, 100);
    for (const char* const text : {"one", "two", "three"}) batch.push(text);
    std::error_code code = co_await error_of(client.send_batch(batch));
    CHECK(code == std::errc::connection_refused);
    CHECK_FALSE(batch.failed());
    CHECK(batch.sent() == 1);
    batch.skip();  // there is nothing to skip
    const std::size_t count = co_await client.send_batch(batch);
    CHECK(count == 2);
    CHECK(batch.sent() == 0);
    const auto got = co_await timeout(5s, receive(server, 3));
    CHECK(got == std::vector<std::string>{"one", "two", "three"});
  });
}

ON_SELECTORS("of a batch all datagrams are sent but those that can't be, whatever else goes wrong") {
  for (int fault = 0; fault < 6; ++fault) {
    FaultySystem system;
    run_on(
        selector,
        [&]() -> Task<void> {
          auto server = UdpSocket::bind(any_port());
          auto client = UdpSocket::bind(any_port());
          DatagramBatch batch(4, 70'000);
          batch.push("one", server.local_address());
          batch.push(std::string(69'999, 'x'), server.local_address());
          batch.push("three", server.local_address());
          batch.push("four", server.local_address());
          system.fail(Call::SENDMMSG, fault, ECONNREFUSED);
          const int errors = co_await send_all(client, batch);
          CHECK(errors >= 1);
          CHECK(errors <= 2);
          const auto got = co_await timeout(5s, receive(server, 3));
          CHECK(got == std::vector<std::string>{"one", "three", "four"});
        },
        &system);
  }
}
