// The ends of TLS connections: goodbyes, cuts, closing and destroying while tasks wait.
// SPDX-License-Identifier: MIT
#include <cstddef>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "tls_pair.hpp"

using namespace heddle;
using namespace heddle::test;

ON_SELECTORS("a goodbye is read as the end, again and again, and the other direction goes on") {
  run_on(selector, []() -> Task<void> {
    auto pair = co_await tls_pair();
    co_await pair.client.write_all("question");
    co_await pair.client.shutdown_write();
    const std::string question = co_await read_rest(pair.server);
    CHECK(question == "question");
    for (int i = 0; i < 3; ++i) {
      const std::string rest = co_await timeout(5s, read_once(pair.server));
      CHECK(rest.empty());
    }
    co_await pair.server.write_all("answer");
    std::string answer = co_await timeout(5s, read_once(pair.client));
    CHECK(answer == "answer");
    std::string message;
    const std::error_code late = co_await error_of(pair.client.write_all("more"), &message);
    CHECK(late == std::errc::broken_pipe);
    CHECK(message == "TLS write after shutdown_write(): Broken pipe");
    co_await pair.client.shutdown_write();
  });
}

ON_SELECTORS("a connection that is cut without a goodbye is an error, unless that was allowed") {
  run_on(selector, []() -> Task<void> {
    auto pair = co_await tls_pair();
    co_await pair.server.write_all("most of it");
    pair.server.close();
    const std::string got = co_await timeout(5s, read_once(pair.client));
    CHECK(got == "most of it");
    for (int i = 0; i < 2; ++i) {
      const std::string end = co_await timeout(5s, end_of(read_once(pair.client)));
      CHECK(without_fd(end) ==
            "TLS read with \"localhost\": the peer closed the connection without a goodbye");
    }
    TlsError::Kind kind = TlsError::Kind::PROTOCOL;
    try {
      co_await read_once(pair.client);
    } catch (const TlsError& error) {
      kind = error.kind;
    }
    CHECK(kind == TlsError::Kind::TRUNCATED);

    TlsOptions lenient = client_options();
    lenient.ignore_truncation = true;
    auto other = co_await tls_pair(TlsContext::client(lenient), server_context());
    co_await other.server.write_all("all of it");
    other.server.close();
    const std::string all = co_await timeout(5s, read_rest(other.client));
    CHECK(all == "all of it");
  });
}

ON_SELECTORS("finish takes no longer than it may, and closes in any case") {
  run_on(selector, []() -> Task<void> {
    auto pair = co_await tls_pair();
    auto server = spawn(end_of(read_rest(pair.server)));
    const auto start = EventLoop::running().time();
    std::string end = co_await end_of(pair.client.finish(20ms));  // the server doesn't say goodbye
    CHECK(end == "done");
    CHECK(EventLoop::running().time() - start < 5s);
    CHECK_FALSE(pair.client.is_open());
    end = co_await timeout(5s, server);
    CHECK(end == "done");

    auto polite = co_await tls_pair();
    auto ends =
        co_await timeout(5s, gather(end_of(polite.client.finish(60s)), end_of(polite.server.finish(60s))));
    CHECK(std::get<0>(ends) == "done");
    CHECK(std::get<1>(ends) == "done");

    auto stopped = co_await tls_pair();
    auto finishing = spawn(stopped.client.finish(60s));
    co_await turns(3);
    finishing.cancel();
    end = co_await end_of(std::move(finishing));
    CHECK(end == "cancelled");
    CHECK_FALSE(stopped.client.is_open());
  });
}

ON_SELECTORS("closing or destroying a TLS stream ends those who wait at it") {
  run_on(selector, []() -> Task<void> {
    std::vector<JoinHandle<std::error_code>> waiting;
    auto pair = co_await tls_pair();
    const std::string much(8'000'000, 'x');
    {
      TlsStream client = std::move(pair.client);
      for (int i = 0; i < 2; ++i) waiting.push_back(spawn(error_of(read_once(client))));
      for (int i = 0; i < 2; ++i) waiting.push_back(spawn(error_of(client.write_all(much))));
      co_await turns(5);
      TlsStream moved = std::move(client);  // while it is in use
      co_await turns(5);
      if (pair.server.is_open()) pair.server.close();
      moved.close();
      const std::error_code late = co_await error_of(read_once(moved));
      CHECK(late == std::errc::bad_file_descriptor);
    }
    for (auto& each : waiting) {
      const std::error_code code = co_await timeout(5s, each);
      CHECK(code == std::errc::operation_canceled);
    }
    auto other = co_await tls_pair();
    auto reader = spawn(error_of(read_once(other.client)));
    co_await turns(3);
    other.client = TlsStream();
    const std::error_code code = co_await timeout(5s, reader);
    CHECK(code == std::errc::operation_canceled);
    CHECK_THROWS_AS(other.client.read_some(std::span<std::byte>()), std::logic_error);
  });
}

