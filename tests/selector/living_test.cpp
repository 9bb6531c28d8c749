// The contract of a selector's life: closing, moving, forking, failing, and what it may watch, on every
// selector.
// SPDX-License-Identifier: MIT
#include <pty.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdlib>
#include <set>
#include <system_error>

#include "contract.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

std::set<int> open_numbers() {
  std::set<int> open;
  for (int fd = 0; fd < 1024; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) open.insert(fd);
  }
  return open;
}

}  // namespace

CONTRACT("kernel objects are close-on-exec and given back by close") {
  const std::set<int> before = open_numbers();
  const auto fresh = subject.make();
  Pair pair = Pair::sockets();
  fresh->register_(pair.a, EVENT_READ);
  CHECK(fresh->select(0s).empty());
  for (int fd : open_numbers()) {
    if (!before.contains(fd)) CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
  }
  CHECK((fresh->descriptor() >= 0) == fresh->capabilities().has(Capability::FILENO));
  fresh->close();
  CHECK(fresh->descriptor() == -1);
  pair.a.close();
  pair.b.close();
  CHECK(open_numbers() == before);
}

CONTRACT("close is idempotent, leaves the files open, and every other call says that it is closed") {
  Pair pair = Pair::sockets();
  selector.register_(pair.a, EVENT_READ);
  CHECK_FALSE(selector.closed());
  selector.close();
  selector.close();
  CHECK(selector.closed());
  CHECK(::fcntl(pair.a.fileno(), F_GETFD) >= 0);
  CHECK_THROWS_AS(selector.register_(pair.b, EVENT_READ), SelectorClosed);
  CHECK_THROWS_AS(selector.register_(pair.b, EventMask()), SelectorClosed);
  CHECK_THROWS_AS(selector.unregister(pair.a), SelectorClosed);
  CHECK_THROWS_AS(selector.modify(pair.a, EVENT_READ), SelectorClosed);
  CHECK_THROWS_AS(selector.select(0s), SelectorClosed);
  CHECK_THROWS_AS(selector.get_key(pair.a), SelectorClosed);
  CHECK_THROWS_AS(selector.get_map(), SelectorClosed);
  CHECK(selector.find(pair.a.fileno()) == nullptr);
}

CONTRACT("a map shows nothing once its selector is closed") {
  Pair pair = Pair::sockets();
  selector.register_(pair.a, EVENT_READ, 5);
  const SelectorMap map = selector.get_map();
  CHECK(map.at(pair.a).data.get<int>() == 5);
  CHECK_THROWS_AS(map.at(pair.b), KeyError);
  selector.close();
  CHECK(map.empty());
  CHECK(map.find(pair.a) == nullptr);
  CHECK_FALSE(map.contains(pair.a.fileno()));
  CHECK_THROWS_AS(map.at(pair.a), KeyError);
  CHECK_THROWS_AS(map[pair.a.fileno()], KeyError);
  CHECK_THROWS_AS(map.at(-1), ValueError);
  CHECK(map.begin() == map.end());
}

CONTRACT("the last list outlives close") {
  Pair pair = Pair::sockets();
  selector.register_(pair.a, EVENT_READ, 5);
  pair.b.write("x");
  const ReadyList list = selector.select(0s);
  selector.close();
  REQUIRE(list.size() == 1);
  CHECK(list[0].key.data.get<int>() == 5);
}

CONTRACT("a moved selector carries its registrations, and what is left behind is closed") {
  if (subject.move == nullptr) return;
  Pair pair = Pair::sockets();
  Pair late = Pair::sockets();
  selector.register_(pair.a, EVENT_READ, 1);
  CHECK(selector.select(0s).empty());
  const auto moved = subject.move(selector);
  CHECK(selector.closed());
  CHECK_THROWS_AS(selector.select(0s), SelectorClosed);
  CHECK(selector.find(pair.a.fileno()) == nullptr);
  CHECK(moved->get_map().size() == 1);
  pair.b.write("x");
  CHECK(now(*moved, pair.a) == EVENT_READ);
  moved->register_(late.a, EVENT_WRITE);
  CHECK(moved->select(0s).size() == 2);
  moved->unregister(pair.a);
  pair.a.close();
  while (!pair.b.read().empty()) {
  }
  CHECK(pair.b.at_end());
}

