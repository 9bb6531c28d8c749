// A loop that changes its selector while it runs: who waits goes along, also into the child of a fork().
// SPDX-License-Identifier: MIT
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "../../../io/operation/fd.hpp"
#include "../../../runtime/loop/event_loop.hpp"
#include "../../../runtime/loop/ready.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../selector/decorators/selector_decorator.hpp"
#include "../../../selector/mechanisms/poll_selector.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

struct Ends {
  Ends() {
    int fds[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) std::abort();
    near = Fd(fds[0]);
    far = Fd(fds[1]);
  }
  Fd near;
  Fd far;
};

char read_byte(int fd) {
  char byte = '?';
  return ::read(fd, &byte, 1) == 1 ? byte : '-';
}

void write_byte(const Fd& fd, char byte) { CHECK(::write(fd.fileno(), &byte, 1) == 1); }

Task<void> read_owned(Fd& fd, std::string& got, int count) {
  while (count-- > 0) {
    co_await fd.readable();
    got += read_byte(fd.fileno());
  }
}

Task<void> read_raw(int fd, std::string& got, int count) {
  while (count-- > 0) {
    co_await readable(fd);
    got += read_byte(fd);
  }
}

// A selector that a sandbox takes away: waiting fails from some moment on.
class DeniedSelector final : public SelectorDecorator {
 public:
  DeniedSelector() : SelectorDecorator(make_selector("poll")) {}
  ~DeniedSelector() override { close(); }
  bool denied = false;

 private:
  int do_wait(Timeout timeout) override { return denied ? EPERM : SelectorDecorator::do_wait(timeout); }
};

}  // namespace

ON_SELECTORS("whoever waits goes along to any other selector") {
  for (const std::string_view next : available_selectors()) {
    INFO("from " << selector << " to " << next);
    Ends owned;
    Ends raw;
    Ends watched;
    std::string got_owned;
    std::string got_raw;
    std::string got_watched;
    run_on(selector, [&]() -> Task<void> {
      EventLoop& loop = EventLoop::running();
      auto first = spawn(read_owned(owned.near, got_owned, 2));
      auto second = spawn(read_raw(raw.near.fileno(), got_raw, 2));
      loop.add_reader(watched.near.fileno(), [&] { got_watched += read_byte(watched.near.fileno()); });
      write_byte(owned.far, 'a');
      write_byte(raw.far, 'a');
      write_byte(watched.far, 'a');
      for (int i = 0; i < 5; ++i) co_await sleep(1ms);

      loop.set_selector(next);
      CHECK(loop.selector_name() == next);
      write_byte(owned.far, 'b');
      write_byte(raw.far, 'b');
      write_byte(watched.far, 'b');
      co_await first;
      co_await second;
      while (got_watched.size() < 2) co_await sleep(1ms);
      loop.remove_reader(watched.near.fileno());
    });
    CHECK(got_owned == "ab");
    CHECK(got_raw == "ab");
    CHECK(got_watched == "ab");
  }
}

TEST_CASE("what came before the change and was not read is reported by the new selector") {
  Ends ends;
  run_here([&]() -> Task<void> {
    std::string got;
    auto reader = spawn(read_owned(ends.near, got, 1));
    write_byte(ends.far, 'x');
    co_await reader;
    write_byte(ends.far, 'y');  // while nobody waits
    EventLoop::running().set_selector("poll");
    co_await ends.near.readable();
    CHECK(read_byte(ends.near.fileno()) == 'y');
  });
}

TEST_CASE("a loop whose selector is denied goes on with another") {
  Ends ends;
  std::string got;
  DeniedSelector denied;
  LoopOptions options;
  options.custom_selector = &denied;
  EventLoop loop(options);
  JoinHandle<void> reader;
  loop.call_soon([&] { reader = spawn(read_owned(ends.near, got, 1)); });
  loop.run_once(0ms);
  loop.run_once(0ms);
  denied.denied = true;
  CHECK_THROWS_AS(loop.run_once(0ms), std::system_error);
  loop.set_selector("default");
  CHECK(denied.closed());
  write_byte(ends.far, 'z');
  loop.run_until_complete(reader.state());
  CHECK(got == "z");
  loop.close();
}

TEST_CASE("a run whose selector fails throws that, and its tasks come to their end") {
  Ends ends;
  bool cleaned_up = false;
  DeniedSelector denied;
  LoopOptions options;
  options.custom_selector = &denied;
  const auto waits = [&]() -> Task<void> {
    struct Cleanup {
      explicit Cleanup(bool& done) : flag(done) {}
      ~Cleanup() { flag = true; }
      bool& flag;
    };
    const Cleanup cleanup(cleaned_up);
    denied.denied = true;
    co_await ends.near.readable();
  };
  CHECK_THROWS_AS(run(waits(), options), std::system_error);
  CHECK(cleaned_up);
}

TEST_CASE("a selector that refuses a descriptor leaves the loop as it was") {
  Ends ends;
  std::string got;
  PollSelector full;
  EventLoop loop;
  JoinHandle<void> reader;
  loop.call_soon([&] { reader = spawn(read_owned(ends.near, got, 1)); });
  loop.run_once(0ms);
  loop.run_once(0ms);
  full.register_(ends.near.fileno(), EVENT_READ);  // so it is registered already
  CHECK_THROWS_AS(loop.set_selector(full), KeyError);
  CHECK(full.get_map().size() == 1);
  write_byte(ends.far, 'z');
  loop.run_until_complete(reader.state());
  CHECK(got == "z");
  loop.close();
}

TEST_CASE("a loop goes on in the child of a fork, and the parent's is left alone") {
  Ends ends;
  Ends inherited;
  std::string got;
  std::string got_too;
  EventLoop loop;
  JoinHandle<void> reader;
  JoinHandle<void> other;
  loop.call_soon([&] {
    reader = spawn(read_owned(ends.near, got, 1));
    other = spawn(read_owned(inherited.near, got_too, 1));
  });
  loop.run_once(0ms);
  loop.run_once(0ms);

  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    bool good = false;
    try {
      loop.set_selector("default");
      bool called = false;
      loop.call_soon_threadsafe([&] { called = true; });
      write_byte(ends.far, 'c');
      loop.run_until_complete(reader.state());
      other.cancel();
      inherited.near.close();  // here only: the parent still waits for it
      loop.close();
      good = got == "c" && called;
    } catch (...) {
    }
    ::_exit(good ? 0 : 1);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);

  write_byte(inherited.far, 'p');
  write_byte(ends.far, 'p');
  loop.run_until_complete(reader.state());
  loop.run_until_complete(other.state());
  CHECK(got == "p");
  CHECK(got_too == "p");
  loop.close();
}
