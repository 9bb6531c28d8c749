// ReadPipe and WritePipe: pipes, what else reads and writes, and the standard streams.
// SPDX-License-Identifier: MIT
#include "../../../io/file/pipe.hpp"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <termios.h>

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "../../../io/stream/stream.hpp"
#include "../../../runtime/testing/testing.hpp"
#include "../../support/denied.hpp"
#include "../../support/turns.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;
using TestFile = heddle::test::File;

namespace {

static_assert(ReadStream<ReadPipe> && WriteStream<WritePipe>);

Task<std::string> read_once(ReadPipe& pipe, std::size_t most = 65536) {
  std::string buffer(most, '\0');
  buffer.resize(co_await pipe.read_some(std::span(buffer)));
  co_return buffer;
}

Task<std::string> read_rest(ReadPipe& pipe, std::size_t chunk = 65536) {
  std::string all;
  std::string buffer(chunk, '\0');
  while (const std::size_t size = co_await pipe.read_some(std::span(buffer))) all.append(buffer, 0, size);
  co_return all;
}

Task<void> write_and_close(WritePipe& pipe, std::string_view bytes, std::size_t chunk) {
  for (std::size_t at = 0; at < bytes.size(); at += chunk) co_await pipe.write_all(bytes.substr(at, chunk));
  pipe.close();
}

Task<void> write(WritePipe& pipe, std::string_view bytes) { co_await pipe.write_all(bytes); }

bool non_blocking(int fd) { return (must(::fcntl(fd, F_GETFL)) & O_NONBLOCK) != 0; }

/// A file with `bytes` in it, open for both, at its beginning; it has no name.
TestFile file_with(std::string_view bytes) {
  char path[] = "/tmp/heddle-pipe-XXXXXX";
  TestFile file(::mkostemp(path, O_CLOEXEC));
  ::unlink(path);
  file.write(bytes);
  must(static_cast<int>(::lseek(file.fileno(), 0, SEEK_SET)));
  return file;
}

/// Puts a descriptor in the place of another while it lives.
class InPlaceOf {
 public:
  InPlaceOf(int number, const TestFile& file)
      : number_(number), before_(::fcntl(number, F_DUPFD_CLOEXEC, 3)) {
    must(::dup2(file.fileno(), number));
  }
  ~InPlaceOf() { ::dup2(before_.fileno(), number_); }
  InPlaceOf(const InPlaceOf&) = delete;
  InPlaceOf& operator=(const InPlaceOf&) = delete;

 private:
  int number_;
  TestFile before_;
};

/// The kernel, but reads and writes may fail, and count.
class PipeSystem : public KernelSystem {
 public:
  std::function<int(bool writing, int call)> fault;
  int calls = 0;

  std::ptrdiff_t read(int fd, void* data, std::size_t size) noexcept override {
    const int error = fault ? fault(false, calls++) : (++calls, 0);
    return error != 0 ? -error : KernelSystem::read(fd, data, size);
  }
  std::ptrdiff_t write(int fd, const void* data, std::size_t size) noexcept override {
    const int error = fault ? fault(true, calls++) : (++calls, 0);
    return error != 0 ? -error : KernelSystem::write(fd, data, size);
  }
};

}  // namespace

