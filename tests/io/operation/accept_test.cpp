// TcpListener: binding, accepting, and running out of descriptors.
// SPDX-License-Identifier: MIT
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <string>
#include <vector>

#include "../../../runtime/task/task_group.hpp"
#include "../../support/faulty_system.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

Task<void> greet_all(TcpListener& listener, int& served) {
  for (;;) {
    TcpStream stream = co_await listener.accept();
    ++served;
    co_await stream.write_all("hi");
  }
}

// A client that isn't heddle's; the connection is made at once, the server may accept it later.
File dial(const Address& address) {
  File client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  must(::connect(client.fileno(), address.data(), address.length()));
  must(::fcntl(client.fileno(), F_SETFL, O_NONBLOCK));
  return client;
}

// What the client gets within five seconds: "hi", "end" or "reset".
Task<std::string> answer(const File& client) {
  co_await timeout(5s, readable(client.fileno()));
  char buffer[8];
  const auto n = ::read(client.fileno(), buffer, sizeof buffer);
  co_return n > 0 ? std::string(buffer, static_cast<std::size_t>(n)) : n == 0 ? "end" : "reset";
}

}  // namespace

ON_SELECTORS("connections are accepted in the order in which they came") {
  run_on(selector, []() -> Task<void> {
    auto listener = TcpListener::bind(any_port());
    std::vector<File> clients;
    for (int i = 0; i < 20; ++i) clients.push_back(dial(listener.local_address()));
    for (const File& client : clients) {
      const TcpStream stream = co_await timeout(5s, accept_one(listener));
      sockaddr_in mine{};
      socklen_t length = sizeof mine;
      must(::getsockname(client.fileno(), reinterpret_cast<sockaddr*>(&mine), &length));
      CHECK(stream.peer_address() == Address(reinterpret_cast<sockaddr*>(&mine), length));
    }
  });
}

ON_SELECTORS("several tasks accept on one listener, in turn") {
  run_on(selector, []() -> Task<void> {
    auto listener = TcpListener::bind(any_port());
    std::vector<JoinHandle<TcpStream>> acceptors;
    for (int i = 0; i < 3; ++i) acceptors.push_back(spawn(accept_one(listener)));
    co_await sleep(1ms);
    std::vector<File> clients;
    for (int i = 0; i < 3; ++i) clients.push_back(dial(listener.local_address()));
    for (auto& acceptor : acceptors) {
      const TcpStream stream = co_await timeout(5s, acceptor);
      CHECK(stream.is_open());
    }
  });
}

ON_SELECTORS("an accept that is cancelled loses no connection") {
  run_on(selector, []() -> Task<void> {
    auto listener = TcpListener::bind(any_port());
    for (int i = 0; i < 10; ++i) {
      auto acceptor = spawn(accept_one(listener));
      co_await yield();
      const File client = dial(listener.local_address());
      for (int turn = 0; turn < 20 * i; ++turn) co_await yield();
      acceptor.cancel();
      while (!acceptor.done()) co_await yield();
      TcpStream stream;
      if (acceptor.cancelled())
        stream = co_await timeout(5s, accept_one(listener));
      else
        stream = acceptor.result();
      co_await stream.write_all("hi");
      const std::string got = co_await answer(client);
      CHECK(got == "hi");
    }
  });
}

ON_SELECTORS("closing a listener ends the accepts that wait, with ECANCELED") {
  run_on(selector, []() -> Task<void> {
    auto listener = TcpListener::bind(any_port());
    auto a = spawn(error_of(accept_one(listener)));
    auto b = spawn(error_of(accept_one(listener)));
    co_await sleep(1ms);
    const Address address = listener.local_address();
    listener.close();
    std::error_code code = co_await timeout(5s, a);
    CHECK(code == std::errc::operation_canceled);
    code = co_await timeout(5s, b);
    CHECK(code == std::errc::operation_canceled);
    code = co_await error_of(TcpStream::connect(address));
    CHECK(code == std::errc::connection_refused);
    code = co_await error_of(accept_one(listener));
    CHECK(code == std::errc::bad_file_descriptor);
  });
}

