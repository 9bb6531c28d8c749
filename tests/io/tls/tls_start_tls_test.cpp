// start_tls after lines in plain text: nothing that came before TLS is read after it, and nothing is lost.
// SPDX-License-Identifier: MIT
#include <stdexcept>
#include <string>
#include <system_error>

#include "../../../io/stream/any_stream.hpp"
#include "../../../io/stream/stream_reader.hpp"
#include "tls_pair.hpp"

using namespace heddle;
using namespace heddle::test;

ON_SELECTORS("a plain conversation is turned into TLS when both agree to") {
  run_on(selector, []() -> Task<void> {
    Streams streams = co_await connect_pair();
    co_await streams.client.write_all("STARTTLS\n");
    std::string got = co_await read_some(streams.server);
    CHECK(got == "STARTTLS\n");
    co_await streams.server.write_all("OK\n");
    got = co_await read_some(streams.client);
    auto ends = co_await gather(start_tls(std::move(streams.client), client_context(), "localhost"),
                                start_tls(std::move(streams.server), server_context()));
    auto& [client, server] = ends;
    co_await client.write_all("secret");
    got = co_await read_once(server);
    CHECK(got == "secret");
  });
}

TEST_CASE("bytes of the handshake that a reader had read ahead are not lost, wherever they were split") {
  // What a client sends first: a PROXY line and its ClientHello, or PostgreSQL's request and, after the
  // answer, the same.
  for (std::size_t ahead = 0; ahead < 260; ahead += ahead < 12 ? 1 : 31) {
    run_in_virtual_time([&]() -> Task<void> {
      auto [near_end, far_end] = memory_pair();
      const auto come = [](MemoryStream plain) -> Task<std::string> {
        co_await plain.write_all("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
        auto stream = co_await start_tls(std::move(plain), client_context(), "localhost");
        co_await stream.write_all("secret");
        co_return co_await read_once(stream);
      };
      auto client = spawn(come(std::move(near_end)));
      co_await turns(10);
      StreamReader reader(far_end);
      if (ahead > 0) co_await reader.peek(36 + ahead);
      const auto line = co_await reader.read_line();
      CHECK(line == "PROXY TCP4 192.0.2.1 192.0.2.2 1 2");
      CHECK(reader.buffered().size() >= ahead);
      auto server = co_await timeout(20s, start_tls(reader, server_context()));
      CHECK(reader.buffered().empty());
      std::string got = co_await read_once(server);
      CHECK(got == "secret");
      co_await server.write_all("answer");
      got = co_await client;
      CHECK(got == "answer");
      // The reader has nothing of it, and nothing to read from.
      const std::error_code late = co_await error_of(reader.read(10));
      CHECK(late == std::errc::bad_file_descriptor);
    });
  }
}

ON_SELECTORS("PostgreSQL's SSLRequest, over TCP, with all that its client sends at once") {
  run_on(selector, []() -> Task<void> {
    Streams streams = co_await connect_pair();
    const std::string request("\0\0\0\x08\x04\xd2\x16\x2f", 8);
    const auto come = [&](TcpStream plain) -> Task<std::string> {
      co_await plain.write_all(request);
      char answer[1] = {};
      co_await plain.read_some(std::span<char>(answer));
      if (answer[0] != 'S') co_return "no TLS";
      auto stream = co_await start_tls(std::move(plain), client_context(), "localhost");
      co_return co_await read_once(stream);
    };
    auto client = spawn(come(std::move(streams.client)));
    StreamReader reader(streams.server);
    const std::string_view got = co_await reader.read_exactly(8);
    CHECK(got == request);
    co_await streams.server.write_all("S");
    auto server = co_await start_tls(reader, server_context());
    co_await server.write_all("hello");
    const std::string end = co_await timeout(20s, client);
    CHECK(end == "hello");
  });
}

TEST_CASE("plain text that was sent along with STARTTLS is never read as if it had been encrypted") {
  const std::string evil = "RCPT TO:<evil@example.org>\r\n";
  for (const bool at_client : {false, true}) {
    run_in_virtual_time([&]() -> Task<void> {
      auto [near_end, far_end] = memory_pair();
      const auto victim = [&](MemoryStream plain) -> Task<std::string> {
        StreamReader reader(plain);
        const auto line = co_await reader.read_line();
        if (line != (at_client ? "220 ready" : "STARTTLS")) co_return "another line";
        if (!at_client) co_await plain.write_all("220 ready\r\n");
        const TlsContext context = at_client ? client_context() : server_context();
        const std::string name = at_client ? "localhost" : "";
        auto stream = co_await start_tls(reader, context, name);
        co_return co_await read_once(stream);
      };
      const auto attacker = [&](MemoryStream plain) -> Task<void> {
        const std::string sent = (at_client ? "220 ready\r\n" : "STARTTLS\r\n") + evil;
        co_await plain.write_all(sent);
        if (at_client) {
          const auto stream = co_await start_tls(std::move(plain), server_context());
        } else {
          char answer[11];
          co_await plain.read_some(std::span<char>(answer));
          const auto stream = co_await start_tls(std::move(plain), client_context(), "localhost");
        }
      };
      auto other = spawn(end_of(attacker(std::move(far_end))));
      co_await turns(10);
      const std::string end = co_await end_of(timeout(20s, victim(std::move(near_end))));
      CHECK_THAT(end, Catch::Matchers::StartsWith("TLS handshake"));
      CHECK_THAT(end, Catch::Matchers::EndsWith("wrong version number"));
      const std::string attacked = co_await other;
      CHECK(attacked != "done");
    });
  }
}

TEST_CASE("TLS is not started from a reader that a task reads from") {
  run_in_virtual_time([]() -> Task<void> {
    auto [near_end, far_end] = memory_pair();
    StreamReader reader(near_end);
    auto read = [&]() -> Task<std::string> { co_return std::string(co_await reader.read(10)); };
    auto reading = spawn(read());
    co_await turns(3);
    CHECK_THROWS_AS(start_tls(reader, client_context(), "localhost"), std::logic_error);
    co_await far_end.write_all("plain");
    const std::string got = co_await reading;
    CHECK(got == "plain");
    CHECK(near_end.is_open());
  });
}

TEST_CASE("TLS is started over a stream of any type, from a reader of that") {
  run_in_virtual_time([]() -> Task<void> {
    auto [near_end, far_end] = memory_pair();
    AnyStream any(std::move(far_end));
    const auto come = [](MemoryStream plain) -> Task<std::string> {
      co_await plain.write_all("line\n");
      auto stream = co_await start_tls(std::move(plain), client_context(), "localhost");
      co_return co_await read_once(stream);
    };
    auto client = spawn(come(std::move(near_end)));
    co_await turns(10);
    StreamReader reader(any);
    co_await reader.read_line();
    auto server = co_await start_tls(reader, server_context());
    co_await server.write_all("hello");
    const std::string got = co_await client;
    CHECK(got == "hello");
  });
}
