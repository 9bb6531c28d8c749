// Ref: what it counts, and what becomes of its target.
// SPDX-License-Identifier: MIT
#include "../../../runtime/core/ref.hpp"

#include <utility>

#include "../../support/catch.hpp"

using namespace heddle;
using namespace heddle::detail;

namespace {

struct Counted {
  int references = 1;
  int ended = 0;
  void add_reference() noexcept { ++references; }
  void release() noexcept {
    if (--references == 0) ++ended;
  }
};

// For a Ref that only moves.
struct Ending {
  static void drop(Counted& counted) noexcept { ++counted.ended; }
};

}  // namespace

TEST_CASE("a Ref adds a reference for each copy, none where it is moved, and drops each once") {
  Counted counted;
  {
    Ref<Counted> first(counted);
    CHECK(counted.references == 2);
    const Ref<Counted> second(first);
    CHECK(counted.references == 3);
    Ref<Counted> third(std::move(first));
    CHECK(counted.references == 3);
    CHECK_FALSE(first);
    CHECK(third.get() == &counted);
    CHECK(second == third);
    first = second;
    CHECK(counted.references == 4);
    first = std::move(third);
    CHECK(counted.references == 3);
    first.reset();
    CHECK(counted.references == 2);
    first.reset();
    CHECK(counted.references == 2);
  }
  CHECK(counted.references == 1);
  CHECK(counted.ended == 0);
}

TEST_CASE("a Ref that is assigned to itself keeps its target") {
  Counted counted;
  Ref<Counted> one = Ref<Counted>::adopt(counted);
  Ref<Counted>& same = one;
  one = same;
  CHECK(counted.references == 1);
  one = std::move(same);
  CHECK(one.get() == &counted);
  CHECK(counted.references == 1);
}

TEST_CASE("the last Ref ends its target, and one that is assigned drops what it had") {
  Counted a;
  Counted b;
  Ref<Counted> one = Ref<Counted>::adopt(a);
  one = Ref<Counted>::adopt(b);
  CHECK(a.ended == 1);
  CHECK(b.ended == 0);
  one = Ref<Counted>();
  CHECK(b.ended == 1);
}

TEST_CASE("what is detached from a Ref is the caller's to drop") {
  Counted counted;
  Ref<Counted> one = Ref<Counted>::adopt(counted);
  Counted* const detached = one.detach();
  CHECK_FALSE(one);
  one.reset();
  CHECK(counted.ended == 0);
  detached->release();
  CHECK(counted.ended == 1);
}

TEST_CASE("a Ref counts as its policy says") {
  Counted counted;
  {
    auto one = Ref<Counted, Ending>::adopt(counted);
    auto two = std::move(one);
    CHECK(counted.ended == 0);
  }
  CHECK(counted.ended == 1);
  CHECK(counted.references == 1);
}