ON_SELECTORS("a listener may be moved while tasks accept from it") {
  run_on(selector, []() -> Task<void> {
    auto listener = TcpListener::bind(any_port());
    auto a = spawn(accept_one(listener));
    auto b = spawn(error_of(accept_one(listener)));
    co_await sleep(1ms);
    TcpListener moved = std::move(listener);
    CHECK_FALSE(listener.is_open());
    std::error_code code = co_await error_of(accept_one(listener));
    CHECK(code == std::errc::bad_file_descriptor);
    const File client = dial(moved.local_address());
    const TcpStream stream = co_await timeout(5s, a);
    CHECK(stream.is_open());
    TcpListener assigned = TcpListener::bind(any_port());
    assigned = std::move(moved);
    assigned.close();
    code = co_await timeout(5s, b);
    CHECK(code == std::errc::operation_canceled);
  });
}

ON_SELECTORS("a listener that was moved while a task accepts still refuses peers when descriptors run out") {
  FaultySystem system;
  run_on(
      selector,
      [&]() -> Task<void> {
        auto accepting = JoinHandle<TcpStream>();
        TcpListener moved;
        {
          auto listener = TcpListener::bind(any_port());
          accepting = spawn(accept_one(listener));
          co_await sleep(1ms);
          moved = std::move(listener);
        }
        system.fail(Call::ACCEPT, 0, EMFILE);
        const File refused = dial(moved.local_address());
        const std::string got = co_await answer(refused);
        CHECK((got == "end" || got == "reset"));
        const File client = dial(moved.local_address());
        const TcpStream stream = co_await timeout(5s, accepting);
        CHECK(stream.is_open());
      },
      &system);
}

ON_SELECTORS("accept yields a Result instead of throwing, when it is asked to") {
  FaultySystem system;
  run_on(
      selector,
      [&]() -> Task<void> {
        auto listener = TcpListener::bind(any_port());
        auto accepts = [](TcpListener& it) -> Task<Result<TcpStream>> {
          co_return co_await it.accept().as_result();
        };
        auto waiting = spawn(accepts(listener));
        co_await sleep(1ms);
        const File client = dial(listener.local_address());
        Result<TcpStream> stream = co_await timeout(5s, waiting);
        REQUIRE(stream.has_value());
        co_await stream->write_all("hi");
        const std::string got = co_await answer(client);
        CHECK(got == "hi");
        system.fail(Call::ACCEPT, 0, EINVAL);
        stream = co_await accepts(listener);
        CHECK(stream.error() == std::errc::invalid_argument);
        waiting = spawn(accepts(listener));
        co_await sleep(1ms);
        listener.close();
        stream = co_await timeout(5s, waiting);
        CHECK(stream.error() == std::errc::operation_canceled);
        stream = co_await accepts(listener);
        CHECK(stream.error() == std::errc::bad_file_descriptor);
      },
      &system);
}

TEST_CASE("a port in use is an error that names the address") {
  const auto listener = TcpListener::bind(any_port());
  const Address taken = listener.local_address();
  std::error_code code;
  std::string message;
  try {
    TcpListener::bind(taken);
  } catch (const std::system_error& error) {
    code = error.code();
    message = error.what();
  }
  CHECK(code == std::errc::address_in_use);
  CHECK_THAT(message, Catch::Matchers::StartsWith("listen on " + to_string(taken) + ": "));
}

TEST_CASE("an address that isn't ours is an error that names it, and leaves no descriptor") {
  const int before = open_descriptors();
  CHECK_THAT(thrown<std::system_error>([] { TcpListener::bind(Address("192.0.2.1", 0)); }),
             Catch::Matchers::StartsWith("listen on 192.0.2.1:0: "));
  CHECK_THROWS_AS(TcpListener::bind(Address()), std::system_error);
  CHECK(open_descriptors() <= before);
}