CONTRACT("a forked child that closes its copy takes nothing from the parent") {
  Pair pair = Pair::sockets();
  selector.register_(pair.a, EVENT_READ);
  CHECK(selector.select(0s).empty());
  const pid_t child = must(::fork());
  if (child == 0) {
    selector.close();
    ::_exit(0);
  }
  int status = 0;
  CHECK(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  pair.b.write("x");
  CHECK(now(selector, pair.a) == EVENT_READ);
}

CONTRACT("thousands of registrations come and go without a leak of descriptors") {
  const int before = open_descriptors();
  for (int round = 0; round < 200; ++round) {
    Pair pair = Pair::sockets();
    selector.register_(pair.a, EVENT_READ);
    selector.register_(pair.b, BOTH);
    pair.b.write("x");
    CHECK(selector.select(1s).size() == 2);
    selector.unregister(pair.a);
    if (round % 2 == 0) pair.b.close();
    selector.unregister(pair.b.fileno() >= 0 ? FileObj(pair.b.fileno()) : FileObj(pair.b));
  }
  for (int round = 0; round < 20; ++round) {
    const auto another = subject.make();
    Pair pair = Pair::sockets();
    another->register_(pair.a, EVENT_READ);
    (void)another->select(0s);
  }
  CHECK(open_descriptors() == before);
}

CONTRACT("two selectors watch one descriptor, each for itself") {
  const auto other = subject.make();
  Pair pair = Pair::sockets();
  selector.register_(pair.a, EVENT_READ, 1);
  other->register_(pair.a, EVENT_WRITE, 2);
  CHECK(now(selector, pair.a) == NONE);
  CHECK(now(*other, pair.a) == EVENT_WRITE);
  other->close();
  pair.b.write("x");
  CHECK(now(selector, pair.a) == EVENT_READ);
}

CONTRACT("fifos are watched") {
  char name[] = "/tmp/heddle-test-XXXXXX";
  REQUIRE(::mkdtemp(name) != nullptr);
  const std::string path = std::string(name) + "/fifo";
  must(::mkfifo(path.c_str(), 0600));
  const File reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  const File writer(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  ::unlink(path.c_str());
  ::rmdir(name);
  selector.register_(reader, EVENT_READ);
  selector.register_(writer, EVENT_WRITE);
  CHECK(now(selector, reader) == NONE);
  CHECK(now(selector, writer) == EVENT_WRITE);
  writer.write("x");
  CHECK(now(selector, reader) == EVENT_READ);
}

CONTRACT("terminals are watched") {
  int master = -1, slave = -1;
  must(::openpty(&master, &slave, nullptr, nullptr, nullptr));
  const File keyboard(master);
  const File terminal(slave);
  selector.register_(terminal, EVENT_READ);
  CHECK(now(selector, terminal) == NONE);
  keyboard.write("line\n");
  CHECK(soon(selector, terminal.fileno()) == EVENT_READ);
  CHECK(terminal.read() == "line\n");
  CHECK(now(selector, terminal) == NONE);
}

CONTRACT("eventfd, timerfd, signalfd, pidfd and inotify are watched") {
  const File event(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  selector.register_(event, BOTH);
  CHECK(now(selector, event) == EVENT_WRITE);
  const std::uint64_t one = 1;
  event.write({reinterpret_cast<const char*>(&one), sizeof one});
  CHECK(now(selector, event) == BOTH);
  event.read();
  CHECK(now(selector, event) == EVENT_WRITE);
  selector.unregister(event);

  const File timer(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  selector.register_(timer, EVENT_READ);
  CHECK(now(selector, timer) == NONE);
  const itimerspec when{{0, 0}, {0, 5'000'000}};
  must(::timerfd_settime(timer.fileno(), 0, &when, nullptr));
  CHECK(soon(selector, timer.fileno()) == EVENT_READ);
  timer.read();
  CHECK(now(selector, timer) == NONE);

  sigset_t set, before;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  ::sigprocmask(SIG_BLOCK, &set, &before);
  {
    const File signal(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
    selector.register_(signal, EVENT_READ);
    CHECK(now(selector, signal) == NONE);
    ::raise(SIGUSR2);
    CHECK(now(selector, signal) == EVENT_READ);
    signal.read();
    CHECK(now(selector, signal) == NONE);
    selector.unregister(signal);
  }
  ::sigprocmask(SIG_SETMASK, &before, nullptr);

  const File notify(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  char name[] = "/tmp/heddle-test-XXXXXX";
  REQUIRE(::mkdtemp(name) != nullptr);
  must(::inotify_add_watch(notify.fileno(), name, IN_DELETE_SELF));
  selector.register_(notify, EVENT_READ);
  CHECK(now(selector, notify) == NONE);
  ::rmdir(name);
  CHECK(soon(selector, notify.fileno()) == EVENT_READ);

#if defined(SYS_pidfd_open)
  Pair gate = Pair::pipe();
  const pid_t child = must(::fork());
  if (child == 0) {
    gate.b.close();
    must(::fcntl(gate.a.fileno(), F_SETFL, 0));
    char byte;
    (void)!::read(gate.a.fileno(), &byte, 1);
    ::_exit(0);
  }
  const File process(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  selector.unregister(notify);
  selector.register_(process, EVENT_READ);
  CHECK(now(selector, process) == NONE);
  gate.b.close();
  CHECK(soon(selector, process.fileno()) == EVENT_READ);
  ::waitpid(child, nullptr, 0);
#endif
}

CONTRACT("a selector watches another one's descriptor") {
  if (!selector.capabilities().has(Capability::FILENO)) return;
  const int inner = selector.descriptor();
  selector.set_nested(true);
  for (const Subject& other : subjects()) {
    if (!other.real) continue;
    CAPTURE(other.name);
    Pair pair = Pair::sockets();
    selector.register_(pair.a, EVENT_READ);
    CHECK(selector.select(0s).empty());
    const auto outer = other.make();
    outer->register_(inner, EVENT_READ);
    CHECK(now(*outer, inner) == NONE);
    pair.b.write("x");
    CHECK(soon(*outer, inner) == EVENT_READ);
    CHECK(now(selector, pair.a) == EVENT_READ);
    pair.a.read();
    CHECK(selector.select(0s).empty());
    CHECK(now(*outer, inner) == NONE);
    selector.unregister(pair.a);
  }
}
