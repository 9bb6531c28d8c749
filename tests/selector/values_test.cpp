// The small values: masks, timeouts, file objects, data, keys; and make_selector's choice.
// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstdlib>
#include <limits>
#include <sstream>
#include <type_traits>

#include "../../selector/mechanisms/default_selector.hpp"
#include "../../selector/mechanisms/make_selector.hpp"
#include "../support/catch.hpp"

using namespace heddle;
using namespace std::chrono_literals;

namespace {

struct Socket {
  int number;
  [[nodiscard]] int fileno() const { return number; }
};
struct Nothing {};
enum class State : std::int8_t { IDLE = -3 };

template <class T>
constexpr bool is_file_object = std::is_convertible_v<T, FileObj>;

std::int64_t ns(Timeout timeout) { return timeout.duration().count(); }

}  // namespace

TEST_CASE("event masks combine like the bits they are and print by name") {
  static_assert((EVENT_READ | EVENT_WRITE).bits() == 3);
  static_assert(~EVENT_READ == EVENT_WRITE);
  static_assert((EVENT_READ ^ EVENT_READ) == EventMask());
  static_assert((EVENT_READ | EVENT_WRITE).contains(EVENT_WRITE) && !EVENT_READ.contains(EVENT_WRITE));
  static_assert(!EventMask() && EVENT_READ && !std::is_convertible_v<int, EventMask>);
  EventMask mask = EVENT_READ;
  mask |= EVENT_WRITE;
  mask &= ~EVENT_READ;
  CHECK(mask == EVENT_WRITE);
  CHECK(to_string(EVENT_READ | EVENT_WRITE) == "READ|WRITE");
  CHECK(to_string(EventMask()) == "0");
  CHECK(to_string(EventMask(9)) == "READ|0x8");
  std::ostringstream out;
  out << EVENT_WRITE;
  CHECK(out.str() == "WRITE");
}