TEST_CASE(
    "whatever waits at a TLS stream fails when that is closed, destroyed or replaced, and touches it no "
    "more") {
  using Stream = BasicTlsStream<MemoryStream>;
  static const std::string much = pattern(100'000);
  struct Waiting {
    std::string what;
    Task<void> (*operation)(Stream&);
  };
  const auto read = [](Stream& stream) -> Task<void> {
    char buffer[10];
    co_await stream.read_some(std::span<char>(buffer));
  };
  const std::vector<Waiting> all{
      {"read_some", read},
      {"write_some", [](Stream& stream) -> Task<void> { co_await stream.write_some(much); }},
      {"write_all", [](Stream& stream) -> Task<void> { co_await stream.write_all(much); }},
      {"shutdown_write", [](Stream& stream) -> Task<void> { co_await stream.shutdown_write(); }},
      {"finish", [](Stream& stream) -> Task<void> { co_await stream.finish(3600s); }},
  };
  const TlsContext client = client_context();
  for (const Waiting& first : all)
    for (const Waiting& second : all)
      for (const char* how : {"close", "destroy", "assign", "move and destroy", "abort the transport"}) {
        INFO(first.what << ", then " << second.what << "; " << how);
        run_in_virtual_time([&]() -> Task<void> {
          std::optional<TlsContext> server(server_context());
          auto pair = co_await tls_memory_pair(client, *server, "localhost", 10);
          server.reset();
          std::optional<Stream> stream(std::move(pair.server));
          std::vector<JoinHandle<std::error_code>> waiting;
          waiting.push_back(spawn(error_of(first.operation(*stream))));
          waiting.push_back(spawn(error_of(second.operation(*stream))));
          waiting.push_back(spawn(error_of(second.operation(*stream))));
          co_await turns(10);
          bool closed = false;
          const std::string way = how;
          if (way == "close") {
            stream->close();
          } else if (way == "destroy") {
            stream.reset();
          } else if (way == "assign") {
            *stream = Stream();
          } else if (way == "move and destroy") {
            Stream elsewhere = std::move(*stream);
            stream.reset();
          } else {
            pair.client.transport().abort();
            closed = true;
          }
          for (std::size_t i = 0; i < waiting.size(); ++i) {
            const bool finishes = (i == 0 ? first : second).what == "finish";
            const std::error_code code = co_await timeout(20s, waiting[i]);
            if (!finishes && !closed) CHECK(code == std::errc::operation_canceled);
            if (finishes) CHECK_FALSE(code);
            if (closed && !finishes) CHECK(code);
          }
        });
      }
}

TEST_CASE("a handshake ends with its stream, and with its task, whatever it waits for") {
  for (const int steps : {0, 1, 2, 3, 5, 8, 13, 21, 34, 55})
    for (const bool client : {false, true})
      for (const bool with_task : {false, true})
        run_in_virtual_time([&]() -> Task<void> {
          auto [near_end, far_end] = memory_pair(50);
          MemoryStream& peers = client ? far_end : near_end;
          std::optional<TlsContext> contexts[2] = {client_context(), server_context()};
          const std::size_t own = client ? 0 : 1;
          auto starting =
              start_tls(std::move(client ? near_end : far_end), std::move(*contexts[own]), "localhost");
          auto handshake = spawn(end_of(std::move(starting)));
          contexts[own].reset();
          auto peer = spawn(end_of(start_tls(std::move(peers), *contexts[1 - own], "localhost")));
          co_await turns(steps);
          if (with_task)
            handshake.cancel();
          else
            peer.cancel();
          std::string end = co_await end_of(timeout(20s, std::move(handshake)));
          CHECK(end != "timed out");
          end = co_await end_of(timeout(20s, std::move(peer)));
          CHECK(end != "timed out");
        });
}
