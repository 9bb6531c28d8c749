// send_file and splice: whole files, parts of them, and everything in between.
// SPDX-License-Identifier: MIT
#include "../../../io/operation/file_transfer.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "../../../io/net/unix.hpp"
#include "../../support/cancel_everywhere.hpp"
#include "../../support/faulty_system.hpp"
#include "../loopback.hpp"
#include "../temporary.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

Fd open_file(const TemporaryDirectory& directory, const char* name) {
  return Fd(must(::open(directory.path(name).c_str(), O_RDONLY | O_CLOEXEC)));
}

template <class Stream>
Task<std::uint64_t> send_and_end(Stream& stream, const Fd& file, std::uint64_t offset, std::uint64_t count) {
  const std::uint64_t sent = co_await stream.send_file(file, offset, count);
  stream.shutdown(Shutdown::WRITE);
  co_return sent;
}

struct Pipe {
  Fd reader;
  Fd writer;
};

Pipe make_pipe() {
  int fds[2];
  must(::pipe2(fds, O_NONBLOCK | O_CLOEXEC));
  return Pipe{Fd(fds[0]), Fd(fds[1])};
}

// Everything from one stream to another through a pipe, as a proxy does it.
Task<void> into_pipe(TcpStream& from, Pipe& pipe) {
  // GCC 12 makes an illegal instruction of a while whose condition awaits and whose body is empty.
  for (std::size_t moved = 1; moved != 0;) moved = co_await splice(from.fd(), pipe.writer, 1 << 20);
  pipe.writer.close();
}
Task<void> out_of_pipe(Pipe& pipe, TcpStream& to) {
  for (std::size_t moved = 1; moved != 0;) moved = co_await splice(pipe.reader, to.fd(), 1 << 20);
  to.shutdown(Shutdown::WRITE);
}

Task<void> write_and_end(TcpStream& stream, std::string_view bytes) {
  co_await stream.write_all(bytes);
  stream.shutdown(Shutdown::WRITE);
}

Task<std::string> through_pipe(const std::string& bytes) {
  auto in = co_await connect_pair();
  auto out = co_await connect_pair();
  Pipe pipe = make_pipe();
  auto results = co_await gather(write_and_end(in.client, bytes), into_pipe(in.server, pipe),
                                 out_of_pipe(pipe, out.server), read_all(out.client));
  co_return std::get<3>(results);
}

}  // namespace

ON_SELECTORS("a file is sent whole, in part, or as far as it goes") {
  const TemporaryDirectory directory;
  const std::string bytes = pattern(5'000'003);
  directory.write("f", bytes);
  run_on(selector, [&]() -> Task<void> {
    const Fd file = open_file(directory, "f");
    struct Part {
      std::uint64_t offset, count, sent;
    };
    for (const Part& part : {Part{0, 5'000'003, 5'000'003}, Part{0, ~0ULL, 5'000'003}, Part{1'000'001, 3, 3},
                             Part{4'999'999, 100, 4}, Part{6'000'000, 5, 0}, Part{7, 0, 0}}) {
      auto streams = co_await connect_pair();
      auto results = co_await timeout(
          20s, gather(send_and_end(streams.client, file, part.offset, part.count), read_all(streams.server)));
      CHECK(std::get<0>(results) == part.sent);
      const bool same =
          std::get<1>(results) == (part.sent == 0 ? ""
                                                  : bytes.substr(static_cast<std::size_t>(part.offset),
                                                                 static_cast<std::size_t>(part.sent)));
      CHECK(same);
    }
    CHECK(::lseek(file.fileno(), 0, SEEK_CUR) == 0);
    auto [a, b] = socket_pair();
    auto results = co_await timeout(20s, gather(send_and_end(a, file, 0, bytes.size()), read_all(b)));
    const bool same = std::get<1>(results) == bytes;
    CHECK(same);
  });
}

