// The contract of register_, unregister, modify, get_key and get_map, on every selector.
// SPDX-License-Identifier: MIT
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <iterator>
#include <ranges>
#include <system_error>

#include "contract.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

bool goes_by_number(const Subject& subject) {
  return subject.kind == "poll" || subject.kind == "select" || subject.kind == "devpoll";
}

File regular_file() {
  char name[] = "/tmp/heddle-test-XXXXXX";
  File file(::mkstemp(name));
  ::unlink(name);
  return file;
}

}  // namespace

CONTRACT("registering returns the key, and get_key and the map show it") {
  Pair pair = Pair::sockets();
  int value = 0;
  const SelectorKey key = selector.register_(pair.a, EVENT_READ, &value);
  CHECK(key.fd == pair.a.fileno());
  CHECK(key.fileobj.address() == &pair.a);
  CHECK(key.events == EVENT_READ);
  CHECK(key.data.get<int*>() == &value);
  CHECK(selector.get_key(pair.a) == key);
  CHECK(selector.get_key(pair.a.fileno()) == key);
  REQUIRE(selector.find(pair.a.fileno()) != nullptr);
  CHECK(*selector.find(pair.a.fileno()) == key);
  CHECK(selector.get_map().size() == 1);
  CHECK(selector.get_map()[pair.a] == key);
  CHECK(*selector.get_map().begin() == key);
  CHECK(selector.unregister(pair.a) == key);
  CHECK(selector.get_map().empty());
  CHECK(selector.find(pair.a.fileno()) == nullptr);
}

CONTRACT("the map is a live view that is searched by descriptor and by object, and iterated") {
  const SelectorMap map = selector.get_map();
  static_assert(std::ranges::forward_range<const SelectorMap>);
  CHECK(map.empty());
  CHECK(map.begin() == map.end());
  Pair one = Pair::sockets();
  Pair two = Pair::pipe();
  selector.register_(one.a, EVENT_READ, 1);
  selector.register_(two.b.fileno(), EVENT_WRITE, 2);
  CHECK(map.size() == 2);
  CHECK(map.contains(one.a));
  CHECK(map.contains(one.a.fileno()));
  CHECK_FALSE(map.contains(one.b));
  CHECK_FALSE(map.contains(-1));
  CHECK_FALSE(map.contains(INT_MAX));
  CHECK(map.find(two.b)->data.get<int>() == 2);
  CHECK(map.find(one.b) == nullptr);
  CHECK_THROWS_AS(map.at(one.b), KeyError);
  CHECK_THROWS_AS(map[one.b], KeyError);
  CHECK(std::distance(map.begin(), map.end()) == 2);
  int sum = 0;
  for (const SelectorKey& key : map) sum += key.data.get<int>();
  CHECK(sum == 3);
  // Emptied while it is iterated, as a shutdown does.
  for (auto it = map.begin(); it != map.end(); ++it) selector.unregister(it->fd);
  CHECK(map.empty());
  selector.close();
  CHECK(map.empty());
  CHECK(map.begin() == map.end());
}

CONTRACT("a mask that is not READ, WRITE or both is a ValueError before the descriptor is looked at") {
  Pair pair = Pair::sockets();
  selector.register_(pair.a, EVENT_READ, 7);
  for (int bits : {0, 4, 5, 8, 256, -1, INT_MIN}) {
    CAPTURE(bits);
    CHECK_THROWS_AS(selector.register_(pair.b, EventMask(bits)), ValueError);
    CHECK_THROWS_AS(selector.register_(-1, EventMask(bits)), ValueError);
    CHECK_THROWS_AS(selector.register_(pair.a, EventMask(bits)), ValueError);
    CHECK_THROWS_AS(selector.modify(pair.a, EventMask(bits), 8), ValueError);
    CHECK_THROWS_AS(selector.modify(pair.b, EventMask(bits)), ValueError);
  }
  CHECK(selector.get_map().size() == 1);
  CHECK(selector.get_key(pair.a).events == EVENT_READ);
  CHECK(selector.get_key(pair.a).data.get<int>() == 7);
}

CONTRACT("a negative descriptor is a ValueError that names it") {
  const File closed;
  CHECK_THROWS_AS(selector.register_(-1, EVENT_READ), ValueError);
  CHECK_THROWS_WITH(selector.register_(-7, EVENT_READ), Catch::Matchers::Contains("-7"));
  CHECK_THROWS_AS(selector.register_(INT_MIN, EVENT_READ), ValueError);
  CHECK_THROWS_AS(selector.register_(closed, EVENT_READ), ValueError);
  CHECK_THROWS_AS(selector.unregister(-1), ValueError);
  CHECK_THROWS_AS(selector.unregister(closed), ValueError);
  CHECK_THROWS_AS(selector.modify(closed, EVENT_READ), ValueError);
  CHECK_THROWS_AS(selector.get_key(closed), ValueError);
  CHECK(selector.find(-1) == nullptr);
  CHECK(selector.find(INT_MIN) == nullptr);
  CHECK(selector.get_map().empty());
}

