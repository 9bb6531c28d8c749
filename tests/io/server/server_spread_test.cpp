// ServerSpread: connections that are accepted on one thread and served on another.
// SPDX-License-Identifier: MIT
#include "../../../io/server/server_spread.hpp"
#include "../../../selector/mechanisms/make_selector.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../../../io/net/unix.hpp"
#include "../../../io/server/server.hpp"
#include "../../../runtime/loop/event_loop.hpp"
#include "../../../runtime/threads/remote_task.hpp"
#include "../../../runtime/threads/run_on_threads.hpp"
#include "../../support/turns.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

// A client of the kernel's blocking calls.
class Client {
 public:
  explicit Client(const Address& address) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const int result = ::connect(socket_.fileno(), address.data(), address.length());
    if (result != 0) throw std::runtime_error("connect failed");
  }
  /// Which loop serves it: the handler says so first. -1 at the end of the connection.
  int loop() {
    if (loop_ < 0) {
      char digit = 0;
      // Linux forgets a connection whose handshake ends while its listener is closed, without a word: what it
      // is sent is answered by a reset.
      if (!hears() && ::send(socket_.fileno(), "x", 1, MSG_NOSIGNAL) == 1 && !hears())
        throw std::logic_error("a connection that nobody serves");
      if (::recv(socket_.fileno(), &digit, 1, 0) == 1) loop_ = digit - '0';
    }
    return loop_;
  }
  bool ends() {
    char byte = 0;
    return ::recv(socket_.fileno(), &byte, 1, 0) <= 0;
  }
  bool answers() {
    char byte = 'x';
    if (::send(socket_.fileno(), &byte, 1, MSG_NOSIGNAL) != 1) return false;
    return ::recv(socket_.fileno(), &byte, 1, 0) == 1 && byte == 'x';
  }

 private:
  // Within two seconds.
  bool hears() const {
    pollfd socket{socket_.fileno(), POLLIN, 0};
    int result = -1;
    do result = ::poll(&socket, 1, 2000);
    while (result < 0 && errno == EINTR);
    return result > 0;
  }

  File socket_;
  int loop_ = -1;
};

// Servers on several threads, which share connections and say on which one each is; until stop().
class Service {
 public:
  explicit Service(std::size_t threads, ServerOptions options = {}, bool kernel_spreads = true)
      : threads_(threads), handles_(threads), counters_(threads) {
    options.spread = &spread_;
    if (kernel_spreads) {
      listeners_ = TcpListener::bind_shared(any_port(), threads);
    } else {  // all come in at the first
      for (std::size_t index = 0; index < threads; ++index)
        listeners_.push_back(TcpListener::bind(any_port()));
    }
    address_ = listeners_.front().local_address();
    thread_ = std::thread([this, options] {
      run_on_threads(threads_,
                     [this, options](std::size_t index) -> Task<void> { co_await serve(index, options); });
    });
    while (serving_ < threads_) std::this_thread::yield();
  }
  ~Service() { stop(); }

  const Address& address() const { return address_; }
  std::vector<ServerCounters> stop() {
    if (thread_.joinable()) {
      for (std::size_t index = 0; index < threads_; ++index) stop(index);
      thread_.join();
    }
    return counters_;
  }
  void stop(std::size_t index) { handles_[index].cancel(); }
  std::size_t ended() const { return ended_; }

 private:
  Task<void> serve(std::size_t index, ServerOptions options) {
    Server server(options);
    server.add(std::move(listeners_[index]), [index](TcpStream& client) -> Task<void> {
      const char digit = static_cast<char>('0' + index);
      co_await client.write_all({&digit, 1});
      char buffer[100];
      while (const std::size_t size = co_await client.read_some(std::span(buffer)))
        co_await client.write_all({buffer, size});
    });
    handles_[index] = RemoteHandle(*detail::current.task);
    auto begun = [this, &server]() -> Task<void> {
      while (!server.is_serving()) co_await yield();
      ++serving_;
    };
    spawn(begun());
    try {
      co_await server.serve();
    } catch (const Cancelled&) {
    }
    counters_[index] = server.counters();
    ++ended_;
  }

