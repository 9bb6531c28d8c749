// What read_file(), write_file() and File make of what is no regular file.
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "../../../io/address/unix_address.hpp"
#include "../../../io/file/file.hpp"
#include "../loopback.hpp"
#include "../temporary.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

Task<std::error_code> error_of_reading(std::string path) {
  auto reading = read_file(std::move(path));
  co_return co_await error_of(std::move(reading));
}

}  // namespace

TEST_CASE("a FIFO that nobody has opened for writing is no empty file") {
  run_here([]() -> Task<void> {
    const TemporaryDirectory directory;
    const std::string path = directory.path("fifo");
    must(::mkfifo(path.c_str(), 0600));
    std::string message;
    auto reading = read_file(path);
    std::error_code code = co_await error_of(std::move(reading), &message);
    CHECK(code == std::errc::resource_unavailable_try_again);
    CHECK_THAT(message, Catch::Matchers::StartsWith("read \"" + path + "\": "));
    std::string buffer(10, '\0');
    auto file = co_await heddle::File::open(path);
    code = co_await error_of(file.read_some(std::span(buffer)));
    CHECK(code == std::errc::resource_unavailable_try_again);
    code = co_await error_of(file.read_at(std::span(buffer), 0));
    CHECK(code == std::errc::invalid_seek);
    const std::size_t nothing = co_await file.read_some(std::span(buffer).first(0));
    CHECK(nothing == 0);
    {
      const ::heddle::test::File writer(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
      code = co_await error_of(file.read_some(std::span(buffer)));
      CHECK(code == std::errc::resource_unavailable_try_again);
      must(static_cast<int>(::write(writer.fileno(), "abc", 3)));
      code = co_await error_of_reading(path);  // takes what is there, and has met no end
      CHECK(code == std::errc::resource_unavailable_try_again);
      must(static_cast<int>(::write(writer.fileno(), "def", 3)));
    }
    std::size_t size = co_await file.read_some(std::span(buffer));
    CHECK(buffer.substr(0, size) == "def");
    size = co_await file.read_some(std::span(buffer));
    CHECK(size == 0);  // there was a writer
    auto writing = write_file(path, "x", FileMode::WRITE);
    co_await file.close();
    code = co_await error_of(std::move(writing));
    CHECK(code == std::errc::no_such_device_or_address);  // nobody reads
  });
}

TEST_CASE("whatever isn't a file is read to its end, or says why not") {
  run_here([]() -> Task<void> {
    const TemporaryDirectory directory;
    std::error_code code = co_await error_of_reading(directory.path("."));
    CHECK(code == std::errc::is_a_directory);
    ::heddle::test::File socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const std::string path = directory.path("s");
    const UnixAddress address(path);
    must(::bind(socket.fileno(), address.data(), address.length()));
    code = co_await error_of_reading(path);
    CHECK(code == std::errc::no_such_device_or_address);
    std::string bytes = co_await read_file("/dev/null");
    CHECK(bytes.empty());
    bytes = co_await read_file("/proc/self/comm");  // a regular one, of no size
    CHECK_FALSE(bytes.empty());
  });
}