CONTRACT("registering twice is a KeyError and changes nothing") {
  Pair pair = Pair::sockets();
  const SelectorKey key = selector.register_(pair.a, EVENT_READ, 1);
  CHECK_THROWS_AS(selector.register_(pair.a, EVENT_WRITE, 2), KeyError);
  CHECK_THROWS_AS(selector.register_(pair.a.fileno(), BOTH, 3), KeyError);
  CHECK(selector.get_key(pair.a) == key);
  CHECK(selector.get_map().size() == 1);
  CHECK(selector.select(0s).empty());  // the kernel was not told to look for WRITE
  pair.b.write("x");
  CHECK(selector.select(0s).front().key == key);
}

CONTRACT("what is not registered is a KeyError that names it") {
  Pair pair = Pair::sockets();
  const std::string fd = "fd " + std::to_string(pair.a.fileno());
  CHECK_THROWS_AS(selector.modify(pair.a, EVENT_READ), KeyError);
  CHECK_THROWS_AS(selector.unregister(pair.a), KeyError);
  CHECK_THROWS_AS(selector.get_key(pair.a), KeyError);
  CHECK_THROWS_AS(selector.unregister(INT_MAX), KeyError);
  CHECK_THROWS_WITH(selector.unregister(pair.a),
                    Catch::Matchers::Contains("unregister") && Catch::Matchers::Contains(fd));
  selector.register_(pair.a, EVENT_READ);
  selector.unregister(pair.a);
  CHECK_THROWS_AS(selector.unregister(pair.a), KeyError);
  CHECK_THROWS_AS(selector.modify(pair.a, EVENT_READ), KeyError);
}

CONTRACT(
    "a closed descriptor is refused with EBADF by name and leaves nothing behind, where the kernel looks") {
  Pair pair = Pair::sockets();
  const int fd = pair.a.fileno();
  pair.a.close();
  if (goes_by_number(subject)) {
    selector.register_(fd, EVENT_READ);
    CHECK(selector.get_map().size() == 1);
    selector.unregister(fd);
    return;
  }
  try {
    selector.register_(fd, EVENT_READ);
    FAIL("registered");
  } catch (const std::system_error& error) {
    CHECK(error.code() == std::errc::bad_file_descriptor);
    CHECK_THAT(error.what(), Catch::Matchers::Contains(" on fd " + std::to_string(fd) + ":"));
  }
  CHECK(selector.get_map().empty());
  CHECK(selector.find(fd) == nullptr);
  CHECK(selector.select(0s).empty());
  // The number is as good as new.
  Pair again = Pair::sockets();
  selector.register_(again.a, EVENT_READ);
  again.b.write("x");
  CHECK(now(selector, again.a) == EVENT_READ);
}

CONTRACT("a modify that the kernel refuses drops the key") {
  Pair pair = Pair::sockets();
  const int fd = pair.a.fileno();
  selector.register_(fd, EVENT_READ, 1);
  pair.a.close();
  if (goes_by_number(subject)) {
    CHECK(selector.modify(fd, EVENT_WRITE).events == EVENT_WRITE);
    return;
  }
  CHECK_THROWS_AS(selector.modify(fd, EVENT_WRITE), std::system_error);
  CHECK_THROWS_AS(selector.get_key(fd), KeyError);
  CHECK(selector.get_map().empty());
  CHECK(selector.select(0s).empty());
  CHECK(pair.b.at_end());
}

