// TlsStream: cancelled at any moment, it loses and leaves nothing.
// SPDX-License-Identifier: MIT
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "../../../io/stream/stream_reader.hpp"
#include "../../../runtime/task/task_group.hpp"
#include "../../../runtime/testing/testing.hpp"
#include "tls_pair.hpp"

using namespace heddle;
using namespace heddle::test;

ON_SELECTORS("a write that is cancelled leaves a connection that goes on where it was") {
  run_on(selector, []() -> Task<void> {
    auto pair = co_await tls_pair();
    pair.client.transport().set_send_buffer(8'192);
    pair.server.transport().set_receive_buffer(8'192);
    const std::string bytes = pattern(16'384);
    // Until the buffers are full and one of them has to wait in the middle of a record.
    std::string sent;
    bool cancelled = false;
    for (int i = 0; !cancelled && i < 10'000; ++i) {
      auto write = [&]() -> Task<std::string> {
        const std::size_t n = co_await pair.client.write_some(bytes);
        sent.append(bytes, 0, n);
        co_return co_await end_of(sleep(0s));
      };
      auto writer = spawn(write());
      co_await turns(20);
      if (writer.done()) continue;
      co_await sleep(300ms);  // a delayed acknowledgement, or a probe of a small window, makes room
      if (writer.done()) continue;
      writer.cancel();
      const std::string end = co_await writer;
      cancelled = end == "cancelled";  // after its result; unless there was room at the last moment
    }
    CHECK(cancelled);
    auto whole = spawn(end_of(timeout(20ms, pair.client.write_all(bytes))));
    const std::string end = co_await whole;
    CHECK(end == "timed out");
    // The next operation sends what is left, and what follows is as it should be.
    std::string got;
    auto reader = [&]() -> Task<void> { got = co_await read_rest(pair.server); };
    auto reading = spawn(reader());
    co_await timeout(10s, write_and_end(pair.client, "the end", 100));
    co_await timeout(10s, reading);
    CHECK(got.starts_with(sent));
    CHECK(got.ends_with("the end"));
    CHECK(got.size() <= sent.size() + bytes.size() + 7);
  });
}

ON_SELECTORS("what a cancelled write has left is sent by a read, even to a peer that reads nothing before") {
  run_on(selector, []() -> Task<void> {
    auto pair = co_await tls_pair();
    pair.client.transport().set_send_buffer(8'192);
    pair.server.transport().set_receive_buffer(8'192);
    const std::string much = pattern(8'000'000);
    const std::string end = co_await end_of(timeout(50ms, pair.client.write_all(much)));
    CHECK(end == "timed out");
    auto client_reads = spawn(read_once(pair.client));
    co_await turns(5);
    // The client hears what the server says, though what it has to send is stuck ...
    co_await pair.server.write_all("I can still be heard");
    std::string heard = co_await timeout(5s, client_reads);
    CHECK(heard == "I can still be heard");
    // ... and while it reads, the rest of its record gets through.
    auto again = spawn(read_once(pair.client));
    std::string got;
    bool quiet = false;
    while (!quiet) {
      try {
        got += co_await timeout(200ms, read_once(pair.server));
      } catch (const TimeoutError&) {
        quiet = true;
      }
    }
    const bool begins = much.starts_with(got);
    CHECK(begins);
    CHECK(got.size() % 16'384 == 0);
    co_await pair.server.write_all("done");
    heard = co_await timeout(5s, again);
    CHECK(heard == "done");
  });
}

ON_SELECTORS("cancelled reads lose no byte") {
  run_on(selector, []() -> Task<void> {
    auto pair = co_await tls_pair();
    const std::string sent = pattern(300'000);
    auto writer = spawn(write_and_end(pair.server, sent, 7'001));
    std::string got;
    for (int i = 0;; ++i) {
      auto reader = spawn(read_once(pair.client, 5'000));
      co_await turns(i % 7);
      reader.cancel();
      bool stopped = false;
      std::string piece;
      try {
        piece = co_await reader;
      } catch (const Cancelled&) {
        stopped = true;
      }
      if (!stopped && piece.empty()) break;
      got += piece;
      if (stopped && i % 20 == 0) co_await sleep(100us);
    }
    co_await writer;
    const bool same = got == sent;
    CHECK(same);
  });
}

ON_SELECTORS("cancelled at every suspension, a TLS client or server leaves nothing behind") {
  const std::string bytes = pattern(200'000);
  const TlsContext client = client_context();
  const TlsContext server = server_context();
  auto serve = [&](TcpListener& listener) -> Task<void> {
    auto stream = co_await start_tls(co_await listener.accept(), server);
    const std::string got = co_await read_rest(stream);
    co_await stream.write_all(got);
    co_await stream.finish(1s);
  };
  auto visit = [&](std::uint16_t port) -> Task<void> {
    TlsStream stream = co_await TlsStream::connect("localhost", port, client);
    stream.transport().set_send_buffer(8'192);
    co_await write_and_end(stream, bytes, 120'000);
    const std::string got = co_await read_rest(stream);
    const bool same = got == bytes;
    CHECK(same);
    co_await stream.finish(1s);
  };
  for (const bool server_is_cancelled : {false, true}) {
    auto session = [&]() -> Task<void> {
      auto listener = TcpListener::bind(any_port());
      const std::uint16_t port = listener.local_address().port();
      auto body = [&](TaskGroup& group) -> Task<void> {
        if (server_is_cancelled) {
          group.spawn(visit(port));
          co_await serve(listener);
        } else {
          group.spawn(serve(listener));
          co_await visit(port);
        }
      };
      co_await task_group(body);
    };
    DisturbOptions options;
    options.loop.selector = selector;
    options.main_only = true;
    CHECK(cancel_everywhere(session, &check_usual_end, options).failed >= 8);
  }
}

namespace {

/// A handshake and a little talk over memory; `capacity` makes each of them wait at many places.
Task<void> talk_in_memory(TlsContext client, TlsContext server, std::size_t capacity) {
  auto [near_end, far_end] = memory_pair(capacity);
  const auto come = [](MemoryStream plain, TlsContext context) -> Task<void> {
    auto stream = co_await start_tls(std::move(plain), std::move(context), "localhost");
    co_await stream.write_all("question");
    co_await stream.shutdown_write();
    const std::string answer = co_await read_rest(stream);
    if (answer != "answer") throw std::runtime_error("another answer");
  };
  const auto serve = [](MemoryStream plain, TlsContext context) -> Task<void> {
    StreamReader reader(plain);
    auto stream = co_await start_tls(reader, std::move(context));
    const std::string question = co_await read_rest(stream);
    if (question != "question") throw std::runtime_error("another question");
    co_await stream.write_all("answer");
    co_await stream.finish(10s);
  };
  co_await gather(come(std::move(near_end), std::move(client)), serve(std::move(far_end), std::move(server)));
}

}  // namespace

TEST_CASE("cancelled or failing at each await of a handshake, of either side, TLS leaves nothing behind") {
  struct Injected : std::runtime_error {
    using std::runtime_error::runtime_error;
  };
  const TlsContext client = client_context();
  TlsContext named = server_context();
  named.add_name("localhost", server_context());
  DisturbOptions options;
  options.loop.virtual_time = true;
  const auto failure = std::make_exception_ptr(Injected("injected"));
  const auto error = std::make_exception_ptr(
      std::system_error(std::make_error_code(std::errc::connection_reset), "injected"));
  for (const TlsContext& server : {server_context(), named})
    for (const std::size_t capacity : std::vector<std::size_t>{100, 1'000, 65'536}) {
      INFO(capacity);
      const auto talk = [&]() -> Task<void> { co_await talk_in_memory(client, server, capacity); };
      // The side that isn't disturbed may be the first to fail, because its peer is gone.
      const auto check = [](const DisturbedRun& run) {
        if (!run.failed_with<TlsError>() && !run.failed_with<std::system_error>()) check_usual_end(run);
      };
      CHECK(cancel_everywhere(talk, check, options).failed >= 8);
      CHECK(throw_everywhere(talk, failure, check, options).failed >= 3);
      CHECK(throw_everywhere(talk, error, check, options).failed >= 3);
    }
}
