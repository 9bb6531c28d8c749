// DescriptorTable against a plain model: what the selector is asked for follows from who waits. SecondLook.
// SPDX-License-Identifier: MIT
#include "../../../runtime/loop/descriptor_table.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "../../../io/operation/fd.hpp"
#include "../../../runtime/loop/event_loop.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../selector/base_selector.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

struct Ends {
  Ends() {
    int fds[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) std::abort();
    near = fds[0];
    far = fds[1];
  }
  Ends(const Ends&) = delete;
  Ends& operator=(const Ends&) = delete;
  ~Ends() {
    ::close(near);
    ::close(far);
  }
  int near;
  int far;
};

unsigned next_random(std::uint64_t& state, unsigned limit) {
  state = state * 6364136223846793005U + 1442695040888963407U;
  return static_cast<unsigned>((state >> 33) % limit);
}

EventMask registered(const EventLoop& loop, int fd) {
  const SelectorKey* const key = loop.selector().get_map().find(fd);
  return key != nullptr ? key->events : EventMask(0);
}

}  // namespace

// Callbacks stand for those who wait: of raw numbers, so nothing may stay registered without one.
ON_SELECTORS("the selector is asked for what somebody waits for, whatever came and went before") {
  EventLoop loop(loop_options(selector));
  std::array<Ends, 6> ends;
  std::array<EventMask, 6> model{EventMask(0), EventMask(0), EventMask(0),
                                 EventMask(0), EventMask(0), EventMask(0)};
  for (std::uint64_t random = 1, step = 0; step < 3000; ++step) {
    const unsigned which = next_random(random, 6);
    const int fd = ends[which].near;
    const bool reads = next_random(random, 2) == 0;
    const EventMask event = reads ? EVENT_READ : EVENT_WRITE;
    if (next_random(random, 2) == 0) {
      reads ? loop.add_reader(fd, [] {}) : loop.add_writer(fd, [] {});
      model[which] |= event;
    } else {
      CHECK((reads ? loop.remove_reader(fd) : loop.remove_writer(fd)) == model[which].contains(event));
      model[which] = model[which] & ~event;
    }
    if (step % 500 == 499) loop.set_selector(selector);
    for (unsigned i = 0; i < 6; ++i) {
      REQUIRE(registered(loop, ends[i].near) == model[i]);
      REQUIRE((loop.descriptors().find(ends[i].near) != nullptr) == static_cast<bool>(model[i]));
    }
    REQUIRE(loop.descriptors().anyone_waits() == (loop.selector().get_map().size() > 1));
  }
}

ON_SELECTORS("an owned watch stays registered, outlives its loop, and another loop adopts it") {
  Ends ends;
  auto first = std::make_unique<EventLoop>(loop_options(selector));
  FdWatch& watch = first->descriptors().watch(ends.near);
  first->descriptors().arm(watch, Direction::READ, true);
  CHECK(first->descriptors().find(ends.near) == &watch);
  CHECK(&first->descriptors().watch(ends.near) == &watch);
  CHECK(registered(*first, ends.near).contains(EVENT_READ));

  EventLoop second(loop_options(selector));
  CHECK_FALSE(second.descriptors().adopt(watch));
  first.reset();
  CHECK(watch.table == nullptr);
  CHECK_FALSE(watch.edge());
  CHECK(second.descriptors().adopt(watch));
  CHECK(watch.table == &second.descriptors());
  second.descriptors().arm(watch, Direction::WRITE, true);
  CHECK(registered(second, ends.near).contains(EVENT_WRITE));
  DescriptorTable::release(watch);
  CHECK(second.descriptors().find(ends.near) == nullptr);
  CHECK(second.selector().get_map().size() == 1);
}

TEST_CASE("what a short read left behind is found by a second look, for any number of descriptors") {
  if (!is_to_be_tested("epoll")) return;
  run_on("epoll", []() -> Task<void> {
    DescriptorTable& table = EventLoop::running().descriptors();
    std::vector<std::unique_ptr<Ends>> ends;
    std::vector<FdWatch*> watches;
    for (int i = 0; i < 200; ++i) {
      ends.push_back(std::make_unique<Ends>());
      watches.push_back(&table.watch(ends.back()->near));
      table.arm(*watches.back(), Direction::READ, true);
      watches.back()->side(Direction::READ).set_drained();
      if (i % 2 == 0) CHECK(::write(ends.back()->far, "x", 1) == 1);
    }
    // The events of these come (some at a time, the selector gives no more at once), and nobody reads.
    const auto has_come = [](const FdWatch* watch) { return watch->side(Direction::READ).ready(); };
    while (std::ranges::count_if(watches, has_come) < 100) co_await sleep(1ms);
    const std::size_t timers = EventLoop::running().counters().timers;
    for (FdWatch* const watch : watches) {
      watch->side(Direction::READ).set_drained();  // as after a short read
      CHECK(table.expect_drained(*watch));
      CHECK(watch->awaits_second_look);
    }
    CHECK(EventLoop::running().counters().timers == timers);  // the loop's own isn't counted
    // On a slow machine several of its looks may be due in one turn of the loop, with this timer among them.
    co_await sleep(300ms);
    for (int i = 0; i < 10 && table.has_second_look_pending(); ++i) co_await sleep(1ms);
    CHECK_FALSE(table.has_second_look_pending());
    for (int i = 0; i < 200; ++i) {
      FdWatch& watch = *watches[static_cast<std::size_t>(i)];
      CHECK_FALSE(watch.awaits_second_look);
      CHECK(watch.more_may_follow == (i % 2 == 0));
      CHECK(watch.side(Direction::READ).ready() == (i % 2 == 0));
      // Where it has found something, a short read proves nothing until one finds nothing.
      CHECK(table.expect_drained(watch) == (i % 2 != 0));
    }
    for (FdWatch* const watch : watches) DescriptorTable::release(*watch);
  });
}

namespace {

// What a callback may own: its end closes a descriptor that the loop watches, and removes another callback.
struct Owner {
  explicit Owner(EventLoop& its_loop) : loop(its_loop) {}
  Owner(const Owner&) = delete;
  Owner& operator=(const Owner&) = delete;
  ~Owner() {
    if (other >= 0) loop.remove_reader(other);
  }
  EventLoop& loop;
  Fd stream;
  int other = -1;
};

}  // namespace

ON_SELECTORS("a callback's end may close what the loop watches, and remove other callbacks") {
  for (const bool removed : {false, true}) {
    Ends ends;
    Ends others;
    EventLoop loop(loop_options(selector));
    auto owner = std::make_shared<Owner>(loop);
    owner->stream = Fd(::dup(ends.near));
    FdWatch& watch = loop.descriptors().watch(owner->stream.fileno());
    loop.descriptors().arm(watch, Direction::READ, true);
    owner->stream.slot().watch = &watch;
    loop.add_reader(others.near, [] {});
    owner->other = others.near;
    loop.add_reader(others.far, [owner] {});
    const int fd = owner->stream.fileno();
    loop.add_writer(fd, [owner] {});  // its own descriptor's
    owner.reset();
    if (removed) {
      CHECK(loop.remove_reader(others.far));
      CHECK(loop.remove_writer(fd));  // the last owner goes
      CHECK(loop.descriptors().find(fd) == nullptr);
      CHECK_FALSE(loop.remove_reader(others.near));
    }
    loop.close();
    CHECK_FALSE(loop.remove_reader(others.near));
  }
}
