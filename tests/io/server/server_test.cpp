// Server: who is served, what ends a connection, and what ends the service.
// SPDX-License-Identifier: MIT
#include "../../../io/server/server.hpp"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../../io/net/unix.hpp"
#include "../../../io/stream/memory_listener.hpp"
#include "../../../runtime/loop/signals.hpp"
#include "../../../runtime/seeing/dump.hpp"
#include "../../../runtime/task/race.hpp"
#include "../../../runtime/task/task_group.hpp"
#include "../../../runtime/task/wait.hpp"
#include "../../../runtime/task/when_any.hpp"
#include "../../../runtime/testing/allocation_faults.hpp"
#include "../../../runtime/testing/testing.hpp"
#include "../../../runtime/threads/run_on_threads.hpp"
#include "../../support/faulty_system.hpp"
#include "../../support/turns.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

Task<void> echo(TcpStream& client) {
  std::string buffer(10'000, '\0');
  while (const std::size_t size = co_await client.read_some(std::span(buffer)))
    co_await client.write_all(std::string_view(buffer).substr(0, size));
}

Task<void> echo_of_its_own(TcpStream client) { co_await echo(client); }

Task<void> echo_memory(MemoryStream& client) {
  char buffer[100];
  while (const std::size_t size = co_await client.read_some(std::span(buffer)))
    co_await client.write_all({buffer, size});
}

// One message there and back.
template <class Stream>
Task<std::string> ask(Stream& stream, std::string text) {
  co_await stream.write_all(text);
  std::string answer;
  while (answer.size() < text.size()) {
    const std::string piece = co_await read_some(stream);
    if (piece.empty()) break;
    answer += piece;
  }
  co_return answer;
}

Task<std::string> ask_at(Address address, std::string text) {
  TcpStream stream = co_await TcpStream::connect(address);
  co_return co_await timeout(5s, ask(stream, text));
}

// Reports, as text.
struct Reports {
  explicit Reports(EventLoop& loop = EventLoop::running()) {
    loop.set_report_handler(
        [](EventLoop&, const Report& report, void* self) {
          std::string text(report.message);
          try {
            if (report.error) std::rethrow_exception(report.error);
          } catch (const std::exception& error) {
            text.append(": ").append(error.what());
          } catch (...) {
            text.append(": something else");
          }
          static_cast<Reports*>(self)->texts.push_back(text);
        },
        this);
  }
  std::vector<std::string> texts;
};

Duration since(TimePoint start) { return EventLoop::running().time() - start; }

}  // namespace

