// A server under load: thousands of connections at random, and more peers than there are descriptors.
// SPDX-License-Identifier: MIT
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "../../../io/server/server.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

Task<void> echo(TcpStream& client) {
  std::array<char, 2048> buffer;
  for (;;) {
    co_await client.readable();
    const std::size_t size = co_await client.read_some(std::span(buffer));
    if (size == 0) break;
    co_await client.write_all({buffer.data(), size});
  }
}

// Resident memory of this process, in KiB.
long resident() {
  long pages = 0;
  if (std::FILE* const file = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(file, "%*s %ld", &pages) != 1) pages = 0;
    std::fclose(file);
  }
  return pages * (::sysconf(_SC_PAGESIZE) / 1024);
}

struct Load {
  std::size_t connections;
  Duration time;           // at least; the clients go on until there is enough of each, too
  Duration longest_pause;  // between two messages of a client
  std::uint64_t messages;
  std::uint64_t accidents;  // resets, and stalls
};

struct Tally {
  std::size_t connected = 0;
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;
  std::uint64_t resets = 0;
  std::uint64_t stalls = 0;
  std::uint64_t wrong = 0;

  // Whether that part of the load is done, or nothing more is to be learned. (A slow machine takes longer.)
  bool has(const Load& load, std::uint64_t percent) const {
    if (wrong != 0) return true;
    const std::uint64_t accidents = std::min(resets, stalls);
    return messages * 100 >= load.messages * percent && accidents * 100 >= load.accidents * percent;
  }
};

// One client after another in the same place: each message is compared, one in a hundred is answered by a
// reset of the connection, and before one in a hundred answers is read everything stops for a while.
Task<void> client(Address address, const Load& load, TimePoint until, unsigned seed, const std::string& bytes,
                  Tally& tally) {
  const auto goes_on = [&] { return EventLoop::running().time() < until || !tally.has(load, 100); };
  std::minstd_rand random(seed + 1);
  const auto below = [&random](std::size_t most) { return std::size_t{random()} % most; };
  std::array<char, 2048> buffer;
  while (goes_on()) {
    TcpStream stream = co_await TcpStream::connect(address);
    ++tally.connected;
    bool reset = false;
    while (!reset && goes_on()) {
      co_await sleep(
          Duration(static_cast<std::int64_t>(below(static_cast<std::size_t>(load.longest_pause.count())))));
      const std::string_view message =
          std::string_view(bytes).substr(below(bytes.size() - buffer.size()), 1 + below(buffer.size()));
      co_await stream.write_all(message);
      if (below(100) == 0) {
        ++tally.stalls;
        co_await sleep(load.longest_pause);
      }
      for (std::size_t got = 0; got < message.size();) {
        const std::size_t size = co_await stream.read_some(std::span(buffer.data(), message.size() - got));
        if (size == 0 || message.substr(got, size) != std::string_view(buffer.data(), size)) {
          ++tally.wrong;
          co_return;
        }
        got += size;
      }
      ++tally.messages;
      tally.bytes += message.size();
      reset = below(100) == 0;
    }
    if (reset) {
      ++tally.resets;
      stream.abort();
    }
  }
}

