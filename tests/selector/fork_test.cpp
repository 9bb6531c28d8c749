// The child of a fork(): what it does to the selectors it has inherited takes nothing from the parent, and
// what can't work there says so.
// SPDX-License-Identifier: MIT
#include <stdexcept>

#include "../support/forked.hpp"
#include "contract.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

template <class Call>
bool refuses(Call call) {
  try {
    call();
  } catch (const KeyError&) {
    return false;
  } catch (const std::logic_error& error) {
    return std::string_view(error.what()).find("made before fork()") != std::string_view::npos;
  }
  return false;
}

}  // namespace

CONTRACT("a forked child that unregisters and closes what it inherited leaves the parent alone") {
  Pair pair = Pair::sockets();
  Pair other = Pair::sockets();
  selector.register_(pair.a, EVENT_READ, 1);
  selector.register_(other.a, BOTH, 2);
  CHECK(now(selector, pair.a) == NONE);
  CHECK(end_of_child([&] {
          selector.unregister(pair.a);
          pair.a.close();
          const bool rest = selector.get_map().size() == 1 && selector.get_key(other.a).data.get<int>() == 2;
          selector.unregister(other.a);
          selector.close();
          return rest && selector.closed() ? 0 : 1;
        }) == 0);
  CHECK(selector.get_map().size() == 2);
  CHECK(now(selector, pair.a) == NONE);
  CHECK(now(selector, other.a) == EVENT_WRITE);
  pair.b.write("x");
  CHECK(now(selector, pair.a) == EVENT_READ);
  pair.a.read();
  CHECK(now(selector, pair.a) == NONE);
  CHECK(end_of_child([&] {  // and one that ends without a word
          pair.a.close();
          return 0;
        }) == 0);
  pair.b.write("x");
  CHECK(now(selector, pair.a) == EVENT_READ);
  selector.modify(pair.a, EVENT_WRITE);
  CHECK(now(selector, pair.a) == EVENT_WRITE);
}

CONTRACT("in a forked child a selector of the parent's says that it was made before the fork") {
  Pair pair = Pair::sockets();
  Pair fresh = Pair::sockets();
  selector.register_(pair.a, EVENT_READ, 1);
  pair.b.write("x");
  CHECK(end_of_child([&] {
          if (!refuses([&] { selector.select(0s); })) return 1;
          if (!refuses([&] { selector.select(); })) return 2;
          if (!refuses([&] { selector.register_(fresh.a, EVENT_READ); })) return 3;
          if (!refuses([&] { selector.modify(pair.a, EVENT_WRITE); })) return 4;
          if (!refuses([&] { selector.purge(); })) return 5;
          if (selector.has_wait_raw() && !refuses([&] { selector.wait_raw(Duration(0), 1); })) return 6;
          if (selector.get_key(pair.a).events != EVENT_READ || selector.get_map().size() != 1) return 7;
          selector.set_nested(true);
          if (subject.move != nullptr) {
            const auto moved = subject.move(selector);
            if (!refuses([&] { moved->select(0s); })) return 8;
          }
          const auto mine = subject.make();
          mine->register_(pair.a, EVENT_READ);
          if (in(mine->select(1s), pair.a) != EVENT_READ) return 9;
          mine->unregister(pair.a);
          return end_of_child([&] { return refuses([&] { mine->select(0s); }) ? 0 : 1; }) == 0 ? 0 : 10;
        }) == 0);
  CHECK(now(selector, pair.a) == EVENT_READ);
  selector.unregister(pair.a);
  pair.a.close();
  while (!pair.b.read().empty()) {
  }
  CHECK(pair.b.at_end());
}