ON_SELECTORS("a server serves all who come, at each of its addresses, until it is closed") {
  run_on(selector, []() -> Task<void> {
    Server server;
    std::vector<Address> addresses;
    addresses.push_back(server.listen(any_port(), echo));
    addresses.push_back(server.listen(any_port(), echo_of_its_own));
    int greeted = 0;
    addresses.push_back(server.listen(any_port(), [&greeted](TcpStream& client) -> Task<void> {
      ++greeted;
      co_await echo(client);
    }));
    CHECK(!server.is_serving());
    auto serving = spawn(server.serve());
    for (const Address& address : addresses)
      for (int i = 0; i < 3; ++i) {
        const std::string answer = co_await ask_at(address, pattern(30'000, static_cast<unsigned>(i)));
        CHECK(answer == pattern(30'000, static_cast<unsigned>(i)));
      }
    CHECK(greeted == 3);
    CHECK(server.is_serving());
    CHECK(server.counters().accepted == 9);
    while (server.counters().active != 0) co_await sleep(1ms);
    co_await server.close();
    co_await serving;
    CHECK(!server.is_serving());
    const std::error_code code = co_await error_of(TcpStream::connect(addresses.front()));
    CHECK(code == std::errc::connection_refused);
  });
}

ON_SELECTORS("Unix sockets, and whatever else accepts, can be served beside TCP") {
  run_on(selector, []() -> Task<void> {
    Server server;
    const Address address = server.listen(any_port(), echo);
    UnixListener listener =
        UnixListener::bind(UnixAddress::abstract("heddle-server-" + std::to_string(::getpid())));
    const UnixAddress path = listener.local_address();
    server.add(std::move(listener),
               [](UnixStream& client) -> Task<void> { co_await client.write_all("over Unix"); });
    MemoryListener memory;
    server.add(memory, echo_memory);
    auto serving = spawn(server.serve());
    UnixStream by_unix = co_await UnixStream::connect(path);
    MemoryStream by_memory = memory.connect();
    std::string answer = co_await timeout(5s, read_all(by_unix));
    CHECK(answer == "over Unix");
    answer = co_await timeout(5s, ask(by_memory, "over memory"));
    CHECK(answer == "over memory");
    answer = co_await ask_at(address, "over TCP");
    CHECK(answer == "over TCP");
    server.stop();
    co_await serving;
    CHECK(!memory.is_open());
  });
}

TEST_CASE("a host is listened on at all of its addresses, with one port") {
  run_here([]() -> Task<void> {
    Server server;
    const std::vector<Address> addresses = co_await server.listen("", 0, echo);
    REQUIRE(!addresses.empty());
    auto serving = spawn(server.serve());
    for (const Address& address : addresses) {
      CHECK(address.port() == addresses.front().port());
      const Address here(address.family() == AF_INET ? "127.0.0.1" : "::1", address.port());
      const std::string answer = co_await ask_at(here, "hello");
      CHECK(answer == "hello");
    }
    const std::vector<Address> local = co_await server.listen("localhost", 0, echo);  // while it serves
    const std::string answer = co_await ask_at(local.front(), "hello");
    CHECK(answer == "hello");
    co_await server.close();
    co_await serving;
  });
}

ON_SELECTORS("what a handler throws ends its connection, is reported once, and harms nobody else") {
  run_on(selector, []() -> Task<void> {
    Reports reports;
    Server server;
    const Address address = server.listen(any_port(), [](TcpStream& client) -> Task<void> {
      const std::string name = co_await read_some(client);
      if (name == "bad") throw std::runtime_error("don't like you");
      if (name == "odd") throw 17;
      co_await client.write_all("hello " + name);
      co_await read_some(client);
    });
    auto serving = spawn(server.serve());
    TcpStream good = co_await TcpStream::connect(address);
    co_await good.write_all("good");
    std::string answer = co_await timeout(5s, read_some(good));
    CHECK(answer == "hello good");
    for (const char* const name : {"bad", "odd", "bad"}) {
      TcpStream bad = co_await TcpStream::connect(address);
      co_await bad.write_all(name);
      answer = co_await timeout(5s, read_all(bad));
      CHECK(answer.empty());
    }
    REQUIRE(reports.texts.size() == 3);
    CHECK_THAT(reports.texts[0],
               Catch::Matchers::StartsWith("the handler of a connection failed (TCP 127.0.0.1"));
    CHECK_THAT(reports.texts[0], Catch::Matchers::EndsWith(": don't like you"));
    CHECK(server.counters().failed == 3);
    CHECK(server.counters().active == 1);
    co_await good.write_all("bye");
    answer = co_await timeout(5s, read_all(good));
    CHECK(answer.empty());
    co_await server.close();
    co_await serving;
    CHECK(reports.texts.size() == 3);
  });
}

TEST_CASE("a peer that is gone is no news, unless one wants to know") {
  for (const bool report_disconnects : {false, true}) {
    run_here([report_disconnects]() -> Task<void> {
      Reports reports;
      ServerOptions options;
      options.report_disconnects = report_disconnects;
      Server server(options);
      const Address address = server.listen(any_port(), echo);
      auto serving = spawn(server.serve());
      {
        TcpStream client = co_await TcpStream::connect(address);
        co_await ask(client, "hello");
        client.abort();
      }
      while (server.counters().failed == 0) co_await sleep(1ms);
      CHECK(reports.texts.size() == (report_disconnects ? 1 : 0));
      co_await server.close();
      co_await serving;
    });
  }
}

ON_SELECTORS("no more connections than are allowed are taken, and the others are served when there is room") {
  run_on(selector, []() -> Task<void> {
    ServerOptions options;
    options.max_connections = 3;
    Server server(options);
    std::size_t most = 0;
    const auto handler = [&](TcpStream& client) -> Task<void> {
      most = std::max(most, server.counters().active);
      co_await echo(client);
    };
    const Address addresses[] = {server.listen(any_port(), handler), server.listen(any_port(), handler)};
    auto serving = spawn(server.serve());
    std::vector<TcpStream> clients;
    for (int i = 0; i < 12; ++i) {
      clients.push_back(co_await TcpStream::connect(addresses[i % 2]));
      co_await clients.back().write_all("hi");
    }
    // The first three: which is up to the kernel's timing, but not how many.
    std::vector<JoinHandle<std::string>> answers;
    for (TcpStream& client : clients) answers.push_back(spawn(read_some(client)));
    const auto answered = [&] {
      return std::count_if(answers.begin(), answers.end(), [](const auto& answer) { return answer.done(); });
    };
    while (answered() < 3) co_await sleep(1ms);
    co_await sleep(20ms);
    CHECK(answered() == 3);
    CHECK(server.counters().active == 3);
    for (int rest = 9; rest > 0; --rest) {
      for (std::size_t i = 0; i < clients.size(); ++i)
        if (answers[i].done() && clients[i].is_open()) {
          clients[i].close();
          break;
        }
      while (answered() < 13 - rest) co_await timeout(5s, sleep(1ms));
    }
    for (auto& answer : answers) CHECK(answer.result() == "hi");
    CHECK(most == 3);
    clients.clear();
    co_await server.close();
    co_await serving;
    CHECK(server.counters().accepted == 12);
  });
}

ON_SELECTORS("a place is no listener's own while nobody connects to it") {
  run_on(selector, []() -> Task<void> {
    ServerOptions options;
    options.max_connections = 1;
    Server server(options);
    MemoryListener memory;  // can't be asked whether somebody waits
    server.add(memory, echo_memory);
    TcpListener shared = TcpListener::bind(any_port());
    const Fd other(::dup(shared.fileno()));
    const Address first = shared.local_address();
    server.add(std::move(shared), echo);
    const Address second = server.listen(any_port(), echo);
    auto serving = spawn(server.serve());
    co_await turns(3);
    // Whoever shares the listener is quicker.
    const File taken(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    must(::connect(taken.fileno(), first.data(), first.length()));
    const File by_other(::accept(other.fileno(), nullptr, nullptr));
    std::string answer = co_await ask_at(second, "hello");
    CHECK(answer == "hello");
    answer = co_await ask_at(first, "hello");
    CHECK(answer == "hello");
    MemoryStream client = memory.connect();
    answer = co_await timeout(5s, ask(client, "hello"));
    CHECK(answer == "hello");
    client.close();
    answer = co_await ask_at(second, "hello");
    CHECK(answer == "hello");
    co_await server.close();
    co_await serving;
  });
}

TEST_CASE("closing lets handlers finish, then cancels them") {
  run_in_virtual_time([]() -> Task<void> {
    Server server;
    MemoryListener listener;
    std::string log;
    server.add(listener, [&log](MemoryStream& client) -> Task<void> {
      const std::string work = co_await read_some(client);
      try {
        co_await sleep(work == "short" ? 3s : 100s);
        log += work + " done;";
      } catch (const Cancelled&) {
        log += work + " cancelled;";
        throw;
      }
    });
    auto serving = spawn(server.serve());
    MemoryStream first = listener.connect();
    MemoryStream second = listener.connect();
    co_await first.write_all("short");
    co_await second.write_all("long");
    co_await sleep(1s);
    const TimePoint start = EventLoop::running().time();
    co_await server.close(5s);
    CHECK(since(start) == 5s);
    CHECK(log == "short done;long cancelled;");
    co_await serving;
    CHECK(server.counters().failed == 0);
  });
}

TEST_CASE("a handler between two requests can end at once when its server stops") {
  run_in_virtual_time([]() -> Task<void> {
    Server server;
    MemoryListener listener;
    server.add(listener, [&server](MemoryStream& client) -> Task<void> {
      for (bool more = true; more;) {
        char request[10];
        const auto first = co_await when_any(client.read_some(std::span(request)), server.stopping());
        more = first.index() == 0 && std::get<0>(first) > 0;
        if (more) co_await sleep(3s);
      }
    });
    auto serving = spawn(server.serve());
    MemoryStream idle = listener.connect();
    MemoryStream busy = listener.connect();
    co_await busy.write_all("work");
    co_await sleep(1s);
    const TimePoint start = EventLoop::running().time();
    auto closing = spawn(server.close(60s));
    const std::string end = co_await read_all(idle);
    CHECK(end.empty());
    CHECK(since(start) == 0s);
    co_await closing;
    CHECK(since(start) == 2s);
    co_await serving;
  });
}

TEST_CASE("a grace can be cut short, but not be made longer") {
  run_in_virtual_time([]() -> Task<void> {
    Server server;
    MemoryListener listener;
    server.add(listener, echo_memory);
    auto serving = spawn(server.serve());
    MemoryStream client = listener.connect();
    co_await sleep(1s);
    const TimePoint start = EventLoop::running().time();
    server.stop(std::nullopt);
    co_await sleep(1s);
    server.stop(10s);
    server.stop(20s);
    co_await sleep(1s);
    CHECK(!serving.done());
    co_await serving;
    CHECK(since(start) == 11s);
  });
}

TEST_CASE("handlers that don't stop when they are cancelled lose their connection") {
  run_here([]() -> Task<void> {
    ServerOptions options;
    options.abort_after = 30ms;
    Server server(options);
    std::string end;
    const Address address = server.listen(any_port(), [&end](TcpStream& client) -> Task<void> {
      co_await client.write_all("hi");
      for (;;) try {
          co_await read_some(client);
        } catch (const Cancelled&) {
        } catch (const std::system_error& error) {
          end = error.what();
          throw;
        }
    });
    Reports reports;
    auto serving = spawn(server.serve());
    TcpStream client = co_await TcpStream::connect(address);
    std::string hello = co_await read_some(client);
    CHECK(hello == "hi");
    const TimePoint start = EventLoop::running().time();
    co_await server.close(10ms);
    CHECK(since(start) >= 40ms);
    CHECK_THAT(end, Catch::Matchers::EndsWith("canceled"));
    CHECK(server.counters().aborted == 1);
    const std::error_code code = co_await error_of(read_some(client));
    CHECK(code == std::errc::connection_reset);
    CHECK(reports.texts.empty());  // it was our doing
    co_await serving;
  });
}

TEST_CASE("handlers that go on even then are waited for, and reported") {
  run_in_virtual_time([]() -> Task<void> {
    Reports reports;
    ServerOptions options;
    options.abort_after = 1s;
    Server server(options);
    MemoryListener listener;
    server.add(listener, [](MemoryStream&) -> Task<void> { co_await shield(sleep(60s)); });
    auto serving = spawn(server.serve());
    MemoryStream client = listener.connect();
    co_await sleep(1s);
    const TimePoint start = EventLoop::running().time();
    co_await server.close();
    CHECK(since(start) == 59s);
    REQUIRE(reports.texts.size() == 1);
    CHECK_THAT(reports.texts[0], Catch::Matchers::Contains("waits for handlers that go on"));
    co_await serving;
  });
}

TEST_CASE("a request to stop serve() ends the service as stop() does, and a second one ends the grace") {
  for (const int requests : {1, 2}) {
    run_in_virtual_time([requests]() -> Task<void> {
      ServerOptions options;
      options.grace = 7s;
      Server server(options);
      MemoryListener listener;
      server.add(listener, echo_memory);
      auto serving = spawn(server.serve());
      MemoryStream client = listener.connect();
      co_await sleep(1s);
      const TimePoint start = EventLoop::running().time();
      for (int i = 0; i < requests; ++i) {
        serving.cancel();
        co_await sleep(2s);
        CHECK(!server.is_serving());
      }
      const std::string end = co_await end_of(std::move(serving));
      CHECK(end == "cancelled");
      CHECK(since(start) == (requests == 1 ? 7s : 4s));
    });
  }
}

TEST_CASE("the first request to stop serve() brings its grace, whatever was granted before") {
  run_in_virtual_time([]() -> Task<void> {
    ServerOptions options;
    options.grace = 7s;
    Server server(options);
    MemoryListener listener;
    server.add(listener, echo_memory);
    auto serving = spawn(server.serve());
    MemoryStream client = listener.connect();
    co_await sleep(1s);
    server.stop(std::nullopt);
    co_await sleep(1s);
    const TimePoint start = EventLoop::running().time();
    serving.cancel();
    const std::string end = co_await end_of(std::move(serving));
    CHECK(end == "cancelled");
    CHECK(since(start) == 7s);
  });
}

TEST_CASE("serve() ends with the signal that it is raced with") {
  run_here([]() -> Task<void> {
    Server server;
    const Address address = server.listen(any_port(), echo);
    auto serving = spawn(when_any(server.serve(), signal(SIGTERM)));
    const std::string answer = co_await ask_at(address, "hello");
    CHECK(answer == "hello");
    ::kill(::getpid(), SIGTERM);
    co_await timeout(5s, serving);
    CHECK(!server.is_serving());
  });
}

TEST_CASE("a handler that takes too long is cancelled, and so is one in which nothing goes on") {
  run_in_virtual_time([]() -> Task<void> {
    ServerOptions options;
    options.idle = 10s;
    options.lifetime = 60s;
    Server server(options);
    MemoryListener listener;
    server.add(listener, echo_memory);
    auto serving = spawn(server.serve());
    const TimePoint start = EventLoop::running().time();

    MemoryStream silent = listener.connect();
    char byte[1];
    std::size_t got = co_await silent.read_some(std::span(byte));
    CHECK(got == 0);
    CHECK(since(start) == 10s);

    MemoryStream slow = listener.connect();
    for (int i = 0; i < 5; ++i) {
      co_await sleep(9s);
      const std::string answer = co_await ask(slow, "hello");
      CHECK(answer == "hello");
    }
    got = co_await slow.read_some(std::span(byte));
    CHECK(got == 0);
    CHECK(since(start) == 10s + 5 * 9s + 10s);

    const TimePoint again = EventLoop::running().time();
    MemoryStream busy = listener.connect();
    std::string answer = "hello";
    while (answer == "hello") {
      co_await sleep(1s);
      answer.clear();
      try {
        answer = co_await ask(busy, "hello");
      } catch (const std::system_error&) {
      }
    }
    CHECK(since(again) == 60s);
    CHECK(server.counters().timed_out == 3);
    CHECK(server.counters().failed == 0);
    co_await server.close();
    co_await serving;
  });
}

TEST_CASE("a handler isn't idle while a task that it waits for is not") {
  run_in_virtual_time([]() -> Task<void> {
    ServerOptions options;
    options.idle = 10s;
    Server server(options);
    MemoryListener listener;
    bool done = false;
    server.add(listener, [&done](MemoryStream&) -> Task<void> {
      const auto ticks = [](int n) -> Task<void> {
        for (int i = 0; i < n; ++i) co_await sleep(4s);
      };
      co_await gather(ticks(10), sleep(1s));
      co_await gather(sleep(8s), sleep(17s));
      co_await spawn(ticks, 10);
      const auto a = spawn(ticks, 2), b = spawn(ticks, 4);
      co_await wait(ReturnWhen::ALL_COMPLETED, {}, a, b);
      done = true;
    });
    auto serving = spawn(server.serve());
    MemoryStream client = listener.connect();
    co_await sleep(200s);
    CHECK(done);
    CHECK(server.counters().timed_out == 0);
    co_await server.close();
    co_await serving;
  });
}

TEST_CASE("a handler isn't idle while its peer takes what it writes, however long that is") {
  run_here([]() -> Task<void> {
    ServerOptions options;
    options.idle = 700ms;
    Server server(options);
    // Made before: that alone may take as long as a handler may be idle.
    const std::string much(64 << 20, 'x');
    const Address address = server.listen(
        any_port(), [&much](TcpStream& client) -> Task<void> { co_await client.write_all(much); });
    auto serving = spawn(server.serve());
    TcpStream slow = co_await TcpStream::connect(address);
    // The kernel's buffers hold much of it, so it is read slowly for longer than the deadline, and stays
    // behind.
    std::vector<char> buffer(1 << 20);
    std::size_t got = 0;
    while (const std::size_t size = co_await slow.read_some(std::span(buffer))) {
      got += size;
      co_await sleep(20ms);
    }
    CHECK(got == 64 << 20);
    CHECK(server.counters().timed_out == 0);

    TcpStream deaf = co_await TcpStream::connect(address);
    while (server.counters().timed_out == 0) co_await sleep(5ms);
    co_await server.close();
    co_await serving;
  });
}

TEST_CASE("a handler that goes on after its deadline loses its connection") {
  run_in_virtual_time([]() -> Task<void> {
    ServerOptions options;
    options.lifetime = 10s;
    options.abort_after = 5s;
    Server server(options);
    MemoryListener listener;
    server.add(listener, [](MemoryStream& client) -> Task<void> {
      for (;;) try {
          char byte[1];
          co_await client.read_some(std::span(byte));
        } catch (const Cancelled&) {
        }
    });
    auto serving = spawn(server.serve());
    const TimePoint start = EventLoop::running().time();
    MemoryStream client = listener.connect();
    const std::error_code code = co_await error_of(read_some(client));
    CHECK(code == std::errc::connection_reset);
    CHECK(since(start) == 15s);
    co_await turns(5);
    CHECK(server.counters().active == 0);
    co_await server.close();
    co_await serving;
  });
}

TEST_CASE("what a handler with a stream of its own throws after its deadline is reported") {
  run_in_virtual_time([]() -> Task<void> {
    Reports reports;
    ServerOptions options;
    options.lifetime = 10s;
    options.abort_after = 5s;
    Server server(options);
    MemoryListener listener;
    server.add(listener, [](MemoryStream client) -> Task<void> {
      try {
        co_await sleep(1h);
      } catch (const Cancelled&) {
      }
      try {
        co_await sleep(1min);
      } catch (const Cancelled&) {
      }
      client.close();
      throw std::runtime_error("a mistake");
    });
    auto serving = spawn(server.serve());
    MemoryStream client = listener.connect();
    const std::string rest = co_await read_all(client);
    CHECK(rest.empty());
    co_await turns(5);
    CHECK(server.counters().aborted == 0);  // it wasn't ours
    REQUIRE(reports.texts.size() == 1);
    CHECK(reports.texts[0] == "the handler of a connection failed: a mistake");
    co_await server.close();
    co_await serving;
  });
}

TEST_CASE("misuse of a server is told") {
  run_here([]() -> Task<void> {
    Server nowhere;
    std::string end = co_await end_of(nowhere.serve());
    CHECK(end == "a Server that listens nowhere can't serve");

    Server server;
    const Address address = server.listen(any_port(), echo);
    auto serving = spawn(server.serve());
    co_await yield();
    end = co_await end_of(server.serve());
    CHECK(end == "Server.serve() runs already");
    CHECK_THAT(thrown<std::system_error>([&] { server.listen(address, echo); }),
               Catch::Matchers::StartsWith("listen on " + to_string(address) + ": "));
    co_await server.close();
    CHECK(thrown<std::logic_error>([&] { server.listen(any_port(), echo); }) ==
          "a Server that was stopped can't listen any more");
    co_await serving;
    co_await server.serve();  // over before it began
    co_await server.close();

    Server moved = std::move(server);
    CHECK(thrown<std::logic_error>([&] { server.stop(); }) == "a Server that was moved from");
    CHECK_FALSE(moved.is_serving());

    Server stopped_before;
    stopped_before.listen(any_port(), echo);
    stopped_before.stop();
    co_await stopped_before.serve();
  });
}

TEST_CASE("a server that is destroyed while it serves stops") {
  run_here([]() -> Task<void> {
    Address address;
    JoinHandle<void> serving;
    TcpStream client;
    {
      Server server;
      address = server.listen(any_port(), echo);
      serving = spawn(server.serve());
      client = co_await TcpStream::connect(address);
      const std::string answer = co_await ask(client, "hello");
      CHECK(answer == "hello");
    }
    co_await timeout(5s, serving);
    const std::string rest = co_await timeout(5s, read_all(client));
    CHECK(rest.empty());
  });
}

TEST_CASE("a handler may stop its server") {
  run_here([]() -> Task<void> {
    Server server;
    const Address address = server.listen(any_port(), [&server](TcpStream& client) -> Task<void> {
      const std::string word = co_await read_some(client);
      if (word == "stop") server.stop(5s);
      co_await client.write_all("as you like");
    });
    auto serving = spawn(server.serve());
    const std::string answer = co_await ask_at(address, "stop");
    CHECK_THAT(answer, Catch::Matchers::StartsWith("as y"));
    co_await timeout(5s, serving);
  });
}

TEST_CASE("a listener that can't accept any more ends serve() with its error, after all handlers") {
  FaultySystem system;
  run_on(
      "default",
      [&]() -> Task<void> {
        Server server;
        bool handled = false;
        const Address address = server.listen(any_port(), [&handled](TcpStream& client) -> Task<void> {
          try {
            co_await read_some(client);
          } catch (const Cancelled&) {
            handled = true;
            throw;
          }
        });
        auto serving = spawn(server.serve());
        TcpStream client = co_await TcpStream::connect(address);
        while (server.counters().active == 0) co_await sleep(1ms);
        system.fail(Call::ACCEPT, 0, EINVAL);
        const std::error_code reset = co_await error_of(TcpStream::connect(address));
        CHECK((!reset || reset == std::errc::connection_reset));  // the listener is closed under it
        const std::string end = co_await timeout(5s, end_of(std::move(serving)));
        CHECK_THAT(end, Catch::Matchers::StartsWith("accept on fd "));
        CHECK(handled);
      },
      &system);
}

TEST_CASE("the connections of a server are seen in a dump, below serve()") {
  run_here([]() -> Task<void> {
    Server server;
    const Address address = server.listen(any_port(), echo);
    auto serving = spawn(server.serve());
    TcpStream client = co_await TcpStream::connect(address);
    co_await ask(client, "hello");
    const std::string dump = dump_tasks();
    INFO(dump);
    CHECK_THAT(dump, Catch::Matchers::Contains("waits for connections"));
    CHECK_THAT(dump, Catch::Matchers::Contains("(TCP listener " + to_string(address) + ")"));
    CHECK_THAT(dump, Catch::Matchers::Contains("(TCP " + to_string(address) + " <- "));
    CHECK_THAT(dump, Catch::Matchers::Contains("server_test.cpp"));
    co_await server.close();
    co_await serving;
  });
}

TEST_CASE("the same server on several threads, which share a port") {
  std::vector<TcpListener> listeners = TcpListener::bind_shared(any_port(), 3);
  const Address address = listeners.front().local_address();
  for (const TcpListener& listener : listeners) CHECK(listener.local_address() == address);
  std::atomic<int> served{0};
  std::atomic<int> clients_left{60};
  run_on_threads(3, [&](std::size_t index) -> Task<void> {
    Server server;
    server.add(std::move(listeners[index]), [&](TcpStream& client) -> Task<void> {
      ++served;
      co_await echo(client);
    });
    auto serving = spawn(server.serve());
    for (int i = 0; i < 20; ++i) {
      const std::string answer = co_await ask_at(address, "hello");
      --clients_left;
      if (answer != "hello") throw std::runtime_error("a wrong answer: " + answer);
    }
    while (clients_left > 0) co_await sleep(1ms);
    co_await server.close(5s);
    co_await serving;
  });
  CHECK(served == 60);
}

namespace {

// All that a server does, in one scenario.
Task<void> service() {
  ServerOptions options;
  options.max_connections = 2;
  options.idle = 10s;
  options.abort_after = 1s;
  options.grace = 2s;
  Server server(options);
  const Address address = server.listen(any_port(), echo);
  const auto clients = [&]() -> Task<void> {
    for (int i = 0; i < 2; ++i) {
      const std::string answer = co_await ask_at(address, "hello");
      if (answer != "hello") throw std::system_error(ECONNRESET, std::generic_category());
    }
  };
  co_await race(server.serve(), clients());
}

// The clients may be what notices that something of the server has gone.
void check_service(const DisturbedRun& run) {
  if (!run.failed_with<std::system_error>()) check_usual_end(run);
}

}  // namespace

ON_SELECTORS("wherever a service is cancelled, nothing of it is left") {
  DisturbOptions options;
  options.loop.selector = selector;
  options.loop.detect_deadlock = false;
  for (const bool from_outside : {false, true}) {
    options.from_outside = from_outside;
    CHECK(cancel_everywhere(&service, &check_service, options).places >= 20);
  }
}

TEST_CASE("whichever allocation of a service fails, nothing of it is left") {
  if (!allocations_are_observed()) return;
  CHECK(fail_allocations(&service, &check_service).places >= 20);
}