  ServerSpread spread_;
  std::size_t threads_;
  std::vector<TcpListener> listeners_;
  std::vector<RemoteHandle> handles_;
  std::vector<ServerCounters> counters_;
  Address address_;
  std::atomic<std::size_t> serving_ = 0;
  std::atomic<std::size_t> ended_ = 0;
  std::thread thread_;
};

std::vector<std::size_t> connections_by_loop(std::vector<Client>& clients, std::size_t loops) {
  std::vector<std::size_t> counts(loops);
  for (Client& client : clients) {
    REQUIRE(client.loop() >= 0);
    ++counts[static_cast<std::size_t>(client.loop())];
  }
  return counts;
}

// The busiest has at most 1.1 times the mean.
bool is_even(const std::vector<std::size_t>& counts) {
  const std::size_t all = std::accumulate(counts.begin(), counts.end(), std::size_t{0});
  return 10 * *std::max_element(counts.begin(), counts.end()) * counts.size() <= 11 * all;
}

}  // namespace

TEST_CASE(
    "of 1,000 connections the busiest of two and of four loops has at most a tenth more than the mean") {
  if (chosen_selector("default") == "select") return;  // which takes no descriptor above 1,023
  for (const std::size_t loops : {2U, 4U}) {
    CAPTURE(loops);
    Service service(loops);
    std::vector<Client> clients;
    clients.reserve(1000);
    for (int n = 0; n < 1000; ++n) clients.emplace_back(service.address());
    CHECK(is_even(connections_by_loop(clients, loops)));
    for (Client& client : clients) REQUIRE(client.answers());
    const auto counters = service.stop();
    std::uint64_t accepted = 0;
    for (const ServerCounters& each : counters) accepted += each.accepted;
    CHECK(accepted == 1000);
  }
}

TEST_CASE("connections that live for long and end unevenly are spread by how many there are now") {
  constexpr std::size_t loops = 4;
  Service service(loops);
  std::vector<Client> clients;
  for (int n = 0; n < 400; ++n) clients.emplace_back(service.address());
  REQUIRE(is_even(connections_by_loop(clients, loops)));
  // All that the first two loops serve go, and as many come again.
  std::erase_if(clients, [](Client& client) { return client.loop() < 2; });
  REQUIRE(clients.size() < 230);
  for (Client& client : clients) REQUIRE(client.answers());
  // Their ends are known to the loops only when these have seen them.
  std::size_t late = 0;
  while (clients.size() < 400) {
    clients.emplace_back(service.address());
    if (clients.back().loop() >= 2 && ++late > 40) break;
  }
  REQUIRE(clients.size() == 400);
  CHECK(is_even(connections_by_loop(clients, loops)));
}

TEST_CASE("all connections may come in at one listener: they are handed over to the others") {
  constexpr std::size_t loops = 3;
  Service service(loops, {}, false);
  std::vector<Client> clients;
  for (int n = 0; n < 90; ++n) clients.emplace_back(service.address());
  const auto counts = connections_by_loop(clients, loops);
  CHECK(*std::max_element(counts.begin(), counts.end()) - *std::min_element(counts.begin(), counts.end()) <=
        1);
  clients.clear();
  const auto counters = service.stop();
  CHECK(counters[0].handed_over == counts[1] + counts[2]);
  for (std::size_t index = 0; index < loops; ++index) CHECK(counters[index].accepted == counts[index]);
}

TEST_CASE("a server has no more connections than it allows, whoever has accepted them") {
  constexpr std::size_t loops = 2;
  ServerOptions options;
  options.max_connections = 5;
  Service service(loops, options, false);
  std::vector<Client> clients;
  for (int n = 0; n < 10; ++n) clients.emplace_back(service.address());
  CHECK(connections_by_loop(clients, loops) == std::vector<std::size_t>{5, 5});
  // One more waits, until another has gone.
  Client waits(service.address());
  clients.erase(std::find_if(clients.begin(), clients.end(), [](Client& each) { return each.loop() == 0; }));
  CHECK(waits.loop() == 0);
  CHECK(waits.answers());
}

