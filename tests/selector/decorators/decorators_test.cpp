// CheckedSelector finds what it is for, TracingSelector says what happens, and others can derive too.
// SPDX-License-Identifier: MIT
#include <sys/eventfd.h>

#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "../../../selector/decorators/checked_selector.hpp"
#include "../../../selector/decorators/tracing_selector.hpp"
#include "../../../selector/mechanisms/epoll_selector.hpp"
#include "../../../selector/mechanisms/poll_selector.hpp"
#include "../contract.hpp"

using namespace heddle;
using namespace heddle::test;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

using Lines = std::vector<std::string>;

void keep_finding(void* lines, const char* finding) { static_cast<Lines*>(lines)->emplace_back(finding); }
void keep_line(void* lines, std::string_view line) { static_cast<Lines*>(lines)->emplace_back(line); }

std::string fd_of(const File& file) { return "fd " + std::to_string(file.fileno()); }

}  // namespace

TEST_CASE("a descriptor closed while registered is found by the next select, once") {
  Lines found;
  CheckedSelector selector(make_selector("epoll"), keep_finding, &found);
  Pair pair = Pair::sockets();
  const std::string fd = fd_of(pair.a);
  selector.register_(pair.a, EVENT_READ);
  CHECK(selector.select(0s).empty());
  CHECK(found.empty());
  pair.a.close();
  CHECK(selector.select(0s).empty());
  CHECK(selector.select(0s).empty());
  REQUIRE(found.size() == 1);
  CHECK(found[0] == fd + " was closed while it was registered (READ)");
  CHECK(selector.findings() == 1);
  selector.unregister(pair.a);
  CHECK(found.size() == 1);
}

TEST_CASE("a descriptor closed before its unregister is found without a select") {
  Lines found;
  CheckedSelector selector(make_selector("poll"), keep_finding, &found);
  Pair pair = Pair::sockets();
  selector.register_(pair.a, BOTH);
  pair.a.close();
  selector.unregister(pair.a);
  REQUIRE(found.size() == 1);
  CHECK_THAT(found[0], Contains("was closed while it was registered (READ|WRITE)"));
}

TEST_CASE("a number that another file took over while registered is found") {
  Lines found;
  CheckedSelector selector(make_selector("epoll"), keep_finding, &found);
  Pair pair = Pair::sockets();
  Pair other = Pair::pipe();
  selector.register_(pair.a, EVENT_READ);
  must(::dup2(other.a.fileno(), pair.a.fileno()));
  (void)selector.select(0s);
  REQUIRE(found.size() == 1);
  CHECK(found[0] ==
        fd_of(pair.a) +
            " was closed while it was registered, and its number belongs to another file now (READ)");
}

TEST_CASE("what is still registered at the end is found, and what is not is not") {
  Lines found;
  Pair pair = Pair::sockets();
  {
    EpollSelector inner;
    CheckedSelector selector(inner, keep_finding, &found);
    selector.register_(pair.a, EVENT_READ);
    selector.register_(pair.b, EVENT_WRITE);
    selector.unregister(pair.a);
    CheckedSelector moved(std::move(selector));
    CHECK(found.empty());
  }
  REQUIRE(found.size() == 1);
  CHECK(found[0] == fd_of(pair.b) + " was still registered when the selector was closed (WRITE)");
}

TEST_CASE("registering what is not open is found where the kernel does not look") {
  Lines found;
  CheckedSelector selector(make_selector("poll"), keep_finding, &found);
  selector.register_(900, EVENT_READ);
  REQUIRE(found.size() == 1);
  CHECK(found[0] == "fd 900 was registered though it is not open (READ)");
  selector.unregister(900);
}

TEST_CASE("a clean life has no findings") {
  Lines found;
  {
    CheckedSelector selector(make_selector(), keep_finding, &found);
    for (int round = 0; round < 100; ++round) {
      Pair pair = Pair::sockets();
      selector.register_(pair.a, EVENT_READ);
      pair.b.write("x");
      CHECK(selector.select(0s).size() == 1);
      selector.modify(pair.a, BOTH);
      selector.unregister(pair.a);
    }
  }
  CHECK(found.empty());
}

TEST_CASE("a decorator needs a selector") {
  CHECK_THROWS_AS(CheckedSelector(std::unique_ptr<BaseSelector>()), ValueError);
}

