// Segmentation offload: datagrams that the kernel cuts apart and puts together.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "../../../io/net/udp.hpp"
#include "../../support/allocations.hpp"
#include "../../support/cancel_everywhere.hpp"
#include "../../support/faulty_system.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

bool can_send() {
  const bool can = UdpSocket::bind(any_port()).can_send_segments();
  if (!can) WARN("skipped: this kernel has no UDP_SEGMENT");
  return can;
}

bool can_receive() {
  const bool can = UdpSocket::bind(any_port()).can_receive_coalesced();
  if (!can) WARN("skipped: this kernel has no UDP_GRO");
  return can;
}

std::string text_of(std::span<const std::byte> bytes) {
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

std::vector<std::string> cut(const std::string& text, std::size_t size) {
  std::vector<std::string> pieces;
  for (std::size_t at = 0; at < text.size(); at += size) pieces.push_back(text.substr(at, size));
  return pieces;
}

std::vector<std::string> segments_of(DatagramBatch& batch) {
  std::vector<std::string> all;
  for (std::size_t i = 0; i < batch.size(); ++i)
    for (const std::span<std::byte> segment : batch.segments(i)) all.push_back(text_of(segment));
  return all;
}

DatagramDetails of_segments(std::size_t size) {
  DatagramDetails details;
  details.segment_size = static_cast<std::uint16_t>(size);
  return details;
}

Task<std::vector<std::string>> receive(UdpSocket& socket, DatagramBatch& batch, std::size_t count) {
  std::vector<std::string> all;
  while (all.size() < count) {
    co_await timeout(5s, socket.recv_batch(batch));
    for (std::string& text : segments_of(batch)) all.push_back(std::move(text));
  }
  co_return all;
}

}  // namespace

TEST_CASE("a datagram is as many segments as its size says, the last one what is left") {
  std::array<std::byte, 10> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
  using Sizes = std::vector<std::size_t>;
  const auto sizes = [](const DatagramSegments& segments) {
    Sizes all;
    for (const std::span<std::byte> segment : segments) all.push_back(segment.size());
    CHECK(all.size() == segments.size());
    return all;
  };
  CHECK(sizes({bytes, 0}) == Sizes{10});
  CHECK(sizes({bytes, 3}) == Sizes{3, 3, 3, 1});
  CHECK(sizes({bytes, 5}) == Sizes{5, 5});
  CHECK(sizes({bytes, 10}) == Sizes{10});
  CHECK(sizes({bytes, 65535}) == Sizes{10});
  CHECK(sizes({{}, 0}) == Sizes{0});
  CHECK(sizes({{}, 5}) == Sizes{0});
  const DatagramSegments segments(bytes, 4);
  CHECK(std::distance(segments.begin(), segments.end()) == 3);
  CHECK((*std::next(segments.begin(), 2)).data() == bytes.data() + 8);
  static_assert(std::forward_iterator<DatagramSegments::Iterator>);
}