TEST_CASE("what a handler of a connection that was handed over throws ends that one, on its loop") {
  ServerSpread spread;
  struct Reports {
    std::mutex mutex;
    std::vector<std::string> messages;
  } reports;
  std::array<ServerCounters, 2> counters;
  std::atomic<int> serving = 0;
  std::array<RemoteHandle, 2> tasks;
  Address address;
  std::thread thread([&] {
    run_on_threads(2, [&](std::size_t index) -> Task<void> {
      EventLoop::running().set_report_handler(
          [](EventLoop&, const Report& report, void* data) {
            auto& all = *static_cast<Reports*>(data);
            const std::lock_guard lock(all.mutex);
            all.messages.emplace_back(report.message);
          },
          &reports);
      ServerOptions options;
      options.spread = &spread;
      Server server(options);
      const Address bound = server.listen(any_port(), [index](TcpStream& client) -> Task<void> {
        if (index == 1) throw std::runtime_error("not here");
        char byte = 0;
        while (co_await client.read_some(std::span(&byte, 1)) != 0) {
        }
      });
      if (index == 0) address = bound;
      tasks[index] = RemoteHandle(*detail::current.task);
      auto begun = [&server, &serving]() -> Task<void> {
        while (!server.is_serving()) co_await yield();
        ++serving;
      };
      spawn(begun());
      try {
        co_await server.serve();
      } catch (const Cancelled&) {
      }
      counters[index] = server.counters();
    });
  });
  while (serving < 2) std::this_thread::yield();
  std::vector<Client> clients;
  clients.emplace_back(address);
  clients.emplace_back(address);
  CHECK(clients[1].loop() == -1);  // closed
  for (const RemoteHandle& task : tasks) task.cancel();
  thread.join();
  CHECK(counters[1].failed == 1);
  CHECK(counters[0].failed == 0);
  REQUIRE(reports.messages.size() == 1);
  CHECK(reports.messages[0].starts_with("the handler of a connection failed"));
}

TEST_CASE(
    "a server that was stopped is handed nothing more, and what it was handed before is served to its end") {
  constexpr std::size_t loops = 3;
  ServerOptions options;
  options.grace = std::nullopt;
  Service service(loops, options, false);
  std::vector<Client> clients;
  for (int n = 0; n < 30; ++n) clients.emplace_back(service.address());
  REQUIRE(is_even(connections_by_loop(clients, loops)));
  service.stop(2);
  while (true) {  // until it has left
    Client client(service.address());
    std::vector<Client> more;
    for (int n = 0; n < 6; ++n) more.emplace_back(service.address());
    if (std::none_of(more.begin(), more.end(), [](Client& each) { return each.loop() == 2; })) break;
  }
  for (Client& client : clients) CHECK(client.answers());
  std::vector<Client> later;
  for (int n = 0; n < 40; ++n) later.emplace_back(service.address());
  const auto counts = connections_by_loop(later, loops);
  CHECK(counts[2] == 0);
  CHECK(counts[0] + counts[1] == 40);
  CHECK(service.ended() == 0);
  clients.clear();  // the last of those that the third serves
  while (service.ended() == 0) std::this_thread::yield();
  later.clear();
}

TEST_CASE("a connection that was handed over is cancelled at the deadline of who serves it") {
  ServerOptions options;
  options.lifetime = 20ms;
  Service service(2, options, false);
  std::vector<Client> clients;
  for (int n = 0; n < 4; ++n) clients.emplace_back(service.address());
  for (Client& client : clients) {
    REQUIRE(client.loop() >= 0);
    CHECK(client.ends());
  }
  const auto counters = service.stop();
  CHECK(counters[0].timed_out + counters[1].timed_out == 4);
  CHECK(counters[1].timed_out == counters[1].accepted);
  CHECK(counters[0].handed_over == counters[1].accepted);
  CHECK(counters[0].handed_over >= 1);
}

