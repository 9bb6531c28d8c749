// wait_raw: the kernel's own answer, for an event loop.
// SPDX-License-Identifier: MIT
#include "../../../selector/base_selector.hpp"

#include <sys/socket.h>

#include "../../support/catch.hpp"
#include "../files.hpp"
#include "../subjects.hpp"

using namespace heddle;
using namespace heddle::test;

TEST_CASE("what wait_raw leaves to be read says what select would have said") {
  for (const Subject& subject : subjects()) {
    INFO(subject.name);
    auto selector = subject.make();
    if (!selector->has_wait_raw()) continue;
    Pair pair = Pair::sockets();
    selector->register_(pair.a, EVENT_READ, &pair);
    selector->register_(pair.b, EVENT_WRITE, 7);
    pair.b.write("x");
    must(::shutdown(pair.b.fileno(), SHUT_WR));
    const KernelEvents events = selector->wait_raw(Duration(0), 10);
    REQUIRE(events.size() == 2);
    for (const KernelEvent& event : events) {
      const auto& registration = selector->registrations()[event.fd()];
      CHECK(registration.generation == event.generation());
      const Ready ready = selector->read(event, registration);
      CHECK(ready.key == selector->get_key(event.fd()));
      CHECK(ready.events == ready.key.events);
    }
    selector->close();
    CHECK_THROWS_AS(selector->wait_raw(Duration(0), 10), SelectorClosed);
  }
}

TEST_CASE("wait_raw reports no more than it is asked for, and then those that were left") {
  for (const Subject& subject : subjects()) {
    INFO(subject.name);
    auto selector = subject.make();
    if (!selector->has_wait_raw()) continue;
    std::vector<Pair> pairs;
    for (int i = 0; i < 5; ++i) {
      pairs.push_back(Pair::sockets());
      selector->register_(pairs.back().a, EVENT_READ, {}, Trigger::EDGE);
      pairs.back().b.write("x");
    }
    std::vector<int> told;
    for (const std::size_t expected : {std::size_t{2}, std::size_t{2}, std::size_t{1}, std::size_t{0}}) {
      const KernelEvents events = selector->wait_raw(Duration(0), 2);
      CHECK(events.size() == expected);
      for (const KernelEvent& event : events) told.push_back(event.fd());
    }
    for (std::size_t i = 0; i < told.size(); ++i) CHECK(told[i] == pairs[i].a.fileno());
  }
}

TEST_CASE("an event that outlived its registration is told by its generation, and purged") {
  for (const Subject& subject : subjects()) {
    INFO(subject.name);
    auto selector = subject.make();
    if (!selector->has_wait_raw()) continue;
    Pair pair = Pair::sockets();
    const int number = pair.a.fileno();
    selector->register_(number, EVENT_READ);
    const File survivor(::dup(number));
    pair.b.write("x");
    pair.a.close();
    selector->unregister(number);
    const KernelEvents events = selector->wait_raw(Duration(0), 10);
    REQUIRE(events.size() == 1);
    CHECK(selector->registrations()[events[0].fd()].generation != events[0].generation());
    selector->purge();
    CHECK(selector->wait_raw(Duration(0), 10).empty());
  }
}

TEST_CASE("who decorates a selector has no raw wait, and one without it says so") {
  for (const Subject& subject : subjects()) {
    INFO(subject.name);
    auto selector = subject.make();
    CHECK(selector->has_wait_raw() == (subject.name == "epoll"));
    if (!selector->has_wait_raw()) CHECK_THROWS_AS(selector->wait_raw(Duration(0), 10), std::system_error);
  }
}