TEST_CASE("tracing writes a line a call, and none when it is off") {
  Lines lines;
  TracingSelector selector(make_selector("epoll"), keep_line, &lines);
  const auto last = [&lines] { return lines.empty() ? std::string() : lines.back(); };
  Pair pair = Pair::sockets();
  const std::string fd = fd_of(pair.a);
  selector.register_(pair.a, EVENT_READ);
  CHECK(last() == "register " + fd + " READ");
  selector.modify(pair.a, BOTH);
  CHECK(last() == "modify " + fd + " READ -> READ|WRITE");
  selector.modify(pair.a, BOTH, 1);
  CHECK(last() == "modify " + fd + " data");
  (void)selector.select(250ms);
  CHECK_THAT(last(), StartsWith("select 250.000 ms: 1 ready after ") &&
                         Contains(" ms: " + std::to_string(pair.a.fileno()) + " WRITE"));
  selector.modify(pair.a, EVENT_READ);
  (void)selector.select(0s);
  CHECK_THAT(last(), StartsWith("select 0 ms: 0 ready after "));
  pair.b.write("x");
  (void)selector.select();
  CHECK_THAT(last(), StartsWith("select for ever: 1 ready after "));
  CHECK_THROWS_AS(selector.register_(pair.a, EVENT_READ), KeyError);
  CHECK(last() == "refused: register on " + fd + ": is already registered");
  selector.unregister(pair.a);
  CHECK(last() == "unregister " + fd);
  const int closed = pair.a.fileno();
  pair.a.close();
  CHECK_THROWS_AS(selector.register_(closed, EVENT_READ), std::system_error);
  CHECK(last() == "register " + fd + " READ: epoll_ctl on " + fd + ": Bad file descriptor");
  const std::size_t count = lines.size();
  CHECK(count == 10);
  selector.enable(false);
  selector.register_(pair.b, EVENT_READ);
  (void)selector.select(0s);
  selector.unregister(pair.b);
  CHECK(lines.size() == count);
  selector.enable(true);
  selector.close();
  CHECK(last() == "close");
}

TEST_CASE("a trace of very many ready descriptors is one line that is cut") {
  Lines lines;
  TracingSelector selector(make_selector("poll"), keep_line, &lines);
  std::vector<Pair> pairs;
  for (int i = 0; i < 200; ++i) {
    pairs.push_back(Pair::sockets());
    selector.register_(pairs.back().a, EVENT_WRITE);
  }
  CHECK(selector.select(0s).size() == 200);
  CHECK_THAT(lines.back(), StartsWith("select 0 ms: 200 ready") && Catch::Matchers::EndsWith(", ..."));
  CHECK(lines.back().size() < 448);
}

TEST_CASE("decorators nest") {
  Lines lines;
  Lines found;
  CheckedSelector selector(
      std::make_unique<TracingSelector>(std::make_unique<EpollSelector>(), keep_line, &lines), keep_finding,
      &found);
  Pair pair = Pair::sockets();
  selector.register_(pair.a, EVENT_READ, {}, Trigger::EDGE);
  pair.b.write("x");
  pair.b.close();
  const ReadyList list = selector.select(1s);
  REQUIRE(list.size() == 1);
  CHECK(list[0].hangup);
  pair.a.close();
  selector.unregister(pair.a);
  CHECK(found.size() == 1);
  CHECK_THAT(lines[0], Contains("EDGE"));
}

namespace {

/// A selector of one's own: what user code calls ready is ready.
class ManualSelector final : public BaseSelector {
 public:
  ManualSelector() : BaseSelector("manual", "manual") {}
  ~ManualSelector() override { close(); }
  [[nodiscard]] const char* name() const noexcept override { return "manual"; }
  [[nodiscard]] Capabilities capabilities() const noexcept override { return {}; }
  int ready = -1;
  EventMask events = EVENT_READ;
  int error = 0;
  int purges = 0;

 private:
  int do_register(const SelectorKey&, std::uint32_t, Trigger) override { return error; }
  int do_modify(const SelectorKey&, EventMask, std::uint32_t, Trigger) override { return error; }
  void do_unregister(const SelectorKey&, std::uint32_t) noexcept override {}
  int do_wait(Timeout) override {
    if (ready >= 0) report(ready, find(ready) != nullptr ? generation(ready) : 0, events, false);
    return error;
  }
  int do_purge() override {
    ++purges;
    ready = -1;
    return 0;
  }
  void do_close() noexcept override {}
};

}  // namespace

TEST_CASE("whoever derives a selector gets the table, the checks and the time for free") {
  ManualSelector selector;
  selector.register_(7, EVENT_READ, 1);
  CHECK_THROWS_AS(selector.register_(7, EVENT_READ), KeyError);
  selector.ready = 7;
  CHECK(selector.select().size() == 1);
  selector.ready = 100'000;  // beyond the table
  CHECK(selector.select(0s).empty());
  selector.ready = 8;  // not registered
  CHECK(selector.select(0s).empty());
  selector.ready = 7;
  selector.events = EVENT_WRITE;  // not asked for
  CHECK(selector.select(0s).empty());
  CHECK(selector.purges == 2);  // that one isn't stray
  selector.ready = -1;
  selector.error = EIO;
  CHECK_THROWS_WITH(selector.select(0s), "manual: Input/output error");
  CHECK_THROWS_WITH(selector.modify(7, EVENT_WRITE), "manual on fd 7: Input/output error");
  CHECK(selector.get_map().empty());
  CHECK_THROWS_AS(selector.register_(9, EVENT_READ), std::system_error);
  selector.error = 0;
  selector.register_(9, EVENT_READ);
  const auto start = Clock::now();
  CHECK(selector.select(2ms).empty());
  CHECK(Clock::now() - start >= 2ms);
}
