// A descriptor that is closed behind heddle's back, and whose number another file gets.
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "../../../io/net/unix.hpp"
#include "../../../runtime/loop/event_loop.hpp"
#include "../../support/turns.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

// Closes `number` as no owner does, and makes it one end of a new pair, whose other end is returned.
int take_number(int number) {
  ::close(number);
  int fds[2] = {-1, -1};
  must(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
  if (fds[0] == number) return fds[1];
  if (fds[1] == number) return fds[0];
  must(::dup2(fds[0], number));
  ::close(fds[0]);
  return fds[1];
}

Task<std::string> read_or_error(UnixStream& stream) {
  std::string message;
  std::string got(8, '\0');
  try {
    got.resize(co_await stream.read_some(std::span(got)));
    co_return got;
  } catch (const std::system_error& error) {
    message = error.what();
  }
  co_return message;
}

}  // namespace

ON_SELECTORS(
    "of two owners of a number the earlier one has lost it: it fails with EBADF, and closes nothing") {
  run_on(selector, []() -> Task<void> {
    auto [old, old_peer] = socket_pair();
    const int number = old.fileno();
    auto waiting = spawn(read_or_error(old));
    co_await turns(2);
    const File peer(take_number(number));
    UnixStream fresh{Fd(number)};
    auto reading = spawn(read_or_error(fresh));
    co_await turns(2);
    must(static_cast<int>(::write(peer.fileno(), "new", 3)));
    std::string got = co_await timeout(5s, std::move(reading));
    CHECK(got == "new");
    got = co_await timeout(5s, std::move(waiting));
    CHECK(got == "recv on fd " + std::to_string(number) + ": Bad file descriptor");

    // The old one can be used no more, whatever it is asked for.
    std::string bytes(4, '\0');
    std::error_code code = co_await error_of(old.read_some(std::span(bytes)));
    CHECK(code == std::errc::bad_file_descriptor);
    code = co_await error_of(old.write_all("x"));
    CHECK(code == std::errc::bad_file_descriptor);
    code = co_await error_of(old.readable());
    CHECK(code == std::errc::bad_file_descriptor);
    code = co_await error_of(old.writable());
    CHECK(code == std::errc::bad_file_descriptor);
    CHECK_FALSE(old.try_read_some(std::span(bytes)).has_value());
    CHECK(old.try_write_some("x") == 0);
    old.close();
    CHECK(is_open(number));

    // The new one goes on.
    must(static_cast<int>(::write(peer.fileno(), "more", 4)));
    got = co_await timeout(5s, read_or_error(fresh));
    CHECK(got == "more");
    co_await fresh.write_all("back");
    co_await sleep(1ms);  // a ring sends what is small at the end of the turn
    CHECK(::read(peer.fileno(), bytes.data(), 4) == 4);
    fresh.close();
    CHECK_FALSE(is_open(number));
  });
}

ON_SELECTORS("an owner that nobody waits for loses its number, too, and gives none away") {
  run_on(selector, []() -> Task<void> {
    auto [old, old_peer] = socket_pair();
    const int number = old.fileno();
    co_await old_peer.write_all("x");
    std::string got = co_await read_or_error(old);
    bool waited = false;
    try {
      co_await timeout(1ms, read_or_error(old));  // so that it is registered
    } catch (const TimeoutError&) {
      waited = true;
    }
    CHECK(waited);
    const File peer(take_number(number));
    UnixStream fresh{Fd(number)};
    auto reading = spawn(read_or_error(fresh));
    co_await turns(2);
    CHECK(old.fd().release() == -1);
    must(static_cast<int>(::write(peer.fileno(), "new", 3)));
    got = co_await timeout(5s, std::move(reading));
    CHECK(got == "new");
  });
}

ON_SELECTORS("a new owner isn't deaf where others wait for its number alone") {
  run_on(selector, []() -> Task<void> {
    auto [old, old_peer] = socket_pair();
    const int number = old.fd().release();
    auto waiting = spawn([](int fd) -> Task<void> { co_await error_of(readable(fd)); }, number);
    co_await turns(2);
    const File peer(take_number(number));
    UnixStream fresh{Fd(number)};
    auto reading = spawn(read_or_error(fresh));
    co_await turns(2);
    must(static_cast<int>(::write(peer.fileno(), "new", 3)));
    const std::string got = co_await timeout(5s, std::move(reading));
    CHECK(got == "new");
    waiting.cancel();
  });
}

ON_SELECTORS("a callback that is added again for a number is called for the file that has it now") {
  run_on(selector, []() -> Task<void> {
    auto [old, old_peer] = socket_pair();
    const int number = old.fd().release();
    EventLoop& loop = EventLoop::running();
    int calls = 0;
    loop.add_reader(number, [] {});
    co_await turns(2);
    const File peer(take_number(number));
    loop.add_reader(number, [&] {
      char byte;
      calls += ::read(number, &byte, 1) == 1;
    });
    must(static_cast<int>(::write(peer.fileno(), "x", 1)));
    const TimePoint end = loop.time() + 5s;
    while (calls == 0 && loop.time() < end) co_await sleep(1ms);
    CHECK(calls == 1);
    loop.remove_reader(number);
    ::close(number);
  });
}

ON_SELECTORS("a task that waits for the number of an owned descriptor takes nothing from the owner") {
  run_on(selector, []() -> Task<void> {
    auto [stream, peer] = socket_pair();
    auto reading = spawn(read_or_error(stream));
    co_await turns(2);
    auto watching = spawn([](int fd) -> Task<void> { co_await writable(fd); }, stream.fileno());
    co_await timeout(5s, std::move(watching));
    co_await peer.write_all("x");
    const std::string got = co_await timeout(5s, std::move(reading));
    CHECK(got == "x");
  });
}