CONTRACT("a descriptor far beyond the table is either refused or watched, without a table to match") {
  CHECK_THROWS(selector.register_(INT_MAX, EVENT_READ));
  CHECK(selector.get_map().empty());
  if (subject.kind == "select") return;
  const int high = static_cast<int>(std::min<std::size_t>(raise_file_limit(), 19'000)) - 1;
  Pair pair = Pair::sockets();
  const File far(::fcntl(pair.a.fileno(), F_DUPFD_CLOEXEC, high - 10));
  selector.register_(far, EVENT_READ);
  pair.b.write("x");
  CHECK(now(selector, far) == EVENT_READ);
}

CONTRACT("a regular file is always ready, or refused") {
  const File file = regular_file();
  if (subject.kind == "kqueue") {
    file.write("x");
    selector.register_(file, BOTH);
    CHECK(now(selector, file) == EVENT_WRITE);  // at its end there is nothing to read
    must(static_cast<int>(::lseek(file.fileno(), 0, SEEK_SET)));
    CHECK(now(selector, file) == BOTH);
  } else if (selector.capabilities().has(Capability::REGULAR_FILES)) {
    selector.register_(file, BOTH);
    CHECK(now(selector, file) == BOTH);
    CHECK(now(selector, file) == BOTH);
  } else {
    try {
      selector.register_(file, BOTH);
      FAIL("registered");
    } catch (const std::system_error& error) {
      CHECK(error.code() == std::errc::operation_not_permitted);
    }
    CHECK(selector.get_map().empty());
  }
}

CONTRACT("modify with equal events makes no system call and changes the data") {
  Pair pair = Pair::sockets();
  const int fd = pair.a.fileno();
  selector.register_(pair.a, EVENT_READ, 1);
  pair.b.write("x");
  CHECK(selector.modify(pair.a, EVENT_READ, 2).data.get<int>() == 2);
  CHECK(selector.select(0s).front().key.data.get<int>() == 2);
  pair.a.close();
  // A call would say EBADF now.
  CHECK(selector.modify(fd, EVENT_READ, 3).data.get<int>() == 3);
  CHECK(selector.get_key(fd).data.get<int>() == 3);
}

CONTRACT("modify changes what is asked for, keeps the file object, and drops the data when none is given") {
  Pair pair = Pair::sockets();
  selector.register_(pair.a, EVENT_READ, 1);
  pair.b.write("x");
  const SelectorKey key = selector.modify(pair.a.fileno(), EVENT_WRITE);
  CHECK(key.fileobj.address() == &pair.a);
  CHECK_FALSE(key.data.has_value());
  CHECK(now(selector, pair.a) == EVENT_WRITE);
  selector.modify(pair.a, BOTH, 2);
  CHECK(now(selector, pair.a) == BOTH);
  selector.modify(pair.a, EVENT_READ, 3);
  CHECK(now(selector, pair.a) == EVENT_READ);
  pair.a.read();
  CHECK(now(selector, pair.a) == NONE);
}

CONTRACT("a number reused without unregister counts as registered, and is watched after a fresh register") {
  Pair old = Pair::sockets();
  const int fd = old.a.fileno();
  selector.register_(fd, EVENT_READ, 1);
  old.a.close();
  Pair fresh = Pair::sockets();
  renumber(fresh.a, fd);
  CHECK_THROWS_AS(selector.register_(fd, EVENT_READ), KeyError);
  CHECK(selector.unregister(fd).data.get<int>() == 1);
  selector.register_(fd, EVENT_READ, 2);
  CHECK(now(selector, fd) == NONE);
  fresh.b.write("x");
  const ReadyList list = selector.select(1s);
  REQUIRE(list.size() == 1);
  CHECK(list[0].key.data.get<int>() == 2);
}

CONTRACT("unregister works after the descriptor was closed, by number and by the object's identity") {
  Pair pair = Pair::sockets();
  const int fd = pair.a.fileno();
  selector.register_(pair.a, EVENT_READ, 1);
  selector.register_(pair.b, EVENT_READ, 2);
  pair.a.close();
  CHECK(pair.a.fileno() == -1);
  CHECK(selector.get_key(pair.a).fd == fd);
  CHECK(selector.get_map().contains(pair.a));
  CHECK(selector.unregister(pair.a).fd == fd);
  CHECK_THROWS_AS(selector.unregister(pair.a), ValueError);  // as in Python: no number, no identity
  const int other = pair.b.fileno();
  pair.b.close();
  CHECK(selector.unregister(other).data.get<int>() == 2);
  CHECK(selector.get_map().empty());
}

CONTRACT(
    "a closed file that lives on in a duplicate is never reported under another key, nor makes the wait "
    "spin") {
  Pair old = Pair::sockets();
  const int fd = old.a.fileno();
  const File survivor(::fcntl(fd, F_DUPFD_CLOEXEC, fd + 20));
  Pair quiet = Pair::sockets();
  selector.register_(quiet.a, EVENT_READ, 1);
  selector.register_(fd, BOTH, 2);
  old.a.close();
  selector.unregister(fd);
  old.b.write("stray");
  CHECK(selector.select(0s).empty());

  // The same number again, for another file that is not ready.
  Pair fresh = Pair::sockets();
  renumber(fresh.a, fd);
  selector.register_(fd, EVENT_READ, 3);
  timespec before{}, after{};
  const auto start = Clock::now();
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
  CHECK(selector.select(100ms).empty());
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
  CHECK(Clock::now() - start >= 100ms);
  const auto cpu = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1'000'000;
  CHECK(cpu < 50);

  // What was registered is still watched.
  quiet.b.write("x");
  fresh.b.write("x");
  const ReadyList list = selector.select(1s);
  CHECK(list.size() == 2);
  CHECK(in(list, quiet.a) == EVENT_READ);
  CHECK(in(list, fd) == EVENT_READ);
  if (selector.descriptor() >= 0) CHECK((::fcntl(selector.descriptor(), F_GETFD) & FD_CLOEXEC) != 0);
}

CONTRACT("what happens to a number's former file is not reported for the file that has the number now") {
  Pair old = Pair::sockets();
  const int fd = old.a.fileno();
  const File survivor(::fcntl(fd, F_DUPFD_CLOEXEC, fd + 20));
  selector.register_(fd, BOTH, 1);
  old.a.close();
  selector.unregister(fd);
  Pair fresh = Pair::sockets();
  renumber(fresh.a, fd);
  selector.register_(fd, EVENT_READ, 2);
  // The first select() that could see it, with the same number registered again.
  old.b.write("stray");
  CHECK(selector.select(0s).empty());
  CHECK(selector.select(5ms).empty());
  fresh.b.write("x");
  const ReadyList list = selector.select(1s);
  REQUIRE(list.size() == 1);
  CHECK(list[0].key == selector.get_key(fd));
}

CONTRACT("a file back under its number after its duplicate kept it alive can be registered again") {
  Pair pair = Pair::sockets();
  const int fd = pair.a.fileno();
  const File survivor(::fcntl(fd, F_DUPFD_CLOEXEC, fd + 20));
  selector.register_(fd, EVENT_READ, 1);
  pair.a.close();
  selector.unregister(fd);
  must(::dup3(survivor.fileno(), fd, O_CLOEXEC));
  const File back(fd);
  selector.register_(fd, EVENT_WRITE, 2);
  const ReadyList list = selector.select(1s);
  REQUIRE(list.size() == 1);
  CHECK(list[0].events == EVENT_WRITE);
  CHECK(list[0].key.data.get<int>() == 2);
}

CONTRACT("after unregister and close the peer sees the end at once") {
  Pair pair = Pair::sockets();
  selector.register_(pair.a, EVENT_READ);
  CHECK(selector.select(0s).empty());
  CHECK(selector.select(1ms).empty());
  selector.unregister(pair.a);
  pair.a.close();
  CHECK(pair.b.at_end());

  Pair changed = Pair::sockets();
  selector.register_(changed.a, EVENT_READ);
  CHECK(selector.select(0s).empty());
  selector.modify(changed.a, BOTH);
  CHECK(now(selector, changed.a) == EVENT_WRITE);
  selector.modify(changed.a, EVENT_READ);
  CHECK(selector.select(0s).empty());
  selector.unregister(changed.a);
  changed.a.close();
  CHECK(changed.b.at_end());

  Pair last = Pair::sockets();
  selector.register_(last.a, EVENT_READ);
  CHECK(selector.select(0s).empty());
  selector.close();
  last.a.close();
  CHECK(last.b.at_end());
}

CONTRACT("edge trigger reports once until more arrives, and is a ValueError where it is not to be had") {
  Pair pair = Pair::sockets();
  if (!selector.capabilities().has(Capability::EDGE_TRIGGER)) {
    CHECK_THROWS_AS(selector.register_(pair.a, EVENT_READ, {}, Trigger::EDGE), ValueError);
    CHECK(selector.get_map().empty());
    return;
  }
  selector.register_(pair.a, BOTH, {}, Trigger::EDGE);
  CHECK(now(selector, pair.a) == EVENT_WRITE);
  CHECK(now(selector, pair.a) == NONE);
  pair.b.write("x");
  CHECK(now(selector, pair.a).contains(EVENT_READ));
  CHECK(now(selector, pair.a) == NONE);
  pair.b.write("y");
  CHECK(now(selector, pair.a).contains(EVENT_READ));
  CHECK(now(selector, pair.a) == NONE);
  must(::shutdown(pair.b.fileno(), SHUT_WR));
  const ReadyList list = selector.select(0s);
  REQUIRE(list.size() == 1);
  CHECK(list[0].events.contains(EVENT_READ));
  CHECK(list[0].hangup);
}