// Returns what was counted; CHECKs that nothing grew or was left.
Tally put_load(std::string_view selector, const Load& load) {
  const std::string bytes = pattern(100'000);
  const int before = open_descriptors(20'000);
  Tally tally;
  run_on(selector, [&]() -> Task<void> {
    Server server;
    const Address address = server.listen(any_port(), echo);
    auto serving = spawn(server.serve());
    const TimePoint start = EventLoop::running().time();
    std::vector<JoinHandle<void>> clients;
    for (unsigned i = 0; i < load.connections; ++i)
      clients.push_back(spawn(client(address, load, start + load.time, i, bytes, tally)));
    co_await sleep_until(start + load.time / 3);
    while (!tally.has(load, 33)) co_await sleep(1ms);
    const long warm = resident();
    co_await sleep_until(start + load.time - load.time / 20);
    while (!tally.has(load, 95)) co_await sleep(1ms);
    const long late = resident();
    CHECK(server.counters().active <= load.connections + load.connections / 10 + 1);
    INFO("memory: " << warm << " KiB when warm, " << late << " KiB at the end");
    CHECK(late < warm + warm / 50 + 1024);
    for (auto& each : clients) co_await each;
    while (server.counters().active > 0) co_await sleep(1ms);
    CHECK(server.counters().accepted == tally.connected);
    CHECK(server.counters().failed <= tally.resets);
    co_await server.close();
    co_await serving;
  });
  CHECK(tally.wrong == 0);
  CHECK(open_descriptors(20'000) == before);
  return tally;
}

}  // namespace

ON_SELECTORS("clients that come, go, stall and reset at random get every byte back") {
  const Tally tally = put_load(selector, {150, 1500ms, 20ms, 1'001, 6});
  CHECK(tally.messages > 1'000);
  CHECK(tally.resets > 5);
  CHECK(tally.stalls > 5);
}

TEST_CASE("nine thousand connections for a minute: every byte comes back, and memory stays flat", "[soak]") {
  if (raise_file_limit() < 18'100) {
    WARN("skipped: the hard limit of open files is below 18,100");
    return;
  }
  const Tally tally = put_load("default", {9'000, 60s, 2s, 200'001, 1'001});
  std::printf("%zu connections, %llu messages, %llu bytes, %llu resets, %llu stalls\n", tally.connected,
              static_cast<unsigned long long>(tally.messages), static_cast<unsigned long long>(tally.bytes),
              static_cast<unsigned long long>(tally.resets), static_cast<unsigned long long>(tally.stalls));
  CHECK(tally.messages > 200'000);
  CHECK(tally.resets > 1'000);
  CHECK(tally.stalls > 1'000);
}

namespace {

// In a child process: a server that may have no more than `limit` descriptors. Tells its port on `out`, and
// at each byte on `in` how many milliseconds of CPU it has used.
int serve_with_few_descriptors(std::string_view selector, rlim_t limit, const File& in, const File& out) {
  rlimit few{};
  if (::getrlimit(RLIMIT_NOFILE, &few) != 0) return 1;
  few.rlim_cur = limit;
  if (::setrlimit(RLIMIT_NOFILE, &few) != 0) return 2;
  run_on(selector, [&]() -> Task<void> {
    Server server;
    const Address address = server.listen(any_port(), echo);
    auto serving = spawn(server.serve());
    out.write(std::to_string(address.port()) + "\n");
    for (;;) {
      co_await readable(in.fileno());
      char byte;
      if (::read(in.fileno(), &byte, 1) <= 0) break;
      rusage usage{};
      ::getrusage(RUSAGE_SELF, &usage);
      const long ms = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
                      (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
      out.write(std::to_string(ms) + "\n");
    }
    co_await server.close();
    co_await serving;
  });
  return 0;
}

long number_from(const File& pipe) {
  std::string line;
  for (char byte = 0; byte != '\n';) {
    if (::read(pipe.fileno(), &byte, 1) != 1) throw std::runtime_error("the server has gone");
    line += byte;
  }
  return std::stol(line);
}

File dial(std::uint16_t port) {
  const Address address("127.0.0.1", port);
  File client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval patience{5, 0};
  must(::setsockopt(client.fileno(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience));
  must(::connect(client.fileno(), address.data(), address.length()));
  return client;
}

// Whether what is sent comes back.
bool is_served(const File& client) {
  if (::send(client.fileno(), "hi", 2, MSG_NOSIGNAL) != 2) return false;
  char answer[2];
  return ::recv(client.fileno(), answer, 2, MSG_WAITALL) == 2;
}

}  // namespace

ON_SELECTORS("out of descriptors a server idles though peers come on and on, and then serves again") {
  Pair to_server = Pair::pipe();
  Pair from_server = Pair::pipe();
  for (const File* const file : {&to_server.a, &to_server.b, &from_server.a, &from_server.b})
    must(::fcntl(file->fileno(), F_SETFL, 0));
  const pid_t child = must(::fork());
  if (child == 0) {
    to_server.b.close();
    from_server.a.close();
    int code = 3;
    try {
      code = serve_with_few_descriptors(selector, 64, to_server.a, from_server.b);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
    }
    ::_exit(code);
  }
  to_server.a.close();
  from_server.b.close();
  const auto port = static_cast<std::uint16_t>(number_from(from_server.a));
  std::vector<File> served;
  for (int refused = 0; refused < 3;) {
    File client = dial(port);
    if (is_served(client))
      served.push_back(std::move(client));
    else
      ++refused;
    REQUIRE(served.size() < 64);
  }
  CHECK(served.size() > 40);
  to_server.b.write("?");
  const long before = number_from(from_server.a);
  constexpr int pressure_ms = 1'000;
  for (int i = 0; i < pressure_ms / 10; ++i) {
    const File client = dial(port);
    ::usleep(10'000);
  }
  to_server.b.write("?");
  const long used = number_from(from_server.a) - before;
  INFO(used << " ms of CPU in " << pressure_ms << " ms");
  CHECK(used < pressure_ms / 20);
  for (const File& client : served) CHECK(is_served(client));
  served.resize(served.size() / 2);
  bool again = false;
  for (int i = 0; i < 50 && !again; ++i) again = is_served(dial(port));
  CHECK(again);
  served.clear();
  to_server.b.close();
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}
