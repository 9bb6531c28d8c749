// Unix sockets, UDP and pipes with programs that are not ours: socat and nc, as clients and as servers.
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cstdio>
#include <string>

#include "../../../io/file/pipe.hpp"
#include "../../../io/net/udp.hpp"
#include "../../../io/net/unix.hpp"
#include "../../../io/process/process.hpp"
#include "../../../runtime/threads/to_thread.hpp"
#include "../loopback.hpp"
#include "../temporary.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

// What a shell command prints.
std::string output_of(const std::string& command) {
  std::string out;
  std::FILE* const pipe = ::popen(("timeout 20 sh -c '" + command + "' 2>&1").c_str(), "r");
  if (pipe == nullptr) return "no shell";
  char buffer[65536];
  while (const std::size_t size = std::fread(buffer, 1, sizeof buffer, pipe)) out.append(buffer, size);
  ::pclose(pipe);
  return out;
}

bool have(const std::string& program) {
  if (!output_of("command -v " + program).empty()) return true;
  WARN("no " << program << " here");
  return false;
}

Task<std::string> shell(std::string command) {
  auto work = to_thread(output_of, std::move(command));
  co_return co_await work;
}

Task<void> echo_one(UnixListener& listener) {
  UnixStream stream = co_await listener.accept();
  std::string buffer(10'000, '\0');
  while (const std::size_t size = co_await stream.read_some(std::span(buffer)))
    co_await stream.write_all(std::string_view(buffer).substr(0, size));
}

// A server in the background of the test, ended with it.
class Program {
 public:
  explicit Program(const std::string& command)
      : pipe_(::popen(("exec timeout 60 " + command).c_str(), "w")) {}
  Program(const Program&) = delete;
  ~Program() {
    if (pipe_ != nullptr) ::pclose(pipe_);
  }

 private:
  std::FILE* pipe_;
};

Task<UnixStream> connect_when_there(UnixAddress address) {
  for (;;) {
    Result<UnixStream> stream = co_await UnixStream::connect(address).as_result();
    if (stream) co_return std::move(*stream);
    co_await sleep(5ms);
  }
}

}  // namespace

TEST_CASE("socat and nc talk to a Unix listener, by path and by abstract name") {
  if (!have("socat") || !have("nc")) return;
  const TemporaryDirectory directory;
  run_here([&]() -> Task<void> {
    const std::string path = directory.path("s");
    auto listener = UnixListener::bind(UnixAddress(path));
    auto abstract = UnixListener::bind(UnixAddress::abstract(directory.name()));
    auto server = spawn(echo_one(listener));
    std::string got =
        co_await timeout(30s, shell("seq 1 20000 | socat -t10 - UNIX-CONNECT:" + path + " | tail -1"));
    CHECK(got == "20000\n");
    co_await timeout(5s, server);
    server = spawn(echo_one(listener));
    got = co_await timeout(30s, shell("seq 1 20000 | nc -N -U " + path + " | tail -1"));
    CHECK(got == "20000\n");
    co_await timeout(5s, server);
    server = spawn(echo_one(abstract));
    got = co_await timeout(30s, shell("echo hello | socat -t10 - ABSTRACT-CONNECT:" + directory.name()));
    CHECK(got == "hello\n");
    co_await timeout(5s, server);
  });
}

TEST_CASE("a Unix stream talks to a server of socat's") {
  if (!have("socat")) return;
  const TemporaryDirectory directory;
  const Program server("socat UNIX-LISTEN:" + directory.path("s") + " EXEC:cat");
  run_here([&]() -> Task<void> {
    UnixStream stream = co_await timeout(20s, connect_when_there(UnixAddress(directory.path("s"))));
    CHECK(stream.peer_credentials().uid == ::getuid());
    const std::string bytes = pattern(300'000);
    auto sends = [](UnixStream& it, const std::string& text) -> Task<void> {
      co_await it.write_all(text);
      it.shutdown(Shutdown::WRITE);
    };
    auto results = co_await timeout(20s, gather(sends(stream, bytes), read_all(stream)));
    const bool same = std::get<1>(results) == bytes;
    CHECK(same);
  });
}

TEST_CASE("socat sends Unix datagrams, and receives UDP") {
  if (!have("socat")) return;
  const TemporaryDirectory directory;
  run_here([&]() -> Task<void> {
    auto datagrams = UnixDatagram::bind(UnixAddress(directory.path("d")));
    std::string got =
        co_await timeout(30s, shell("echo datagram | socat - UNIX-SENDTO:" + directory.path("d")));
    CHECK(got.empty());
    std::string buffer(100, '\0');
    const auto received = co_await timeout(5s, datagrams.recv_from(std::span(buffer)));
    CHECK(buffer.substr(0, received.size) == "datagram\n");
    // A port that was free a moment ago.
    std::uint16_t port = 0;
    {
      const auto probe = UdpSocket::bind(any_port());
      port = probe.local_address().port();
    }
    auto receives = spawn(shell("socat -u UDP4-RECVFROM:" + std::to_string(port) + ",bind=127.0.0.1 -"));
    auto socket = UdpSocket::connect(Address("127.0.0.1", port));
    while (!receives.done()) {
      // Until socat is there, nobody is; that is told, and no harm.
      static_cast<void>(co_await socket.send("over UDP\n").as_result());
      co_await sleep(20ms);
    }
    got = receives.result();
    CHECK(got == "over UDP\n");
  });
}

TEST_CASE("socat and a program of ours talk through pipes, named ones and those of a process") {
  if (!have("socat")) return;
  const TemporaryDirectory directory;
  const std::string in = directory.path("in"), out = directory.path("out");
  REQUIRE(::mkfifo(in.c_str(), 0600) == 0);
  REQUIRE(::mkfifo(out.c_str(), 0600) == 0);
  run_here([&]() -> Task<void> {
    // Opening one waits for the other end.
    auto open = [](const std::string& path, int flags) { return ::open(path.c_str(), flags | O_CLOEXEC); };
    auto sends = spawn(shell("seq 1 20000 | socat -u STDIN OPEN:" + in + ",wronly"));
    auto opening_in = to_thread(open, in, O_RDONLY);
    const int in_fd = co_await timeout(20s, opening_in);
    auto reader = connect_read_pipe(Fd(in_fd));
    const std::string got = co_await timeout(20s, read_all(reader));
    CHECK_THAT(got, Catch::Matchers::StartsWith("1\n2\n") && Catch::Matchers::EndsWith("\n20000\n"));
    std::string said = co_await timeout(20s, sends);
    CHECK(said.empty());

    auto receives = spawn(shell("socat -u OPEN:" + out + ",rdonly STDOUT | tail -1"));
    auto opening_out = to_thread(open, out, O_WRONLY);
    const int out_fd = co_await timeout(20s, opening_out);
    auto writer = connect_write_pipe(Fd(out_fd));
    co_await timeout(20s, writer.write_all(got));
    writer.close();
    said = co_await timeout(20s, receives);
    CHECK(said == "20000\n");

    const Command echo("socat", "-t10", "STDIO", "EXEC:cat,pipes");
    const auto result = co_await timeout(20s, run_process(echo, got));
    CHECK(result.output == got);
    CHECK(result.status.success());
  });
}