#ifndef __SANITIZE_THREAD__  // refuses to fork where threads are
TEST_CASE("in the child of a fork nothing is handed over, and the parent's connections are untouched") {
  ServerSpread spread;
  std::array<RemoteHandle, 2> tasks;
  std::atomic<int> serving = 0;
  std::atomic<int> in_parent = 0;
  int status = -1;
  run_on_threads(2, [&](std::size_t index) -> Task<void> {
    ServerOptions options;
    options.spread = &spread;
    Server server(options);
    const Address address = server.listen(any_port(), [&in_parent, index](TcpStream& client) -> Task<void> {
      in_parent += index == 1;
      const char digit = static_cast<char>('0' + index);
      co_await client.write_all({&digit, 1});
      char byte = 0;
      co_await client.read_some(std::span(&byte, 1));
    });
    tasks[index] = RemoteHandle(*detail::current.task);
    auto service = spawn(server.serve());
    while (!server.is_serving()) co_await yield();
    ++serving;
    if (index == 0) {
      while (serving < 2) co_await sleep(1ms);
      const ::pid_t child = ::fork();
      if (child == 0) {
        ::alarm(10);
        EventLoop::running().set_selector("default");
        int right = 0;
        std::vector<TcpStream> clients;
        for (int n = 0; n < 6; ++n) {
          clients.push_back(co_await TcpStream::connect(address));
          char digit = 0;
          co_await clients.back().read_some(std::span(&digit, 1));
          right += digit == '0';
        }
        clients.clear();
        co_await server.close(std::nullopt);
        ::_exit(right);
      }
      ::waitpid(child, &status, 0);
      tasks[1].cancel();
      server.stop(0ms);
    }
    try {
      co_await service;
    } catch (const Cancelled&) {
    }
  });
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 6);
  CHECK(in_parent == 0);
}
#endif

TEST_CASE("threads that come and go lose no connection and leak none") {
  const int before = ::dup(0);
  ::close(before);
  for (unsigned seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    Service service(3, {}, false);
    std::atomic<bool> stop = false;
    std::atomic<std::size_t> answered = 0;
    std::vector<std::thread> peers;
    for (int peer = 0; peer < 2; ++peer)
      peers.emplace_back([&] {
        while (!stop) try {
            Client client(service.address());
            // Whoever is served at all gets its answers, or sees the end.
            if (client.loop() >= 0 && client.answers()) ++answered;
          } catch (const std::runtime_error&) {
            return;  // nobody listens any more
          }
      });
    const std::size_t enough = random() % 200;
    while (answered < enough) std::this_thread::yield();
    service.stop(1 + random() % 2);
    const std::size_t more = answered + random() % 100;
    while (answered < more) std::this_thread::yield();
    service.stop();
    stop = true;
    for (std::thread& peer : peers) peer.join();
  }
  const int after = ::dup(0);
  ::close(after);
  CHECK(after == before);
}

TEST_CASE("servers of two kinds of listeners hand each connection to the handler of its kind") {
  ServerSpread spread;
  std::array<RemoteHandle, 2> tasks;
  std::atomic<int> serving = 0;
  std::array<Address, 2> addresses;
  std::thread thread([&] {
    run_on_threads(2, [&](std::size_t index) -> Task<void> {
      ServerOptions options;
      options.spread = &spread;
      Server server(options);
      const auto say = [](char letter) {
        return [letter](TcpStream client) -> Task<void> {
          co_await client.write_all({&letter, 1});
          char byte = 0;
          co_await client.read_some(std::span(&byte, 1));
        };
      };
      const Address first = server.listen(any_port(), say('1'));
      const Address second = server.listen(any_port(), say('2'));
      if (index == 0) addresses = {first, second};
      tasks[index] = RemoteHandle(*detail::current.task);
      auto begun = [&server, &serving]() -> Task<void> {
        while (!server.is_serving()) co_await yield();
        ++serving;
      };
      spawn(begun());
      try {
        co_await server.serve();
      } catch (const Cancelled&) {
      }
    });
  });
  while (serving < 2) std::this_thread::yield();
  std::vector<Client> clients;
  for (int n = 0; n < 20; ++n) {
    clients.emplace_back(n % 2 == 0 ? addresses[0] : addresses[1]);
    CHECK(clients.back().loop() == 1 + n % 2);
  }
  for (const RemoteHandle& task : tasks) task.cancel();
  thread.join();
}
