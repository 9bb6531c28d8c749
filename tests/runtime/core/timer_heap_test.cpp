// TimerHeap: which timer is next, against a model that sorts.
// SPDX-License-Identifier: MIT
#include "../../../runtime/core/timer_heap.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "../../../runtime/testing/allocation_faults.hpp"
#include "../../support/catch.hpp"

using namespace heddle;
using namespace heddle::detail;

namespace {

struct Alarm : Timer {
  Alarm() : Timer([](Timer&) noexcept {}) {}
};

TimePoint at(long ns) { return TimePoint(std::chrono::nanoseconds(ns)); }

// A heap beside a model that is always sorted.
class Compared {
 public:
  explicit Compared(std::size_t count) : alarms_(count) {}

  std::size_t count() const { return alarms_.size(); }
  std::size_t fired() const { return fired_; }
  void run_out_of_memory() { without_memory_ = true; }
  std::size_t failed() const { return failed_; }
  bool agree() const {
    return same_ && heap_.size() == model_.size() && heap_.empty() == model_.empty() &&
           (model_.empty() || heap_.earliest() == model_.begin()->first);
  }

  void add(std::size_t number, long deadline) {
    Alarm& alarm = alarms_[number];
    // Each allocation fails once, and then nothing has happened.
    for (std::uint64_t number_of_fault = 1;; ++number_of_fault) try {
        const AllocationFault fault(without_memory_ ? number_of_fault : ~std::uint64_t{0});
        heap_.add(alarm, at(deadline));
        break;
      } catch (const std::bad_alloc&) {
        ++failed_;
        same_ = same_ && agree() && !alarm.armed();
      }
    places_[&alarm] = model_.emplace(at(deadline), &alarm);
  }

  void remove(std::size_t number) {
    Alarm& alarm = alarms_[number];
    heap_.remove(alarm);
    if (const auto place = places_.find(&alarm); place != places_.end()) {
      model_.erase(place->second);
      places_.erase(place);
    }
  }

  void fire(TimePoint until) {
    while (Timer* const timer = pop_due(until)) {
      same_ = same_ && !model_.empty() && timer == model_.begin()->second;
      if (!same_) return;
      places_.erase(model_.begin()->second);
      model_.erase(model_.begin());
      ++fired_;
    }
    same_ = same_ && (model_.empty() || model_.begin()->first > until);
  }

 private:
  Timer* pop_due(TimePoint until) {
    const AllocationFault fault(without_memory_ && fired_ % 3 == 0 ? 1 + fired_ % 20 : ~std::uint64_t{0});
    return heap_.pop_due(until);
  }

  TimerHeap heap_;
  std::deque<Alarm> alarms_;
  std::multimap<TimePoint, Alarm*> model_;  // equal keys keep the order of insertion
  std::map<Alarm*, std::multimap<TimePoint, Alarm*>::iterator> places_;
  std::size_t fired_ = 0;
  bool same_ = true;
  bool without_memory_ = false;
  std::size_t failed_ = 0;
};

}  // namespace

TEST_CASE("a timer that isn't due stays in the heap") {
  TimerHeap heap;
  Alarm alarm;
  CHECK(heap.empty());
  CHECK(heap.pop_due(TimePoint::max()) == nullptr);
  heap.add(alarm, at(10));
  CHECK(alarm.armed());
  CHECK(heap.size() == 1);
  CHECK(heap.earliest() == at(10));
  CHECK(heap.pop_due(at(9)) == nullptr);
  CHECK(heap.pop_due(at(10)) == &alarm);
  CHECK_FALSE(alarm.armed());
  CHECK(heap.empty());
}

TEST_CASE("equal deadlines come out in the order in which they were set") {
  TimerHeap heap;
  std::deque<Alarm> alarms(1000);
  for (Alarm& alarm : alarms) heap.add(alarm, at(5));
  for (Alarm& alarm : alarms) CHECK(heap.pop_due(at(5)) == &alarm);
}

TEST_CASE("a timer that was removed doesn't come out, and removing it again is nothing") {
  TimerHeap heap;
  Alarm a;
  Alarm b;
  Alarm c;
  heap.add(a, at(1));
  heap.add(b, at(2));
  heap.add(c, at(3));
  heap.remove(a);
  heap.remove(a);
  CHECK_FALSE(a.armed());
  CHECK(heap.earliest() == at(2));
  heap.remove(c);
  CHECK(heap.pop_due(at(9)) == &b);
  CHECK(heap.empty());
  heap.add(a, at(4));
  CHECK(heap.pop_due(at(9)) == &a);
}