ON_SELECTORS("what comes before a file leaves together with it") {
  const TemporaryDirectory directory;
  const std::string bytes = pattern(100'000);
  directory.write("f", bytes);
  FaultySystem system;
  run_on(
      selector,
      [&]() -> Task<void> {
        const Fd file = open_file(directory, "f");
        for (const std::size_t most : {std::size_t{1}, std::size_t{1'000}, SIZE_MAX}) {
          system.most = SIZE_MAX;
          auto streams = co_await connect_pair();
          streams.client.set_nodelay(true);
          system.most = most;
          std::uint64_t sent = co_await streams.client.send_file(file, 10, 1'000, "head");
          CHECK(sent == 1'000);
          system.most = SIZE_MAX;
          std::string buffer(2'000, '\0');
          buffer.resize(co_await streams.server.read_some(std::span(buffer)));
          if (most == SIZE_MAX) CHECK(buffer == "head" + bytes.substr(10, 1'000));
          // Nothing of the file follows: it leaves all the same.
          for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{100'000}}) {
            sent = co_await streams.client.send_file(file, offset, offset, "alone");
            CHECK(sent == 0);
          }
          streams.client.shutdown(Shutdown::WRITE);
          const std::string rest = co_await timeout(20s, read_all(streams.server));
          CHECK(buffer + rest == "head" + bytes.substr(10, 1'000) + "alonealone");
        }
        // To a peer that is slow, and again.
        auto streams = co_await connect_pair();
        streams.client.set_send_buffer(8'192);
        streams.server.set_receive_buffer(8'192);
        const std::string head = pattern(300'000);
        const auto sends = [&]() -> Task<void> {
          auto sending = streams.client.send_file(file, 0, 200'000, head);
          for (int turn = 0; turn < 2; ++turn) {
            const std::uint64_t n = co_await sending;
            CHECK(n == 100'000);
          }
          streams.client.shutdown(Shutdown::WRITE);
        };
        auto results = co_await timeout(20s, gather(sends(), read_all(streams.server)));
        const bool same = std::get<1>(results) == head + bytes + head + bytes;
        CHECK(same);
        system.fail(Call::SEND, 0, ECONNRESET);
        streams = co_await connect_pair();
        const std::error_code code = co_await error_of(streams.client.send_file(file, 0, 10, "head"));
        CHECK(code == std::errc::connection_reset);
      },
      &system);
}

ON_SELECTORS("what else is written to a stream waits until a file is sent") {
  const TemporaryDirectory directory;
  directory.write("f", std::string(6'000'000, 'f'));
  run_on(selector, [&]() -> Task<void> {
    const Fd file = open_file(directory, "f");
    auto streams = co_await connect_pair();
    auto sends = [](TcpStream& stream, const Fd& it) -> Task<void> {
      co_await stream.send_file(it, 0, 6'000'000);
    };
    auto sender = spawn(sends(streams.client, file));
    auto writer = spawn(write_and_end(streams.client, "behind"));
    const std::string got = co_await timeout(20s, read_all(streams.server));
    const bool in_order = got == std::string(6'000'000, 'f') + "behind";
    CHECK(in_order);
    co_await sender;
    co_await writer;
  });
}

ON_SELECTORS(
    "a large file leaves the others their turn while it is sent, though the peer takes all at once") {
  const TemporaryDirectory directory;
  directory.write("f", std::string(8'000'000, 'f'));
  struct Hungry : KernelSystem {
    int calls = 0;
    std::ptrdiff_t sendfile(int, int, std::int64_t* offset, std::size_t count) noexcept override {
      ++calls;
      *offset += static_cast<std::int64_t>(count);
      return static_cast<std::ptrdiff_t>(count);
    }
  } system;
  run_on(
      selector,
      [&]() -> Task<void> {
        const Fd file = open_file(directory, "f");
        auto streams = co_await connect_pair();
        auto sends = [](TcpStream& stream, const Fd& it) -> Task<std::uint64_t> {
          co_return co_await stream.send_file(it, 0, 50'000'000);
        };
        auto sender = spawn(sends(streams.client, file));
        int turns = 0;
        for (; !sender.done(); ++turns) co_await yield();
        CHECK(turns >= 40);
        CHECK(system.calls <= 200);
        const std::uint64_t sent = co_await sender;
        CHECK(sent == 50'000'000);
        // And it can be stopped between two turns.
        sender = spawn(sends(streams.client, file));
        for (int i = 0; i < 5; ++i) co_await yield();
        sender.cancel();
        for (int i = 0; i < 3; ++i) co_await yield();
        CHECK(sender.cancelled());
        sender = spawn(sends(streams.client, file));
        for (int i = 0; i < 5; ++i) co_await yield();
        streams.client.close();
        const std::error_code code = co_await error_of(std::move(sender));
        CHECK(code == std::errc::operation_canceled);
      },
      &system);
}

ON_SELECTORS("sending a file fails by name, and without SIGPIPE") {
  const TemporaryDirectory directory;
  directory.write("f", std::string(3'000'000, 'f'));
  FaultySystem system;
  run_on(
      selector,
      [&]() -> Task<void> {
        const Fd file = open_file(directory, "f");
        auto streams = co_await connect_pair();
        for (const int error : {EIO, ENOMEM, EOVERFLOW}) {
          system.fail(Call::SENDFILE, 0, error);
          std::string message;
          const std::error_code code = co_await error_of(streams.client.send_file(file, 0, 10), &message);
          CHECK(code.value() == error);
          CHECK_THAT(message, Catch::Matchers::StartsWith("sendfile on fd "));
        }
        system.fail(Call::SENDFILE, 0, EINTR);
        Result<std::uint64_t> sent = co_await streams.client.send_file(file, 0, 10).as_result();
        CHECK(sent.value() == 10);
        std::error_code code = co_await error_of(streams.client.send_file(-1, 0, 10));
        CHECK(code == std::errc::bad_file_descriptor);
        streams.server.abort();
        co_await sleep(1ms);
        for (int i = 0; i < 2; ++i) code = co_await error_of(streams.client.send_file(file, 0, 3'000'000));
        CHECK(code == std::errc::broken_pipe);
        streams.client.close();
        sent = co_await streams.client.send_file(file, 0, 10).as_result();
        CHECK(sent.error() == std::errc::bad_file_descriptor);
      },
      &system);
}

TEST_CASE("peers that go while a file is being sent to them raise no SIGPIPE") {
  const TemporaryDirectory directory;
  directory.write("f", std::string(8'000'000, 'f'));
  run_here([&]() -> Task<void> {
    const Fd file = open_file(directory, "f");
    auto listener = TcpListener::bind(any_port());
    const Address address = listener.local_address();
    // On a thread, so that some of them go in the middle of a call.
    std::thread peers([address] {
      for (int turn = 0; turn < 100; ++turn) {
        const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (::connect(fd, address.data(), address.length()) != 0) break;
        std::vector<char> some(static_cast<std::size_t>(100'000 + turn * 10'000));
        if (::recv(fd, some.data(), some.size(), MSG_WAITALL) < 0) break;
        // To who has seen its end before, the reset is EPIPE.
        ::shutdown(fd, SHUT_WR);
        ::close(fd);
      }
    });
    int failed = 0;
    for (int turn = 0; turn < 100; ++turn) {
      TcpStream stream = co_await listener.accept();
      const auto sent = co_await stream.send_file(file, 0, 8'000'000).as_result();
      if (!sent) ++failed;
    }
    peers.join();
    CHECK(failed == 100);
  });
}

TEST_CASE("a file survives sends that are short by any number of bytes, on poll and on select") {
  const TemporaryDirectory directory;
  for (const std::string_view selector : {"poll", "select"}) {
    for (const std::size_t most : {1UL, 3UL, 1000UL}) {
      const std::string bytes = pattern(most * 300 + 1);
      directory.write("f", bytes);
      FaultySystem system;
      system.most = most;
      run_on(
          selector,
          [&]() -> Task<void> {
            const Fd file = open_file(directory, "f");
            auto streams = co_await connect_pair();
            auto results = co_await gather(send_and_end(streams.client, file, 0, bytes.size()),
                                           read_all(streams.server));
            CHECK(std::get<1>(results) == bytes);
          },
          &system);
    }
  }
}

ON_SELECTORS("bytes are spliced from stream to pipe to stream, and all arrive") {
  run_on(selector, []() -> Task<void> {
    const std::string bytes = pattern(3'000'003);
    const std::string got = co_await timeout(20s, through_pipe(bytes));
    const bool same = got == bytes;
    CHECK(same);
  });
}

ON_SELECTORS("splice waits for bytes and for room, and can be cancelled at either") {
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    Pipe pipe = make_pipe();
    auto moves = [](Fd& from, Fd& to) -> Task<std::size_t> { co_return co_await splice(from, to, 1 << 20); };
    auto waiting = spawn(moves(streams.server.fd(), pipe.writer));
    co_await sleep(1ms);
    CHECK_FALSE(waiting.done());
    waiting.cancel();
    for (int i = 0; i < 3; ++i) co_await yield();
    CHECK(waiting.cancelled());
    co_await streams.client.write_all("abc");
    std::size_t size = co_await timeout(5s, moves(streams.server.fd(), pipe.writer));
    CHECK(size == 3);
    // Now the pipe is full.
    const std::string much(1 << 20, 'x');
    while (::write(pipe.writer.fileno(), much.data(), much.size()) > 0) {
    }
    co_await streams.client.write_all("def");
    waiting = spawn(moves(streams.server.fd(), pipe.writer));
    co_await sleep(1ms);
    CHECK_FALSE(waiting.done());
    std::string buffer(1 << 20, '\0');
    CHECK(::read(pipe.reader.fileno(), buffer.data(), buffer.size()) > 0);
    size = co_await timeout(5s, waiting);
    CHECK(size == 3);
    streams.client.close();
    size = co_await timeout(5s, moves(streams.server.fd(), pipe.writer));
    CHECK(size == 0);
  });
}

ON_SELECTORS("what can't be spliced is told by its errno, and without SIGPIPE") {
  FaultySystem system;
  run_on(
      selector,
      [&]() -> Task<void> {
        auto streams = co_await connect_pair();
        auto others = co_await connect_pair();
        Pipe pipe = make_pipe();
        std::string message;
        std::error_code code =
            co_await error_of(splice(streams.client.fd(), others.client.fd(), 10), &message);
        CHECK(code == std::errc::invalid_argument);
        CHECK_THAT(message, Catch::Matchers::StartsWith("splice on fd "));
        system.fail(Call::SPLICE, 0, EINTR);
        co_await streams.server.write_all("x");
        co_await streams.client.readable();
        const std::size_t size = co_await splice(streams.client.fd(), pipe.writer, 10);
        CHECK(size == 1);
        pipe.reader.close();
        co_await streams.server.write_all("x");
        co_await streams.client.readable();
        code = co_await error_of(splice(streams.client.fd(), pipe.writer, 10));
        CHECK(code == std::errc::broken_pipe);
        pipe.writer.close();
        code = co_await error_of(splice(streams.client.fd(), pipe.writer, 10));
        CHECK(code == std::errc::bad_file_descriptor);
      },
      &system);
}

ON_SELECTORS("cancelled at every suspension, sending a file and splicing leave nothing behind") {
  const TemporaryDirectory directory;
  const std::string bytes = pattern(1'200'000);
  directory.write("f", bytes);
  FaultySystem system;
  const CancelCount count = cancel_at_every_suspension(
      loop_options(selector, &system), Canceller::CALLBACK,
      [&]() -> Task<void> {
        const Fd file = open_file(directory, "f");
        auto streams = co_await connect_pair();
        auto results = co_await gather(send_and_end(streams.client, file, 0, bytes.size()),
                                       read_all(streams.server, 300'000));
        bool same = std::get<1>(results) == bytes;
        CHECK(same);
        const std::string piped = co_await through_pipe(bytes);
        same = piped == bytes;
        CHECK(same);
      },
      [&] { return calls_of(system); }, [](bool) {});
  CHECK(count.cancelled >= 5);
}