ON_SELECTORS("one datagram with a segment size arrives as several, cut exactly there") {
  if (!can_send()) return;
  FaultySystem system;
  run_on(
      selector,
      [&]() -> Task<void> {
        for (const char* const host : {"127.0.0.1", "::1", "::ffff:127.0.0.1"}) {
          for (const std::size_t size :
               std::initializer_list<std::size_t>{1, 999, 1000, 1001, 10'123, 20'000}) {
            INFO(host << ", " << size << " bytes");
            UdpSocket server = UdpSocket::bind(Address(host, 0));
            UdpSocket client = UdpSocket::bind(Address(host, 0));
            const std::string text = pattern(size);
            DatagramBatch batch = DatagramBatch::with_details(3, 65'535);
            batch.push("before", server.local_address());
            batch.push(text, server.local_address(), of_segments(1000));
            batch.push("after", server.local_address());
            const int calls = system.made(Call::SENDMMSG);
            const std::size_t count = co_await client.send_batch(batch);
            CHECK(count == 3);
            CHECK(system.made(Call::SENDMMSG) == calls + 1);
            std::vector<std::string> expected = cut(text, 1000);
            expected.insert(expected.begin(), "before");
            expected.emplace_back("after");
            DatagramBatch plain(100, 2000);
            const std::vector<std::string> got = co_await receive(server, plain, expected.size());
            CHECK(got == expected);
          }
        }
      },
      &system);
}

ON_SELECTORS("datagrams that come together are told apart exactly, a short last one among them") {
  if (!can_send() || !can_receive()) return;
  run_on(selector, []() -> Task<void> {
    for (const char* const host : {"127.0.0.1", "::1"}) {
      for (const std::size_t size : std::initializer_list<std::size_t>{1200, 12'000, 12'001, 59'999}) {
        INFO(host << ", " << size << " bytes");
        UdpSocket server = UdpSocket::bind(Address(host, 0));
        server.set_receive_coalesced(true);
        CHECK(server.receive_coalesced());
        server.set_receive_ecn(true);
        server.set_receive_destination(true);
        UdpSocket client = UdpSocket::connect(server.local_address());
        DatagramDetails details = of_segments(1200);
        details.ecn = Ecn::ECT_1;
        const std::string text = pattern(size);
        DatagramBatch batch = DatagramBatch::with_details(2, 65'535);
        batch.push(text, Address(), details);
        co_await client.send_batch(batch);
        co_await timeout(5s, server.recv_batch(batch));
        std::vector<std::string> got = segments_of(batch);
        CHECK(batch.details(0).ecn == Ecn::ECT_1);
        CHECK(batch.details(0).local.host() == host);
        if (size > 1200 && got.size() == 1) WARN("the kernel has put nothing together");
        const std::vector<std::string> expected = cut(text, 1200);
        while (got.size() < expected.size()) {
          co_await timeout(5s, server.recv_batch(batch));
          for (std::string& more : segments_of(batch)) got.push_back(std::move(more));
        }
        CHECK(got == expected);
        // Sent back as it came, it is cut the same.
        batch.clear();
        batch.push(text, client.local_address(), of_segments(1200));
        co_await server.send_batch(batch);
        DatagramBatch plain(100, 2000);
        got = co_await receive(client, plain, expected.size());
        CHECK(got == expected);
      }
    }
  });
}

ON_SELECTORS("what came together and has no room is cut off, and that is told") {
  if (!can_send() || !can_receive()) return;
  run_on(selector, []() -> Task<void> {
    UdpSocket server = UdpSocket::bind(any_port());
    server.set_receive_coalesced(true);
    UdpSocket client = UdpSocket::connect(server.local_address());
    DatagramBatch sent = DatagramBatch::with_details(1, 5000);
    const std::string text = pattern(5000);
    sent.push(text, Address(), of_segments(1000));
    co_await client.send_batch(sent);
    DatagramBatch batch = DatagramBatch::with_details(1, 2500);
    co_await timeout(5s, server.recv_batch(batch));
    if (batch.details(0).segment_size == 0) {
      WARN("skipped: the kernel has put nothing together");
      co_return;
    }
    CHECK(batch.truncated(0));
    const std::vector<std::string> got = segments_of(batch);
    CHECK(got == cut(text.substr(0, 2500), 1000));
    // The next one is whole.
    sent.resize(0, 2000);
    co_await client.send_batch(sent);
    co_await timeout(5s, server.recv_batch(batch));
    CHECK_FALSE(batch.truncated(0));
    const std::vector<std::string> next = segments_of(batch);
    CHECK(next == cut(text.substr(0, 2000), 1000));
  });
}

ON_SELECTORS("a batch with details allocates nothing once things are warm") {
  if (!allocations_are_counted || !can_send()) return;
  run_on(selector, []() -> Task<void> {
    UdpSocket server = UdpSocket::bind(any_port());
    server.set_receive_ecn(true);
    server.set_receive_destination(true);
    UdpSocket client = UdpSocket::connect(server.local_address());
    DatagramBatch batch = DatagramBatch::with_details(8, 2000);
    DatagramBatch received = DatagramBatch::with_details(8, 2000);
    DatagramDetails details = of_segments(500);
    details.ecn = Ecn::ECT_0;
    details.local = any_port();
    std::uint64_t before = 0;
    for (int i = 0; i < 60; ++i) {
      if (i == 10) before = allocations();
      batch.clear();
      batch.append(2000);
      batch.details(0) = details;
      co_await client.send_batch(batch);
      std::size_t segments = 0;
      while (segments < 4) segments += co_await server.recv_batch(received);
    }
    CHECK(allocations() - before == 0);
  });
}

ON_SELECTORS("a datagram is written in place, and answered where it was received") {
  run_on(selector, []() -> Task<void> {
    UdpSocket server = UdpSocket::bind(any_port());
    UdpSocket client = UdpSocket::connect(server.local_address());
    DatagramBatch batch(2, 8);
    const std::span<std::byte> room = batch.append(3);
    std::fill(room.begin(), room.end(), std::byte{'a'});
    CHECK(batch.append(0, server.local_address()).empty());
    CHECK_THROWS_AS(batch.append(1), ValueError);
    batch.clear();
    CHECK_THROWS_AS(batch.append(9), ValueError);
    CHECK(batch.empty());
    CHECK(batch.append(3).data() == room.data());
    CHECK(batch.segments(0).size() == 1);
    co_await client.send_batch(batch);
    co_await timeout(5s, server.recv_batch(batch));
    CHECK(batch.text(0) == "aaa");
  });
}

ON_SELECTORS("segments that can't be sent are an error that says so, and the rest is sent") {
  if (!can_send()) return;
  FaultySystem system;
  run_on(
      selector,
      [&]() -> Task<void> {
        UdpSocket server = UdpSocket::bind(any_port());
        UdpSocket client = UdpSocket::bind(any_port());
        const Address there = server.local_address();
        const std::string too_many(1000, 'x');
        const std::string too_much(65'535, 'x');
        struct Case {
          const std::string& text;
          std::size_t segment;
          int fault;  // of the kernel's, 0: it has one of its own
          int error;
        };
        for (const Case& bad : {Case{too_many, 1, 0, EINVAL}, Case{too_much, 60'000, 0, EMSGSIZE},
                                Case{too_many, 500, EIO, EIO}, Case{too_many, 500, EINVAL, EINVAL}}) {
          INFO(bad.text.size() << " bytes in segments of " << bad.segment);
          DatagramBatch batch = DatagramBatch::with_details(3, 65'535);
          batch.push("before", there);
          batch.push(bad.text, there, of_segments(bad.segment));
          batch.push("after", there);
          if (bad.fault != 0) {
            // As a device without segmentation answers: the first of several was sent.
            system.most = 1;
            system.fail(Call::SENDMMSG, 1, bad.fault, 2);
          }
          std::string message;
          const std::error_code code = co_await error_of(client.send_batch(batch), &message);
          system.most = SIZE_MAX;
          system.fault = nullptr;
          CHECK(code.value() == bad.error);
          CHECK_THAT(message, Catch::Matchers::StartsWith("sendmmsg with UDP_SEGMENT on fd " +
                                                          std::to_string(client.fileno()) + ": "));
          REQUIRE(batch.failed());
          CHECK(batch.sent() == 1);
          std::size_t left = 2;
          if (bad.fault != 0) {  // one by one
            DatagramBatch singly(8, 500);
            for (const std::span<std::byte> segment : batch.segments(batch.sent()))
              singly.push(segment, there);
            left += co_await client.send_batch(singly);
          }
          batch.skip();
          const Result<std::size_t> rest = co_await client.send_batch(batch).as_result();
          CHECK(rest.has_value());
          DatagramBatch plain(8, 2000);
          const std::vector<std::string> got = co_await receive(server, plain, left);
          CHECK(got.front() == "before");
          CHECK(got.back() == "after");
          CHECK(got.size() == (bad.fault != 0 ? 4 : 2));
        }
        // Errors of other datagrams, and of the socket, aren't named after segments.
        DatagramBatch batch = DatagramBatch::with_details(2, 65'535);
        batch.push(too_much, there);
        batch.push("x", there, of_segments(500));
        Result<std::size_t> result = co_await client.send_batch(batch).as_result();
        CHECK(result.failure().operation == std::string_view("sendmmsg"));
        client.close();
        result = co_await client.send_batch(batch).as_result();
        CHECK(result.error() == std::errc::bad_file_descriptor);
        CHECK(result.failure().operation == std::string_view("sendmmsg"));
      },
      &system);
}

ON_SELECTORS("cancelled at every suspension, an exchange of segments leaves nothing behind") {
  if (!can_send() || !can_receive()) return;
  FaultySystem system;
  for (const Canceller canceller : {Canceller::CALLBACK, Canceller::EMBEDDER}) {
    const CancelCount count = cancel_at_every_suspension(
        loop_options(selector, &system), canceller,
        [&]() -> Task<void> {
          auto server = UdpSocket::bind(Address("0.0.0.0", 0));
          server.set_receive_coalesced(true);
          server.set_receive_destination(true);
          auto client = UdpSocket::connect(Address("127.0.0.2", server.local_address().port()));
          auto answers = [](UdpSocket& socket, int times) -> Task<void> {
            DatagramBatch batch = DatagramBatch::with_details(2, 65'535);
            while (times-- > 0) {
              co_await socket.recv_batch(batch);
              co_await socket.send_batch(batch);
            }
          };
          auto asks = [](UdpSocket& socket) -> Task<void> {
            DatagramBatch batch = DatagramBatch::with_details(1, 65'535);
            for (int i = 0; i < 3; ++i) {
              batch.clear();
              batch.push("segments", Address(), of_segments(3));
              co_await socket.send_batch(batch);
              std::vector<std::string> got;
              while (got.size() < 3) {
                co_await socket.recv_batch(batch);
                for (std::string& text : segments_of(batch)) got.push_back(std::move(text));
              }
              CHECK(got == std::vector<std::string>{"seg", "men", "ts"});
            }
          };
          co_await gather(answers(server, 3), asks(client));
        },
        [&] { return calls_of(system); }, [](bool) {});
    CHECK(count.cancelled >= 3);
  }
}

namespace {

struct Expected {
  std::string text;
  std::string from;
  Ecn ecn;
  std::string local;

  friend bool operator==(const Expected&, const Expected&) = default;
};

// Batches of random datagrams between two sockets whose kernel fails now and then.
class RandomProgram {
 public:
  // `blocks`: calls would block out of the blue, too, which edges don't make good.
  RandomProgram(unsigned seed, FaultySystem& system, bool blocks)
      : random_(seed), system_(system), blocks_(blocks) {}

  Task<void> run() {
    const bool dual = one_in(2);
    UdpSocket server = UdpSocket::bind(Address(dual ? "::" : "0.0.0.0", 0));
    server.set_receive_ecn(true);
    server.set_receive_destination(true);
    if (one_in(2)) server.set_receive_coalesced(true);
    UdpSocket client = UdpSocket::bind(Address(dual && one_in(2) ? "::" : "0.0.0.0", 0));
    mapped_client_ = client.local_address().family() != Address("127.0.0.1", 0).family();
    prefix_ = dual ? "::ffff:" : "";
    for (int i = 0; i < 30; ++i) {
      fail_now_and_then();
      co_await exchange(server, client);
    }
  }

 private:
  unsigned below(unsigned end) { return static_cast<unsigned>(random_()) % end; }
  bool one_in(unsigned n) { return below(n) == 0; }

  void fail_now_and_then() {
    system_.most = one_in(2) ? SIZE_MAX : 1 + below(3);
    system_.fault = [this](Call call, int) {
      if (call != Call::SENDMMSG && call != Call::RECVMMSG) return 0;
      return blocks_ && one_in(8) ? -EAGAIN : one_in(8) ? -EINTR : 0;
    };
  }

  void push(DatagramBatch& batch, std::uint16_t port) {
    const std::string host = "127.0.0." + std::to_string(1 + below(3));
    const std::string source = one_in(3) ? "" : "127.0.0." + std::to_string(1 + below(3));
    const std::string mapped = mapped_client_ ? "::ffff:" : "";
    const bool segmented = one_in(2);
    const std::size_t segment = 1 + below(1400);
    const std::string text =
        pattern(segmented ? below(static_cast<unsigned>(segment) * 10) : below(1400), below(1000));
    DatagramDetails details;
    details.ecn = static_cast<Ecn>(below(4));
    if (segmented) details.segment_size = static_cast<std::uint16_t>(segment);
    if (!source.empty()) details.local = Address(mapped + source, 0);
    batch.push(text, Address(mapped + host, port), details);
    const std::string from = prefix_ + (source.empty() ? "127.0.0.1" : source);
    std::vector<std::string> pieces = segmented ? cut(text, segment) : std::vector<std::string>{text};
    if (pieces.empty()) pieces.emplace_back();
    for (std::string& piece : pieces)
      expected_.push_back({std::move(piece), source.empty() ? "" : from, details.ecn, prefix_ + host});
  }

  Task<void> exchange(UdpSocket& server, UdpSocket& client) {
    DatagramBatch batch = DatagramBatch::with_details(1 + below(6), 15'000);
    while (!batch.full() && !one_in(8)) push(batch, server.local_address().port());
    co_await client.send_batch(batch);
    DatagramBatch received = DatagramBatch::with_details(1 + below(20), 65'535);
    std::vector<Expected> got;
    while (got.size() < expected_.size()) {
      co_await timeout(5s, server.recv_batch(received));
      for (std::size_t i = 0; i < received.size(); ++i) {
        const DatagramDetails& details = received.details(i);
        for (const std::span<std::byte> segment : received.segments(i)) {
          const std::string& from = expected_.at(got.size()).from;  // none: the kernel has chosen
          got.push_back({text_of(segment), from.empty() ? "" : received.address(i).host(), details.ecn,
                         details.local.host()});
        }
      }
    }
    CHECK(got == expected_);
    expected_.clear();
  }

  std::mt19937 random_;
  FaultySystem& system_;
  bool blocks_;
  bool mapped_client_ = false;
  std::string prefix_;
  std::vector<Expected> expected_;
};

}  // namespace

ON_SELECTORS("random batches arrive as they were sent, datagram by datagram and detail by detail") {
  if (!can_send() || !can_receive()) return;
  for (unsigned seed = 1; seed <= 10; ++seed) {
    INFO("seed " << seed);
    FaultySystem system;
    RandomProgram program(seed, system, selector == "poll" || selector == "select");
    run_on(selector, [&]() -> Task<void> { co_await program.run(); }, &system);
  }
}