TEST_CASE("a hundred thousand timers set, removed and fired at random come out as from a sorted list") {
  std::mt19937 random(20240607);
  Compared timers(100'000);
  long now = 0;
  for (std::size_t i = 0; i < timers.count(); ++i) {
    timers.add(i, now + static_cast<long>(random() % 5000));
    if (random() % 3 == 0) timers.remove(random() % timers.count());
    if (random() % 16 == 0) timers.fire(at(now += static_cast<long>(random() % 20)));
    if (!timers.agree()) break;
  }
  timers.fire(TimePoint::max());
  CHECK(timers.agree());
  CHECK(timers.fired() > 50'000);
}

TEST_CASE("timers that are set before many far ones, and between those that come next, come out in order") {
  std::mt19937 random(11);
  Compared timers(60'000);
  const auto somewhere = [&random](long from, long to) {
    return from + static_cast<long>(random() % static_cast<unsigned long>(to - from));
  };
  std::size_t next = 0;
  while (next < 30'000) timers.add(next++, somewhere(0, 1'000'000));
  for (long now = 1'000; now < 1'000'000 && timers.agree(); now += 20'000) {
    timers.fire(at(now));
    // Few or many, in a little time: they share deadlines with each other, and with those that are there.
    const std::size_t until = std::min(timers.count(), next + (random() % 4 == 0 ? 3'000 : 20));
    while (next < until) timers.add(next++, somewhere(now, now + 2'000));
    for (int i = 0; i < 100; ++i) timers.remove(random() % timers.count());
    timers.fire(at(now + 500));
  }
  timers.fire(TimePoint::max());
  CHECK(timers.agree());
  CHECK(timers.fired() > 30'000);
}

TEST_CASE("many far timers, most of which are removed, come out in order") {
  std::mt19937 random(7);
  constexpr std::size_t count = 50'000;
  TimerHeap heap;
  std::deque<Alarm> alarms(count);
  std::vector<std::pair<TimePoint, std::size_t>>
      model;  // what is due at the same time in the order of adding
  for (std::size_t i = 0; i < count; ++i) {
    // Many share a deadline, more than a heap's worth one of them; and some come ever earlier.
    const long deadline = i % 4 == 0   ? 5'000
                          : i % 4 == 1 ? static_cast<long>(random() % 1'000)
                          : i % 4 == 2 ? static_cast<long>(random() % 1'000'000)
                                       : static_cast<long>(2 * (count - i));
    heap.add(alarms[i], at(deadline));
    model.emplace_back(at(deadline), i);
  }
  std::vector<std::size_t> victims(count);
  std::iota(victims.begin(), victims.end(), std::size_t{0});
  std::shuffle(victims.begin(), victims.end(), random);
  victims.resize(count * 4 / 5);
  for (const std::size_t victim : victims) heap.remove(alarms[victim]);
  std::erase_if(model, [&](const auto& each) { return !alarms[each.second].armed(); });
  std::sort(model.begin(), model.end());
  CHECK(heap.size() == model.size());
  bool same = true;
  for (const auto& [deadline, number] : model) {
    same = same && heap.earliest() == deadline && heap.pop_due(deadline) == &alarms[number];
    if (!same) break;
  }
  CHECK(same);
  CHECK(heap.empty());
}

TEST_CASE("far timers of few deadlines, the first and the last of all times among them, come out in order") {
  const long first = TimePoint::min().time_since_epoch().count();
  const long last = TimePoint::max().time_since_epoch().count();
  const std::vector<std::vector<long>> choices = {{7, 7, 7, 7, 7, 7, 7, 8},
                                                  {7, 7, 7, 7, 7, 7, 7, 6},
                                                  {last, last, last, last - 1},
                                                  {first, last},
                                                  {last}};
  for (const std::vector<long>& choice : choices) {
    std::mt19937 random(3);
    Compared timers(20'000);
    for (std::size_t i = 0; i < timers.count(); ++i)
      timers.add(i, i < 8'000 ? static_cast<long>(i / 2) : choice[random() % choice.size()]);
    for (std::size_t i = 0; i < 2'000; ++i) timers.remove(random() % timers.count());
    for (long now = 0; now < 4'000; now += 500) timers.fire(at(now));
    timers.fire(TimePoint::max());
    CHECK(timers.agree());
    CHECK(timers.fired() > 18'000);
  }
}

TEST_CASE("far timers come out in order when there is no memory to sort them") {
  constexpr std::size_t count = 20'000;
  std::size_t failed = 0;
  for (std::uint64_t number = 1; number < 100 && failed + 1 == number; ++number) {
    std::mt19937 random(5);
    TimerHeap heap;
    std::deque<Alarm> alarms(count);
    for (Alarm& alarm : alarms) heap.add(alarm, at(static_cast<long>(random() % 1'000'000)));
    const AllocationFault fault(number);
    std::size_t fired = 0;
    for (TimePoint last; !heap.empty() && heap.earliest() >= last; ++fired) {
      last = heap.earliest();
      heap.pop_due(last);
    }
    CHECK(fired == count);
    failed += fault.has_failed();
  }
  CHECK(failed >= (allocations_are_observed() ? 16 : 0));  // the parts of a run
}

TEST_CASE("timers that there was no memory for aren't set, and all others are as they were") {
  Compared timers(20'000);
  timers.run_out_of_memory();
  std::mt19937 random(7);
  long now = 0;
  for (std::size_t i = 0; i < 4 * timers.count(); ++i) {
    const std::size_t number = random() % timers.count();
    timers.remove(number);
    if (random() % 8 != 0) timers.add(number, now + static_cast<long>(random() % 100'000));
    if (i % 5'000 == 4'999) timers.fire(at(now += 10'000));
    if (i % 100 == 0) REQUIRE(timers.agree());
  }
  timers.fire(TimePoint::max());
  CHECK(timers.agree());
  CHECK(timers.failed() >= (allocations_are_observed() ? 20 : 0));
}

TEST_CASE("few timers wake the loop each at its time") {
  TimerHeap heap;
  std::deque<Alarm> alarms(1'000);
  for (std::size_t i = 0; i < alarms.size(); ++i) heap.add(alarms[i], at(static_cast<long>(1'000 + i)));
  for (long now = 1'000; !heap.empty(); ++now) {
    CHECK(heap.wake_up() == at(now));
    CHECK(heap.pop_due(at(now)) != nullptr);
  }
}

TEST_CASE("thousands of timers share wake-ups, and none is a millisecond late for that") {
  constexpr long ms = 1'000'000;
  const long apart = GENERATE(20L, 1'000L, 20'000L, 600'000L, 3 * ms);
  CAPTURE(apart);
  TimerHeap heap;
  std::deque<Alarm> alarms(20'000);
  for (std::size_t i = 0; i < alarms.size(); ++i)
    heap.add(alarms[i * 7 % alarms.size()], at(ms + static_cast<long>(i * 7 % alarms.size()) * apart));
  int wake_ups = 0;
  while (!heap.empty()) {
    const TimePoint wake_up = heap.wake_up();
    CHECK(wake_up >= heap.earliest());
    CHECK(wake_up - heap.earliest() <= std::chrono::milliseconds(1));
    while (heap.pop_due(wake_up) != nullptr) {
    }
    ++wake_ups;
  }
  // The first ones are those of the heap, each at its time.
  const long shared = static_cast<long>(alarms.size()) * apart / ms + 2;
  CHECK(wake_ups <= std::min(static_cast<long>(alarms.size()), shared + 1'280));
}

TEST_CASE("a timer that was added later wakes the loop at its time, though others share a wake-up") {
  TimerHeap heap;
  std::deque<Alarm> alarms(20'000);
  for (std::size_t i = 0; i < alarms.size(); ++i) heap.add(alarms[i], at(1'000 * static_cast<long>(i)));
  while (heap.earliest() < at(5'000'000)) heap.pop_due(at(5'000'000));
  REQUIRE(heap.wake_up() > at(5'500'000));
  Alarm soon;
  heap.add(soon, at(5'000'500));
  CHECK(heap.wake_up() == at(5'000'500));
}

TEST_CASE("timers at the end of time have a wake-up, too") {
  TimerHeap heap;
  std::deque<Alarm> alarms(5'000);
  for (std::size_t i = 0; i < alarms.size(); ++i)
    heap.add(alarms[i], i < 1'000 ? at(0) : TimePoint::max() - std::chrono::nanoseconds(5'000 - i));
  while (heap.pop_due(at(0)) != nullptr) {
  }
  CHECK(heap.wake_up() == heap.earliest());
}

TEST_CASE("a timer that is removed while it is due doesn't come out") {
  TimerHeap heap;
  std::deque<Alarm> alarms(100);
  for (Alarm& alarm : alarms) heap.add(alarm, at(1));
  CHECK(heap.pop_due(at(1)) == &alarms[0]);
  for (std::size_t i = 1; i < 99; ++i) heap.remove(alarms[i]);
  CHECK(heap.size() == 1);
  CHECK(heap.earliest() == at(1));
  Alarm later;
  heap.add(later, at(2));
  CHECK(heap.pop_due(at(2)) == &alarms[99]);
  CHECK(heap.pop_due(at(1)) == nullptr);
  heap.remove(later);
  CHECK(heap.empty());
}
