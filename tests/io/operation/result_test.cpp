// Result and as_result: the same operations without exceptions.
// SPDX-License-Identifier: MIT
#include "../../../io/operation/result.hpp"

#include <sys/socket.h>

#include <string>

#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;

TEST_CASE("a Result is a value or a failure") {
  Result<int> good(5);
  CHECK(good);
  CHECK(good.has_value());
  CHECK(good.value() == 5);
  CHECK(*good == 5);
  CHECK_FALSE(good.error());
  Result<int> bad(Failure{ECONNRESET, "recv", 7});
  CHECK_FALSE(bad);
  CHECK(bad.error() == std::errc::connection_reset);
  CHECK(bad.failure().fd == 7);
  CHECK_THAT(thrown<std::system_error>([&] { static_cast<void>(bad.value()); }),
             Catch::Matchers::StartsWith("recv on fd 7: Connection reset"));
}

ON_SELECTORS("as_result yields what was read and written, also after a wait") {
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    auto reads = [](TcpStream& stream) -> Task<std::string> {
      std::string buffer(100, '\0');
      Result<std::size_t> size = co_await stream.read_some(std::span(buffer)).as_result();
      co_return size ? buffer.substr(0, *size) : "failed";
    };
    auto waiting = spawn(reads(streams.server));
    co_await yield();
    Result<std::size_t> some = co_await streams.client.write_some("abc").as_result();
    CHECK(some.value() == 3);
    std::string got = co_await timeout(5s, waiting);
    CHECK(got == "abc");
    Result<std::size_t> all = co_await streams.client.write_all("defgh").as_result();
    CHECK(all.value() == 5);
    got = co_await timeout(5s, reads(streams.server));
    CHECK(got == "defgh");
    const std::string much = pattern(3'000'000);
    auto reader = spawn(read_all(streams.server));
    all = co_await streams.client.write_all(much).as_result();
    CHECK(all.value() == much.size());
    streams.client.close();
    got = co_await reader;
    const bool same = got == much;
    CHECK(same);
  });
}

ON_SELECTORS("as_result yields the failure instead of throwing it") {
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    auto reads = [](TcpStream& stream) -> Task<Failure> {
      char byte;
      Result<std::size_t> size = co_await stream.read_some(std::span(&byte, 1)).as_result();
      co_return size.failure();
    };
    auto waiting = spawn(reads(streams.client));
    co_await sleep(1ms);
    streams.server.abort();
    const Failure reset = co_await timeout(5s, waiting);
    CHECK(reset.error == ECONNRESET);
    CHECK(std::string(reset.operation) == "recv");
    CHECK(reset.fd == streams.client.fileno());
    Result<std::size_t> written = co_await streams.client.write_all("x").as_result();
    CHECK(written.error() == std::errc::broken_pipe);
    written = co_await streams.client.write_some("x").as_result();
    CHECK(written.error() == std::errc::broken_pipe);
  });
}

ON_SELECTORS(
    "as_result of an operation on a closed stream is EBADF, and of one that is closed under it ECANCELED") {
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    auto reads = [](TcpStream& stream) -> Task<Failure> {
      char byte;
      Result<std::size_t> size = co_await stream.read_some(std::span(&byte, 1)).as_result();
      co_return size.failure();
    };
    auto waiting = spawn(reads(streams.client));
    co_await sleep(1ms);
    streams.client.close();
    const Failure closed = co_await timeout(5s, waiting);
    CHECK(closed.error == ECANCELED);
    const Failure after = co_await reads(streams.client);
    CHECK(after.error == EBADF);
    Result<std::size_t> written = co_await streams.client.write_all("x").as_result();
    CHECK(written.error() == std::errc::bad_file_descriptor);
  });
}

TEST_CASE("as_result of a descriptor that the selector can't watch is a failure") {
  run_on("select", []() -> Task<void> {
    auto streams = co_await connect_pair();
    const int high = ::fcntl(streams.client.fileno(), F_DUPFD_CLOEXEC, 1500);
    TcpStream stream{Fd(must(high))};
    char byte;
    Result<std::size_t> size = co_await stream.read_some(std::span(&byte, 1)).as_result();
    CHECK_FALSE(size.has_value());
    // What needs no wait still works.
    size = co_await stream.write_all("x").as_result();
    CHECK(size.has_value());
  });
}

ON_SELECTORS("Cancelled is thrown by as_result too") {
  run_on(selector, []() -> Task<void> {
    auto streams = co_await connect_pair();
    auto reads = [](TcpStream& stream) -> Task<void> {
      char byte;
      static_cast<void>(co_await stream.read_some(std::span(&byte, 1)).as_result());
    };
    auto waiting = spawn(reads(streams.client));
    co_await sleep(1ms);
    waiting.cancel();
    co_await yield();
    co_await yield();
    CHECK(waiting.cancelled());
  });
}
