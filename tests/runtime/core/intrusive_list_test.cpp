// IntrusiveList: the same as std::list over random histories, and what its iteration survives.
// SPDX-License-Identifier: MIT
#include "../../../runtime/core/intrusive_list.hpp"

#include <algorithm>
#include <list>
#include <memory>
#include <random>
#include <vector>

#include "../../support/catch.hpp"

using namespace heddle;
using namespace heddle::detail;

namespace {

struct Item : ListLink<Item> {
  explicit Item(int its) noexcept : number(its) {}
  int number;
};

// The link isn't the first of its bases, nor a public one.
struct Payload {
  virtual ~Payload() = default;
  int number = 0;
};
class Hidden : public Payload, private ListLink<Hidden> {
  friend class IntrusiveList<Hidden>;
};

std::vector<int> numbers(const IntrusiveList<Item>& list) {
  std::vector<int> all;
  for (const Item& item : list) all.push_back(item.number);
  return all;
}

}  // namespace

TEST_CASE("an intrusive list does what std::list does, over random histories") {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&random](std::size_t limit) { return static_cast<std::size_t>(random() % limit); };
    constexpr std::size_t most = 12;
    std::vector<Item> items;
    for (int i = 0; i < static_cast<int>(most); ++i) items.emplace_back(i);
    IntrusiveList<Item> lists[2];
    std::list<int> models[2];
    std::vector<int> in(most, -1);  // the list that an item is in
    for (int step = 0; step < 200; ++step) {
      Item& item = items[below(most)];
      int& place = in[static_cast<std::size_t>(item.number)];
      const std::size_t which = below(2);
      IntrusiveList<Item>& list = lists[which];
      std::list<int>& model = models[which];
      switch (below(6)) {
        case 0:
        case 1:
          if (place >= 0) break;
          list.push_back(item);
          model.push_back(item.number);
          place = static_cast<int>(which);
          break;
        case 2:
          if (place >= 0) break;
          list.push_front(item);
          model.push_front(item.number);
          place = static_cast<int>(which);
          break;
        case 3:
          if (place < 0) break;
          IntrusiveList<Item>::remove(item);
          models[place].remove(item.number);
          place = -1;
          break;
        case 4:
          if (model.empty()) break;
          in[static_cast<std::size_t>(model.front())] = -1;
          REQUIRE(list.pop_front().number == model.front());
          model.pop_front();
          break;
        case 5:
          list.take_all(lists[1 - which]);
          model.splice(model.end(), models[1 - which]);
          std::replace(in.begin(), in.end(), static_cast<int>(1 - which), static_cast<int>(which));
          break;
      }
      for (const std::size_t i : {0U, 1U}) {
        REQUIRE(numbers(lists[i]) == std::vector<int>(models[i].begin(), models[i].end()));
        REQUIRE(lists[i].empty() == models[i].empty());
        if (models[i].empty()) continue;
        REQUIRE(lists[i].front().number == models[i].front());
        REQUIRE(lists[i].back().number == models[i].back());
      }
    }
  }
}

TEST_CASE("an iteration over an intrusive list survives that the element it is at is removed and destroyed") {
  for (unsigned removed = 0; removed < 16; ++removed) {  // a bit for each element
    std::vector<std::unique_ptr<Item>> items;
    IntrusiveList<Item> list;
    for (int i = 0; i < 4; ++i) list.push_back(*items.emplace_back(std::make_unique<Item>(i)));
    std::vector<int> seen;
    std::vector<int> left;
    for (Item& item : list) {
      const int number = item.number;
      seen.push_back(number);
      if ((removed >> number & 1U) != 0) {
        IntrusiveList<Item>::remove(item);
        items[static_cast<std::size_t>(number)].reset();
      } else {
        left.push_back(number);
      }
    }
    CHECK(seen == std::vector<int>{0, 1, 2, 3});
    CHECK(numbers(list) == left);
  }
}

TEST_CASE("a copy of what is in an intrusive list is in none, and may go into another") {
  IntrusiveList<Item> list;
  IntrusiveList<Item> other;
  Item original(1);
  Item before(0);
  list.push_back(before);
  list.push_back(original);
  Item copy(original);
  before = copy;  // stays where it is
  CHECK(numbers(list) == std::vector<int>{1, 1});
  other.push_back(copy);
  CHECK(numbers(other) == std::vector<int>{1});
  CHECK(numbers(list) == std::vector<int>{1, 1});
}

TEST_CASE("the link of an intrusive list may be any base, and a private one") {
  IntrusiveList<Hidden> list;
  Hidden hidden;
  hidden.number = 7;
  list.push_back(hidden);
  CHECK(list.front().number == 7);
  CHECK(&list.pop_front() == &hidden);
  CHECK(list.empty());
}