TEST_CASE("two listeners share a port when both ask for it") {
  ListenOptions options;
  options.reuse_port = true;
  const auto first = TcpListener::bind(any_port(), options);
  const auto second = TcpListener::bind(first.local_address(), options);
  CHECK(second.local_address() == first.local_address());
}

TEST_CASE("a port can be listened on again at once after its server has closed connections") {
  run_here([]() -> Task<void> {
    Address address;
    {
      auto listener = TcpListener::bind(any_port());
      address = listener.local_address();
      auto ends = co_await gather(TcpStream::connect(address), accept_one(listener));
      std::get<1>(ends).close();  // it is the server's side that lingers
    }
    const auto again = TcpListener::bind(address);
    CHECK(again.local_address() == address);
  });
}

ON_SELECTORS("errors of single connections are passed over, and EINTR too") {
  for (const int error : {EINTR, ECONNABORTED, EPROTO, EPERM, ENETDOWN, EHOSTUNREACH, ENOPROTOOPT}) {
    INFO(error);
    FaultySystem system;
    run_on(
        selector,
        [&]() -> Task<void> {
          auto listener = TcpListener::bind(any_port());
          int served = 0;
          auto server = spawn(greet_all(listener, served));
          co_await yield();
          system.fail(Call::ACCEPT, 0, error, 3);
          const File client = dial(listener.local_address());
          const std::string got = co_await answer(client);
          CHECK(got == "hi");
          CHECK(served == 1);
          server.cancel();
        },
        &system);
  }
}

ON_SELECTORS("an error that concerns the listener itself comes out of accept") {
  FaultySystem system;
  run_on(
      selector,
      [&]() -> Task<void> {
        auto listener = TcpListener::bind(any_port());
        system.fail(Call::ACCEPT, 0, EINVAL);
        std::string message;
        const std::error_code code = co_await error_of(accept_one(listener), &message);
        CHECK(code == std::errc::invalid_argument);
        CHECK_THAT(message, Catch::Matchers::StartsWith("accept on fd "));
      },
      &system);
}

ON_SELECTORS("out of memory, accepting pauses without spinning and goes on") {
  for (const int error : {ENOBUFS, ENOMEM}) {
    for (const bool before : {true, false}) {
      FaultySystem system;
      run_on(
          selector,
          [&]() -> Task<void> {
            auto listener = TcpListener::bind(any_port());
            int served = 0;
            if (before) system.fail(Call::ACCEPT, 0, error, 1);
            auto server = spawn(greet_all(listener, served));
            co_await yield();
            if (!before) system.fail(Call::ACCEPT, 0, error, 1);
            const int calls = system.made(Call::ACCEPT);
            const auto began = std::chrono::steady_clock::now();
            const File client = dial(listener.local_address());
            const std::string got = co_await answer(client);
            CHECK(got == "hi");
            CHECK(std::chrono::steady_clock::now() - began >= 30ms);
            CHECK(system.made(Call::ACCEPT) - calls <= 6);
            server.cancel();
          },
          &system);
    }
  }
}

ON_SELECTORS("while accepting pauses it can be cancelled, closed, and waited for by others") {
  FaultySystem system;
  run_on(
      selector,
      [&]() -> Task<void> {
        for (int way = 0; way < 3; ++way) {
          auto listener = TcpListener::bind(any_port());
          system.fail(Call::ACCEPT, 0, ENOMEM, 1);
          auto paused = spawn(accept_one(listener));
          co_await yield();
          auto second = spawn(accept_one(listener));
          co_await yield();
          const File client = dial(listener.local_address());
          if (way == 0) {
            paused.cancel();
            const TcpStream stream = co_await timeout(5s, second);
            CHECK(paused.cancelled());
          } else if (way == 1) {
            listener.close();
            for (auto* const each : {&paused, &second}) {
              std::error_code code;
              try {
                co_await timeout(5s, *each);
              } catch (const std::system_error& error) {
                code = error.code();
              }
              CHECK(code == std::errc::operation_canceled);
            }
          } else {
            const TcpStream stream = co_await timeout(5s, paused);
            CHECK_FALSE(second.done());
            second.cancel();
            co_await yield();
            co_await yield();
          }
        }
        system.fault = nullptr;
      },
      &system);
}