ON_SELECTORS("what is written to a pipe is read from it, whatever the chunks") {
  run_on(selector, []() -> Task<void> {
    const std::string sent = pattern(1'000'017);
    for (const auto& [write_chunk, read_chunk] :
         {std::array<std::size_t, 2>{1'000'017, 4'097}, std::array<std::size_t, 2>{777, 1'000'000},
          std::array<std::size_t, 2>{70'001, 65'536}}) {
      Pipe pipe = make_pipe();
      auto results =
          co_await gather(write_and_close(pipe.write, sent, write_chunk), read_rest(pipe.read, read_chunk));
      const bool same = std::get<1>(results) == sent;
      CHECK(same);
    }
  });
}

ON_SELECTORS("the end of a pipe is read again and again, after what was written") {
  run_on(selector, []() -> Task<void> {
    Pipe pipe = make_pipe();
    auto first = spawn(read_once(pipe.read));
    co_await yield();
    co_await pipe.write.write_all("one");
    std::string got = co_await timeout(5s, first);
    CHECK(got == "one");
    co_await pipe.write.write_all("two three");
    pipe.write.close();
    got = co_await timeout(5s, read_once(pipe.read, 3));
    CHECK(got == "two");
    got = co_await timeout(5s, read_rest(pipe.read));
    CHECK(got == " three");
    for (int i = 0; i < 3; ++i) {
      got = co_await timeout(5s, read_once(pipe.read));
      CHECK(got.empty());
    }
  });
}

ON_SELECTORS("a pipe that nobody reads any more is EPIPE for its writer, and no signal") {
  run_on(selector, []() -> Task<void> {
    Pipe pipe = make_pipe();
    const int fd = pipe.write.fileno();
    const std::string much(1'000'000, 'x');
    auto writer = spawn(error_of(pipe.write.write_all(much)));
    co_await turns(3);
    CHECK_FALSE(writer.done());
    pipe.read.close();
    const std::error_code blocked = co_await timeout(5s, writer);
    CHECK(blocked == std::errc::broken_pipe);
    std::string message;
    const std::error_code again = co_await error_of(pipe.write.write_some("x"), &message);
    CHECK(again == std::errc::broken_pipe);
    CHECK(message == "write on fd " + std::to_string(fd) + ": Broken pipe");
  });
}

TEST_CASE("no SIGPIPE comes either where the kernel knows no writes without it") {
  const auto write_to_nobody = [] {
    Pair pipe = Pair::pipe();
    pipe.a.close();
    return std::to_string(kernel_system().write(pipe.b.fileno(), "x", 1));
  };
  CHECK(in_child(write_to_nobody) == std::to_string(-EPIPE));
  for (const int error : {ENOSYS, EOPNOTSUPP, EPERM})
    CHECK(where_denied(SYS_pwritev2, error, write_to_nobody) == std::to_string(-EPIPE));
  // The program's own way with that signal is left as it is.
  CHECK(where_denied(SYS_pwritev2, ENOSYS, [&] {
          sigset_t pipe;
          sigset_t pending;
          sigemptyset(&pipe);
          sigaddset(&pipe, SIGPIPE);
          ::pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
          std::string text = write_to_nobody();
          ::sigpending(&pending);
          text += sigismember(&pending, SIGPIPE) == 1 ? " pending" : " none";
          ::raise(SIGPIPE);
          text += write_to_nobody();
          ::sigpending(&pending);
          text += sigismember(&pending, SIGPIPE) == 1 ? " pending" : " none";
          ::signal(SIGPIPE, SIG_IGN);
          return text + write_to_nobody();
        }) == "-32 none-32 pending-32");
}

ON_SELECTORS("concurrent write_alls on one pipe don't mix their bytes, and go in order") {
  run_on(selector, []() -> Task<void> {
    Pipe pipe = make_pipe();
    std::vector<std::string> parts;
    std::string expected;
    for (char letter = 'a'; letter <= 'h'; ++letter) {
      parts.emplace_back(50'000, letter);
      expected += parts.back();
    }
    std::vector<Task<void>> writers;
    for (const std::string& part : parts) writers.push_back(write(pipe.write, part));
    auto all = spawn(gather(std::move(writers)));
    std::string got;
    while (got.size() < expected.size()) got += co_await timeout(5s, read_once(pipe.read, 9'001));
    const bool same = got == expected;
    CHECK(same);
    co_await all;
  });
}

ON_SELECTORS("several readers of one pipe get its bytes in the order in which they asked") {
  run_on(selector, []() -> Task<void> {
    Pipe pipe = make_pipe();
    std::vector<JoinHandle<std::string>> readers;
    for (int i = 0; i < 3; ++i) readers.push_back(spawn(read_once(pipe.read, 2)));
    co_await yield();
    co_await pipe.write.write_all("aabbcc");
    std::string got;
    for (auto& reader : readers) got += co_await timeout(5s, reader) + "|";
    CHECK(got == "aa|bb|cc|");
  });
}

ON_SELECTORS("a pipe in packet mode gives packet after packet") {
  run_on(selector, []() -> Task<void> {
    Pipe pipe = make_pipe();
    must(::fcntl(pipe.write.fileno(), F_SETFL, O_NONBLOCK | O_DIRECT));
    auto waiting = spawn(read_once(pipe.read));
    co_await yield();
    for (const char* packet : {"a", "b", "c"}) co_await pipe.write.write_all(packet);
    std::string got = co_await timeout(5s, waiting);
    for (int i = 0; i < 2; ++i) got += "|" + co_await timeout(5s, read_once(pipe.read));
    CHECK(got == "a|b|c");
  });
}

ON_SELECTORS("a terminal gives line after line, though they came together") {
  run_on(selector, []() -> Task<void> {
    TestFile master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    must(::grantpt(master.fileno()));
    must(::unlockpt(master.fileno()));
    char name[64];
    must(-::ptsname_r(master.fileno(), name, sizeof name));
    ReadPipe terminal = connect_read_pipe(Fd(must(::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC))));
    auto waiting = spawn(read_once(terminal));
    co_await yield();
    master.write("one\ntwo\nthree\n");
    std::string got = co_await timeout(5s, waiting);
    for (int i = 0; i < 2; ++i) got += co_await timeout(5s, read_once(terminal));
    CHECK(got == "one\ntwo\nthree\n");
  });
}

ON_SELECTORS("an empty buffer moves nothing through a pipe, at once") {
  run_on(selector, []() -> Task<void> {
    Pipe pipe = make_pipe();
    const std::size_t read = co_await timeout(5s, pipe.read.read_some(std::span<std::byte>()));
    const std::size_t some = co_await pipe.write.write_some("");
    const std::size_t all = co_await pipe.write.write_all("");
    CHECK(read + some + all == 0);
  });
}

ON_SELECTORS("closing a pipe ends those who wait at it, and a closed one says so") {
  run_on(selector, []() -> Task<void> {
    Pipe pipe = make_pipe();
    auto reader = spawn(error_of(read_once(pipe.read)));
    auto second = spawn(error_of(read_once(pipe.read)));
    co_await turns(2);
    pipe.read.close();
    const std::error_code code = co_await timeout(5s, reader);
    const std::error_code other = co_await timeout(5s, second);
    CHECK(code == std::errc::operation_canceled);
    CHECK(other == std::errc::operation_canceled);
    std::string message;
    const std::error_code late = co_await error_of(read_once(pipe.read), &message);
    CHECK(late == std::errc::bad_file_descriptor);
    CHECK(message == "read on a closed descriptor: Bad file descriptor");
    CHECK_FALSE(pipe.read.is_open());
  });
}

ON_SELECTORS("a Result in place of an exception, from pipes and from files") {
  run_on(selector, []() -> Task<void> {
    Pipe pipe = make_pipe();
    auto wrote = co_await pipe.write.write_all("abc").as_result();
    CHECK(wrote.value() == 3);
    std::array<std::byte, 8> buffer;
    auto got = co_await pipe.read.read_some(buffer).as_result();
    CHECK(got.value() == 3);
    pipe.read.close();
    auto failed = co_await pipe.write.write_all("abc").as_result();
    CHECK(failed.error() == std::errc::broken_pipe);
    ReadPipe file = connect_read_pipe(Fd(must(::open("/proc/self/mem", O_RDONLY | O_CLOEXEC))));
    CHECK(file.is_file());
    auto refused = co_await file.read_some(buffer).as_result();
    CHECK(refused.error() == std::errc::io_error);
  });
}

TEST_CASE("an existing descriptor is made non-blocking, and put back when the pipe is closed or released") {
  int ends[2];
  must(::pipe2(ends, O_CLOEXEC));
  TestFile reads(ends[0]);
  TestFile writes(ends[1]);
  {
    ReadPipe pipe = connect_read_pipe(Fd(::dup(reads.fileno())));
    CHECK(non_blocking(reads.fileno()));
    ReadPipe moved = std::move(pipe);
    CHECK(non_blocking(reads.fileno()));
    moved.close();
    CHECK_FALSE(non_blocking(reads.fileno()));
  }
  WritePipe pipe = connect_write_pipe(Fd(::dup(writes.fileno())));
  CHECK(non_blocking(writes.fileno()));
  const TestFile released(pipe.release());
  CHECK_FALSE(non_blocking(writes.fileno()));
  CHECK_FALSE(pipe.is_open());
  // What was non-blocking before stays so.
  must(::fcntl(reads.fileno(), F_SETFL, O_NONBLOCK));
  connect_read_pipe(Fd(::dup(reads.fileno()))).close();
  CHECK(non_blocking(reads.fileno()));
}

TEST_CASE("a descriptor that is of no use for a pipe is refused with a reason") {
  Pair pipe = Pair::pipe();
  const auto connect_reader = [](int fd) {
    return thrown<std::system_error>([&] { connect_read_pipe(Fd(fd)); });
  };
  const auto connect_writer = [](int fd) {
    return thrown<std::system_error>([&] { connect_write_pipe(Fd(fd)); });
  };
  const int write_end = ::dup(pipe.b.fileno());
  CHECK(connect_reader(write_end) == "connect_read_pipe on fd " + std::to_string(write_end) +
                                         " (not open for reading): Bad file descriptor");
  const int read_end = ::dup(pipe.a.fileno());
  CHECK(connect_writer(read_end) == "connect_write_pipe on fd " + std::to_string(read_end) +
                                        " (not open for writing): Bad file descriptor");
  CHECK(connect_reader(-1) == "connect_read_pipe on a closed descriptor: Bad file descriptor");
  CHECK(connect_reader(987) == "connect_read_pipe on fd 987: Bad file descriptor");
}

ON_SELECTORS("a regular file is read and written like a pipe") {
  run_on(selector, []() -> Task<void> {
    const std::string bytes = pattern(300'001);
    TestFile file = file_with(bytes);
    must(static_cast<int>(::lseek(file.fileno(), 1, SEEK_SET)));
    ReadPipe pipe = connect_read_pipe(Fd(::dup(file.fileno())));
    CHECK(pipe.is_file());
    std::string got = co_await timeout(5s, read_rest(pipe, 7'001));
    const bool same = got == bytes.substr(1);
    CHECK(same);
    WritePipe end = connect_write_pipe(Fd(::dup(file.fileno())));
    const std::size_t size = co_await end.write_some("and more");
    CHECK(size == 8);
    must(static_cast<int>(::lseek(file.fileno(), 300'001, SEEK_SET)));
    CHECK(file.read() == "and more");
    end.close();
    const std::error_code late = co_await error_of(end.write_all("x"));
    CHECK(late == std::errc::bad_file_descriptor);
  });
}

ON_SELECTORS("standard input may be a pipe, and is left as it was") {
  int ends[2];
  must(::pipe2(ends, O_CLOEXEC));
  const TestFile reads(ends[0]);
  TestFile writes(ends[1]);
  const InPlaceOf guard(0, reads);
  run_on(selector, [&]() -> Task<void> {
    ReadPipe input = stdin_stream();
    CHECK_FALSE(non_blocking(0));  // it was opened again, so nobody else sees a difference
    auto reader = spawn(read_once(input));
    co_await yield();
    writes.write("hello");
    std::string got = co_await timeout(5s, reader);
    CHECK(got == "hello");
    auto rest = spawn(read_rest(input));
    co_await yield();
    writes.write("bye");
    writes.close();
    got = co_await timeout(5s, rest);
    CHECK(got == "bye");
  });
  CHECK(::fcntl(0, F_GETFD) >= 0);
}

TEST_CASE("standard input may be a socket, a file or nothing") {
  SECTION("a socket") {
    const Pair pair = Pair::sockets();
    must(::fcntl(pair.a.fileno(), F_SETFL, 0));
    const InPlaceOf guard(0, pair.a);
    run_here([&]() -> Task<void> {
      ReadPipe input = stdin_stream();
      CHECK(non_blocking(0));
      pair.b.write("hello");
      const std::string got = co_await timeout(5s, read_once(input));
      CHECK(got == "hello");
    });
    CHECK_FALSE(non_blocking(0));
  }
  SECTION("a file") {
    const TestFile file = file_with("from a file");
    const InPlaceOf guard(0, file);
    run_here([]() -> Task<void> {
      ReadPipe input = stdin_stream();
      const std::string got = co_await timeout(5s, read_rest(input));
      CHECK(got == "from a file");
    });
  }
  SECTION("nothing") {
    const TestFile null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const InPlaceOf guard(0, null);
    run_here([]() -> Task<void> {
      ReadPipe input = stdin_stream();
      const std::string got = co_await timeout(5s, read_rest(input));
      CHECK(got.empty());
    });
  }
  SECTION("closed") {
    CHECK(in_child([] {
            ::close(0);
            return thrown<std::system_error>([] { stdin_stream(); });
          }) == "stdin_stream on fd 0: Bad file descriptor");
  }
}

TEST_CASE("what is written to standard output and error arrives where they lead") {
  const auto say = [](WritePipe (*stream)(), std::string_view text) {
    run_here([&]() -> Task<void> {
      WritePipe output = stream();
      co_await output.write_all(text);
    });
  };
  Pair pipe = Pair::pipe();
  must(::fcntl(pipe.b.fileno(), F_SETFL, 0));
  const TestFile file = file_with("");
  {
    const InPlaceOf output(1, pipe.b);
    const InPlaceOf error(2, file);
    say(stdout_stream, "to the pipe");
    say(stderr_stream, "to the file, ");
    say(stderr_stream, "and after that");
    CHECK_FALSE(non_blocking(1));
  }
  must(static_cast<int>(::lseek(file.fileno(), 0, SEEK_SET)));
  CHECK(pipe.a.read() == "to the pipe");
  CHECK(file.read() == "to the file, and after that");
  // To nobody: the second opening is refused then, and the first still does.
  pipe.a.close();
  const InPlaceOf output(1, pipe.b);
  CHECK_THAT(thrown<std::system_error>([&] { say(stdout_stream, "x"); }),
             Catch::Matchers::EndsWith("Broken pipe"));
}

ON_SELECTORS("cancelled at every suspension, a transfer loses no byte that was read and leaves nothing") {
  const std::string bytes = pattern(200'000);
  std::string got;
  auto transfer = [&]() -> Task<void> {
    got.clear();
    Pipe pipe = make_pipe();
    auto writer = spawn(write_and_close(pipe.write, bytes, bytes.size()));
    bool stopped = false;
    try {
      for (std::string piece = "-"; !piece.empty(); got += piece)
        piece = co_await read_once(pipe.read, 10'000);
    } catch (const Cancelled&) {
      stopped = true;
    }
    if (stopped) got += co_await read_rest(pipe.read);
    co_await writer;
    if (stopped) throw Cancelled();
  };
  const auto check = [&](const DisturbedRun& run) {
    check_usual_end(run);
    const bool same = got.empty() || got == bytes;
    CHECK(same);
  };
  DisturbOptions options;
  options.loop.selector = selector;
  options.main_only = true;
  for (const bool from_outside : {false, true}) {
    options.from_outside = from_outside;
    CHECK(cancel_everywhere(transfer, check, options).failed >= 4);
  }
}

TEST_CASE(
    "a file's read that is cancelled before a thread has begun isn't made, and later it is waited for") {
  class Slow : public KernelSystem {
   public:
    std::atomic<bool> begun{false};
    std::atomic<bool> go{false};
    std::ptrdiff_t read(int fd, void* data, std::size_t size) noexcept override {
      begun = true;
      while (!go) ::usleep(1000);
      return KernelSystem::read(fd, data, size);
    }
  } system;
  const TestFile file = file_with("abcdef");
  run_on(
      "default",
      [&]() -> Task<void> {
        ReadPipe pipe = connect_read_pipe(Fd(::dup(file.fileno())));
        std::string buffer(3, '\0');
        auto reader_body = [&]() -> Task<std::string> {
          const std::size_t size = co_await pipe.read_some(std::span(buffer));
          std::string text = buffer.substr(0, size);
          try {
            co_await sleep(0s);
          } catch (const Cancelled&) {
            text += ", then cancelled";
          }
          co_return text;
        };
        auto reader = spawn(reader_body());
        while (!system.begun) co_await sleep(1ms);
        reader.cancel();
        pipe.close();  // the call on the other thread keeps the file open
        co_await sleep(5ms);
        CHECK_FALSE(reader.done());
        system.go = true;
        const std::string got = co_await reader;
        CHECK(got == "abc, then cancelled");
      },
      &system);
}

ON_SELECTORS("whatever read or write fails with comes out with its name, and interruptions don't") {
  for (const bool writing : {false, true})
    for (const int error : {EINTR, EIO, ENOMEM, EPIPE, EAGAIN}) {
      // An edge-triggered selector tells no more of what was there all the time.
      if (error == EAGAIN && selector != "poll" && selector != "select") continue;
      for (int n = 0; n < 6; ++n) {
        PipeSystem system;
        system.fault = [&](bool call_writes, int call) {
          return call_writes == writing && call == n ? error : 0;
        };
        std::string failure;
        bool same = false;
        run_on(
            selector,
            [&]() -> Task<void> {
              Pipe pipe = make_pipe();
              const std::string bytes = pattern(100'000);
              try {
                auto results = co_await timeout(
                    5s, gather(write_and_close(pipe.write, bytes, 30'000), read_rest(pipe.read)));
                same = std::get<1>(results) == bytes;
              } catch (const std::system_error& caught) {
                failure = caught.what();
                CHECK(caught.code().value() == error);
              }
            },
            &system);
        INFO(error << " at call " << n);
        if (error == EINTR || error == EAGAIN) CHECK(same);
        if (!same) CHECK_THAT(failure, Catch::Matchers::StartsWith(writing ? "write on fd " : "read on fd "));
      }
    }
}

TEST_CASE("without descriptors there is no pipe, and an error that says so") {
  class Full : public KernelSystem {
    int pipe(int*) noexcept override { return -EMFILE; }
  } system;
  const auto make = []() -> Task<void> {
    make_pipe();
    co_return;
  };
  const std::string message = thrown<std::system_error>([&] { run_on("default", make, &system); });
  CHECK(message == "pipe: Too many open files");
}