TEST_CASE("a timeout saturates, rounds up, and keeps for ever apart from negative") {
  CHECK(Timeout().forever());
  CHECK(Timeout(std::nullopt).forever());
  CHECK(Timeout(std::optional<std::chrono::seconds>()).forever());
  CHECK(ns(std::optional(2s)) == 2'000'000'000);
  CHECK_FALSE(Timeout(-1s).forever());
  CHECK(Timeout(-1s).only_polls());
  CHECK(Timeout(0s).only_polls());
  CHECK_FALSE(Timeout(1ns).only_polls());
  using picoseconds = std::chrono::duration<std::int64_t, std::pico>;
  CHECK(ns(picoseconds(1)) == 1);
  CHECK(ns(picoseconds(1001)) == 2);
  CHECK(ns(picoseconds(-1)) == 0);
  CHECK(ns(std::chrono::duration<float, std::nano>(0.25F)) == 1);
  CHECK(ns(std::chrono::duration<double>(1e-9)) == 1);
  CHECK(ns(std::chrono::duration<double>(-1e-12)) == 0);
  using thirds = std::chrono::duration<int, std::ratio<1, 3>>;
  CHECK(ns(thirds(1)) == 333'333'334);
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  for (Timeout longest : {Timeout(Duration::max()), Timeout(std::chrono::hours::max()),
                          Timeout(std::chrono::duration<std::uint64_t>(~0ULL)),
                          Timeout(std::chrono::duration<double>(std::numeric_limits<double>::infinity())),
                          Timeout(std::chrono::duration<long double>(1e300L))}) {
    CHECK_FALSE(longest.forever());
    CHECK(ns(longest) == most - 1);
  }
  CHECK(Timeout(std::chrono::hours::min()).only_polls());
  CHECK(Timeout(-std::chrono::duration<double>(std::numeric_limits<double>::infinity())).only_polls());
  CHECK_THROWS_AS(Timeout(std::chrono::duration<double>(std::nan(""))), ValueError);
  CHECK(Timeout(1ns).milliseconds() == 1);
  CHECK(Timeout(1ms).milliseconds() == 1);
  CHECK(Timeout(1'000'001ns).milliseconds() == 2);
  CHECK(Timeout(-5s).milliseconds() == 0);
  CHECK(Timeout().milliseconds() == -1);
  CHECK(Timeout(std::chrono::hours(24 * 365)).milliseconds() == std::numeric_limits<int>::max());
}

TEST_CASE("a file object is an int or anything with fileno") {
  static_assert(is_file_object<int> && is_file_object<Socket> && is_file_object<const Socket&>);
  static_assert(!is_file_object<Nothing> && !is_file_object<Socket*> && !is_file_object<std::string>);
  static_assert(!is_file_object<EventMask>);
  const Socket a{5}, b{5};
  CHECK(FileObj(a).fd() == 5);
  CHECK(FileObj(a).address() == &a);
  CHECK(FileObj(a) == FileObj(a));
  CHECK_FALSE(FileObj(a) == FileObj(b));
  CHECK_FALSE(FileObj(a) == FileObj(5));
}

TEST_CASE("data gives back what was stored, and an error for any other type") {
  int value = 1;
  const int constant = 2;
  CHECK(SelectorData(&value).get<int*>() == &value);
  CHECK(SelectorData(&constant).get<const int*>() == &constant);
  CHECK(SelectorData(-1).get<int>() == -1);
  CHECK(SelectorData(~0ULL).get<unsigned long long>() == ~0ULL);
  CHECK(SelectorData(true).get<bool>());
  CHECK(SelectorData(State::IDLE).get<State>() == State::IDLE);
  CHECK(SelectorData("text").holds<const char*>());
  CHECK_FALSE(SelectorData().has_value());
  CHECK_FALSE(SelectorData(nullptr).has_value());
  CHECK(SelectorData(static_cast<int*>(nullptr)).has_value());
  CHECK_THROWS_AS(SelectorData(&value).get<const int*>(), ValueError);
  CHECK_THROWS_AS(SelectorData(1).get<long>(), ValueError);
  CHECK_THROWS_AS(SelectorData(1).get<unsigned>(), ValueError);
  CHECK_THROWS_WITH(SelectorData().get<int>(), "SelectorData holds nothing, asked for int");
  CHECK_THROWS_WITH(SelectorData(&value).get<long>(), "SelectorData holds int*, asked for long");
  CHECK(SelectorData(1) == SelectorData(1));
  CHECK_FALSE(SelectorData(1) == SelectorData(1L));
  CHECK_FALSE(SelectorData(0) == SelectorData());
  CHECK(SelectorData() == SelectorData());
}

TEST_CASE("keys compare and print") {
  const Socket socket{7};
  const SelectorKey key{7, 7, EVENT_READ, 42};
  CHECK(key == SelectorKey{7, 7, EVENT_READ, 42});
  CHECK_FALSE(key == SelectorKey{7, 7, EVENT_WRITE, 42});
  CHECK_FALSE(key == SelectorKey{7, 7, EVENT_READ, 43});
  CHECK_FALSE(key == SelectorKey{socket, 7, EVENT_READ, 42});
  std::ostringstream out;
  out << key;
  CHECK(out.str() == "SelectorKey(fd=7, events=READ, data=42 (int))");
  CHECK(to_string(SelectorKey{7, 7, EVENT_READ, {}}) == "SelectorKey(fd=7, events=READ)");
  CHECK_THAT(to_string(SelectorKey{socket, 7, EVENT_READ, &socket}),
             Catch::Matchers::StartsWith("SelectorKey(fileobj=0x") && Catch::Matchers::EndsWith(" const*))"));
}

TEST_CASE("capabilities are a set") {
  constexpr Capabilities some = Capability::FILENO | Capability::EDGE_TRIGGER;
  static_assert(some.has(Capability::FILENO) && !some.has(Capability::REGULAR_FILES));
  static_assert(!Capabilities().has(Capability::FILENO));
}

TEST_CASE("errors name the operation and the descriptor") {
  try {
    throw_errno(EBADF, "epoll_ctl", 7);
  } catch (const std::system_error& error) {
    CHECK(std::string(error.what()) == "epoll_ctl on fd 7: Bad file descriptor");
    CHECK(error.code() == std::errc::bad_file_descriptor);
  }
  CHECK_THROWS_WITH(throw_errno(EMFILE, "epoll_create1", -1), "epoll_create1: Too many open files");
}

TEST_CASE("make_selector makes what it is asked for, and says what there is when it can't") {
  ::unsetenv("HEDDLE_SELECTOR");
  DefaultSelector platform;
  CHECK(std::string(make_selector()->name()) == platform.name());
  CHECK(available_selectors().front() == platform.name());
  for (std::string_view name : available_selectors()) CHECK(make_selector(name)->name() == name);
  CHECK_THROWS_AS(make_selector("epol"), ValueError);
  CHECK_THROWS_WITH(make_selector("epol"), Catch::Matchers::Contains("\"epol\"") &&
                                               Catch::Matchers::Contains("epoll") &&
                                               Catch::Matchers::Contains("select"));
  ::setenv("HEDDLE_SELECTOR", "poll", 1);
  CHECK(std::string(make_selector()->name()) == "poll");
  CHECK(std::string(make_selector("select")->name()) == "select");
  ::setenv("HEDDLE_SELECTOR", "default", 1);
  CHECK(std::string(make_selector()->name()) == platform.name());
  ::setenv("HEDDLE_SELECTOR", "", 1);
  CHECK(std::string(make_selector()->name()) == platform.name());
  ::setenv("HEDDLE_SELECTOR", "nonsense", 1);
  CHECK_THROWS_WITH(make_selector(), Catch::Matchers::Contains("HEDDLE_SELECTOR"));
  ::unsetenv("HEDDLE_SELECTOR");
}
