// TlsStream: what TcpStream does, but encrypted, over TCP and over any other stream.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "../../../io/stream/any_stream.hpp"
#include "../../../io/stream/stream.hpp"
#include "tls_pair.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

static_assert(Stream<TlsStream>);

/// A stream that gives and takes a few bytes at a time, to show that any stream will do.
class Trickle {
 public:
  explicit Trickle(TcpStream stream) noexcept : stream_(std::move(stream)) {}
  auto read_some(std::span<std::byte> buffer) {
    return stream_.read_some(buffer.first(std::min<std::size_t>(buffer.size(), 7)));
  }
  auto write_some(std::span<const std::byte> buffer) {
    return stream_.write_some(buffer.first(std::min<std::size_t>(buffer.size(), 5)));
  }
  void close() noexcept { stream_.close(); }

 private:
  TcpStream stream_;
};

}  // namespace

ON_SELECTORS("megabytes come back through TLS as they were, whatever the chunks") {
  run_on(selector, []() -> Task<void> {
    const std::string sent = pattern(1'000'017);
    for (const auto& [write_chunk, read_chunk] :
         {std::array<std::size_t, 2>{1'000'017, 4'097}, std::array<std::size_t, 2>{4'099, 200'000},
          std::array<std::size_t, 2>{70'001, 65'536}}) {
      auto pair = co_await tls_pair();
      auto results = co_await timeout(
          30s, gather(write_and_end(pair.client, sent, write_chunk), read_rest(pair.server, read_chunk),
                      write_and_end(pair.server, sent, write_chunk), read_rest(pair.client, read_chunk)));
      const bool same = std::get<1>(results) == sent && std::get<3>(results) == sent;
      CHECK(same);
    }
  });
}

ON_SELECTORS("TLS goes over any stream, also one that gives a few bytes at a time, and over another TLS") {
  run_on(selector, []() -> Task<void> {
    const std::string sent = pattern(30'000);
    Streams streams = co_await connect_pair();
    Trickle first(std::move(streams.client));
    Trickle second(std::move(streams.server));
    auto ends = co_await timeout(20s, gather(start_tls(std::move(first), client_context(), "localhost"),
                                             start_tls(std::move(second), server_context())));
    auto results = co_await timeout(
        20s, gather(write_and_end(std::get<0>(ends), sent, 10'000), read_rest(std::get<1>(ends))));
    bool same = std::get<1>(results) == sent;
    CHECK(same);
    auto outer = co_await tls_pair();
    auto inner =
        co_await timeout(20s, gather(start_tls(std::move(outer.client), client_context(), "localhost"),
                                     start_tls(std::move(outer.server), server_context())));
    auto twice = co_await timeout(
        20s, gather(write_and_end(std::get<1>(inner), sent, 10'000), read_rest(std::get<0>(inner))));
    same = std::get<1>(twice) == sent;
    CHECK(same);
  });
}

TEST_CASE("TLS in virtual time, without a kernel, as a stream of any type") {
  LoopOptions options;
  options.virtual_time = true;
  run(
      []() -> Task<void> {
        auto [near_end, far_end] = memory_pair(1'000);
        auto ends =
            co_await timeout(20s, gather(start_tls(std::move(near_end), client_context(), "localhost"),
                                         start_tls(std::move(far_end), server_context())));
        AnyStream client(std::move(std::get<0>(ends)));
        auto& server = std::get<1>(ends);
        const std::string sent = pattern(50'000);
        const auto send = [&]() -> Task<void> {
          co_await client.write_all(sent);
          co_await client.shutdown_write();
        };
        auto results = co_await timeout(20s, gather(send(), read_rest(server)));
        const bool same = std::get<1>(results) == sent;
        CHECK(same);
        // The peer says no goodbye: an hour is over at once.
        co_await server.finish(3600s);
      }(),
      options);
}

ON_SELECTORS("what was tampered with on its way is an error for the reader, and an alert for the writer") {
  run_on(selector, []() -> Task<void> {
    auto pair = co_await tls_pair();
    co_await pair.client.transport().write_all(std::string_view("\x17\x03\x03\x00\x20", 5));
    co_await pair.client.transport().write_all(pattern(32));
    std::string end = co_await timeout(5s, end_of(read_once(pair.server)));
    CHECK(without_fd(end) == "TLS read: decryption failed or bad record mac");
    end = co_await timeout(5s, end_of(read_once(pair.client)));
    CHECK(without_fd(end) == "TLS read with \"localhost\": sslv3 alert bad record mac");
    end = co_await end_of(pair.server.write_all("x"));
    CHECK(without_fd(end) == "TLS write: decryption failed or bad record mac");
  });
}

ON_SELECTORS("one reads while the other writes, and several of each go in order") {
  run_on(selector, []() -> Task<void> {
    auto pair = co_await tls_pair();
    std::vector<std::string> parts;
    std::string expected;
    for (char letter = 'a'; letter <= 'f'; ++letter) {
      parts.emplace_back(100'000, letter);
      expected += parts.back();
    }
    const auto write = [](TlsStream& stream, std::string_view bytes) -> Task<void> {
      co_await stream.write_all(bytes);
    };
    std::vector<JoinHandle<void>> writers;
    for (const std::string& part : parts) writers.push_back(spawn(write(pair.client, part)));
    std::vector<JoinHandle<std::string>> readers;
    for (int i = 0; i < 3; ++i) readers.push_back(spawn(read_once(pair.client, 2)));
    std::string got;
    while (got.size() < expected.size()) got += co_await timeout(5s, read_once(pair.server, 9'001));
    const bool same = got == expected;
    CHECK(same);
    for (auto& writer : writers) co_await writer;
    co_await pair.server.write_all("112233");
    std::string pieces;
    for (auto& reader : readers) pieces += co_await timeout(5s, reader) + "|";
    CHECK(pieces == "11|22|33|");
  });
}