ON_SELECTORS("peers that can't be accepted don't keep the loop from all else, however fast they come") {
  FaultySystem system;
  int accepts = 0;
  int turns_of_others = 0;
  // There is always one more that is gone already, until the other task ends that.
  system.fault = [&](Call call, int) {
    if (call != Call::ACCEPT || turns_of_others >= 20) return 0;
    return ++accepts < 10'000 ? -ECONNABORTED : -EINVAL;
  };
  run_on(
      selector,
      [&]() -> Task<void> {
        auto listener = TcpListener::bind(any_port());
        const File client = dial(listener.local_address());
        auto accepting = spawn(accept_one(listener));
        for (; turns_of_others < 20; ++turns_of_others) co_await yield();
        const TcpStream stream = co_await timeout(5s, accepting);
        CHECK(stream.is_open());
        CHECK(accepts < 20 * 20 + 100);
      },
      &system);
}

TEST_CASE("a listener may be closed while its loop doesn't run, though accepting pauses") {
  FaultySystem system;
  EventLoop loop(loop_options("default", &system));
  std::optional<TcpListener> listener;
  JoinHandle<TcpStream> accepting;
  loop.call_soon([&] {
    listener.emplace(TcpListener::bind(any_port()));
    system.fail(Call::ACCEPT, 0, ENOMEM, 1000);
    accepting = spawn(accept_one(*listener));
  });
  for (int i = 0; i < 3; ++i) loop.run_once(Duration(0));
  listener->close();
  for (int i = 0; i < 3; ++i) loop.run_once(Duration(0));
  CHECK(accepting.done());
  CHECK_THROWS_AS(accepting.result(), std::system_error);
}

namespace {

// In a child process, because it takes every descriptor there is. Returns 0 when all was well.
int starve(std::string_view selector) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1;
  limit.rlim_cur = 40;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return 2;
  int code = 0;
  struct Counting : KernelSystem {
    int accepts = 0;
    int accept(int fd, sockaddr* address, unsigned* length) noexcept override {
      ++accepts;
      return KernelSystem::accept(fd, address, length);
    }
  } system;
  run_on(
      selector,
      [&]() -> Task<void> {
        auto listener = TcpListener::bind(any_port());
        const File first = dial(listener.local_address());
        const File refused = dial(listener.local_address());
        const File late(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        std::vector<File> hoard;
        for (;;) {
          const int fd = ::dup(0);
          if (fd < 0) break;
          hoard.push_back(File(fd));
        }
        int served = 0;
        auto server = spawn(greet_all(listener, served));
        // Nothing is left, so both are refused, and see it.
        const std::string one = co_await answer(first);
        const std::string two = co_await answer(refused);
        if ((one != "end" && one != "reset") || (two != "end" && two != "reset")) code = 3;
        const int accepts = system.accepts;
        co_await sleep(120ms);
        if (system.accepts - accepts > 20) code = 4;  // it spins
        if (served != 0) code = 5;
        // Descriptors come back, and so does the service.
        hoard.resize(hoard.size() - 2);
        const Address address = listener.local_address();
        must(::connect(late.fileno(), address.data(), address.length()));
        const std::string three = co_await answer(late);
        if (three != "hi" || served != 1) code = 6;
        server.cancel();
      },
      &system);
  return code;
}

}  // namespace

ON_SELECTORS("out of descriptors, peers are refused, nothing spins, and service resumes") {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    int code = 99;
    try {
      code = starve(selector);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
    } catch (...) {
    }
    ::_exit(code);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
