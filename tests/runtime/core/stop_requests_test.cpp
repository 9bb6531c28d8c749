// StopRequests against a plain model that knows every single request.
// SPDX-License-Identifier: MIT
#include "../../../runtime/core/stop_requests.hpp"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <vector>

#include "../../support/catch.hpp"

using namespace heddle;
using namespace heddle::detail;

namespace {

// Each request by itself: its level, whether it was thrown, who made it.
struct Model {
  enum class State { HELD, PENDING, DELIVERED };
  struct Request {
    unsigned level;
    State state;
    int scope;  // -1: somebody outside
  };
  std::vector<Request> requests;
  unsigned shields = 0;
  bool again = false;              // a Cancelled was put off
  std::vector<bool> again_behind;  // the same outside of each shield

  void make(unsigned level, int scope) {
    requests.push_back({level, shields > level ? State::HELD : State::PENDING, scope});
  }
  void deliver() {
    again = false;
    for (Request& each : requests)
      if (each.state == State::PENDING) each.state = State::DELIVERED;
  }
  void raise() {
    for (Request& each : requests)
      if (each.state == State::PENDING) {
        each.state = State::HELD;
        each.level = shields;  // until this shield goes
      }
    ++shields;
    again_behind.push_back(again);
    again = false;
  }
  void lower() {
    --shields;
    again = (again || again_behind.back()) && count(State::DELIVERED) != 0;
    again_behind.pop_back();
    for (Request& each : requests)
      if (each.state == State::HELD && each.level >= shields) each.state = State::PENDING;
  }
  // Of a scope: exactly its own.
  void take_back(int scope, unsigned delivered_before) {
    requests.erase(std::find_if(requests.begin(), requests.end(),
                                [scope](const Request& each) { return each.scope == scope; }));
    if (count(State::DELIVERED) <= delivered_before) again = false;
  }
  unsigned delivered() const { return count(State::DELIVERED) - again; }
  bool is_due() const { return again || has(State::PENDING); }
  bool has(State state) const { return count(state) != 0; }
  unsigned count(State state) const {
    return static_cast<unsigned>(std::count_if(requests.begin(), requests.end(),
                                               [state](const Request& each) { return each.state == state; }));
  }
};

struct Random {
  std::uint64_t state;
  unsigned below(unsigned limit) {
    state += 0x9E3779B97F4A7C15U;
    std::uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return static_cast<unsigned>((z ^ (z >> 31)) % limit);
  }
};

// A task as its parts nest: shields, and scopes that may ask it to stop once and take that back at their end.
class History {
 public:
  explicit History(std::uint64_t seed) : random_{seed} {}

  // False: the two disagree.
  bool run(unsigned steps) {
    for (unsigned step = 0; step < steps; ++step) {
      take_step();
      if (!agree()) return false;
    }
    while (!parts_.empty()) {
      leave();
      if (!agree()) return false;
    }
    return model_.shields == 0 && innermost_ == nullptr;
  }

 private:
  struct Part {
    Shield* shield;  // nullptr: a scope
    int scope = -1;
    unsigned level = 0;
    bool asked = false;
    StopRequests::Count mark = 0;
    unsigned before = 0;
  };

  void take_step() {
    switch (random_.below(9)) {
      case 0:
        if (shields_.size() >= 300) return;
        shields_.emplace_back();
        requests_.raise(shields_.back(), innermost_);
        model_.raise();
        parts_.push_back({&shields_.back()});
        break;
      case 1:
        parts_.push_back({nullptr, scopes_++, model_.shields, false, 0, model_.delivered()});
        break;
      case 2:
      case 3:
        if (!parts_.empty()) leave();
        break;
      case 4:  // a deadline passes: of any scope, not the innermost alone
        if (parts_.empty()) break;
        if (Part& part = parts_[random_.below(static_cast<unsigned>(parts_.size()))];
            part.shield == nullptr && !part.asked) {
          part.asked = true;
          part.mark = requests_.mark(part.level, innermost_);
          requests_.make(part.level, innermost_);
          model_.make(part.level, part.scope);
        }
        break;
      case 5:
        requests_.make(0, innermost_);
        model_.make(0, -1);
        break;
      case 6:
        requests_.deliver();
        model_.deliver();
        break;
      case 7:  // the last Cancelled is put off
        model_.again = model_.has(Model::State::DELIVERED);
        wrong_ |= requests_.defer() != model_.again;
        break;
      default:  // somebody outside has caught a Cancelled, and goes on: where no scope has asked for anything
        if (std::any_of(parts_.begin(), parts_.end(), [](const Part& part) { return part.asked; })) break;
        requests_.take_back_any(innermost_);
        for (const Model::State state :
             {Model::State::DELIVERED, Model::State::PENDING, Model::State::HELD}) {
          auto found = model_.requests.end();
          for (auto each = model_.requests.begin(); each != model_.requests.end(); ++each)
            if (each->state == state && (found == model_.requests.end() || each->level < found->level))
              found = each;
          if (found == model_.requests.end()) continue;
          model_.requests.erase(found);
          break;
        }
        if (!model_.has(Model::State::DELIVERED)) model_.again = false;
    }
  }

  void leave() {
    const Part part = parts_.back();
    parts_.pop_back();
    if (part.shield != nullptr) {
      requests_.lower(innermost_);
      model_.lower();
      shields_.pop_back();
    } else if (part.asked) {
      requests_.take_back(part.mark, part.before);
      model_.take_back(part.scope, part.before);
    }
  }

  bool agree() const {
    return !wrong_ && requests_.delivered() == model_.delivered() && requests_.is_due() == model_.is_due() &&
           requests_.in_force() ==
               model_.count(Model::State::DELIVERED) + model_.count(Model::State::PENDING) &&
           requests_.all(innermost_) == model_.requests.size();
  }

  Random random_;
  StopRequests requests_;
  Shield* innermost_ = nullptr;
  std::deque<Shield> shields_;
  std::vector<Part> parts_;
  Model model_;
  int scopes_ = 0;
  bool wrong_ = false;
};

std::uint64_t first_disagreement(std::uint64_t histories, unsigned steps) {
  for (std::uint64_t seed = 1; seed <= histories; ++seed)
    if (!History(seed * 7919).run(steps)) return seed;
  return 0;
}

}  // namespace

TEST_CASE("requests to stop are counted as a model that knows each of them says") {
  CHECK(first_disagreement(20'000, 60) == 0);
  CHECK(first_disagreement(50, 5'000) == 0);
}

TEST_CASE("requests to stop: a million random histories", "[soak]") {
  CHECK(first_disagreement(1'000'000, 40) == 0);
}

TEST_CASE("two deadlines behind nested shields both come, while a request waits outside") {
  StopRequests requests;
  Shield* innermost = nullptr;
  Shield outer;
  Shield inner;
  requests.raise(outer, innermost);  // a deadline begins at level 1
  requests.raise(inner, innermost);
  CHECK_FALSE(requests.make(0, innermost));
  CHECK_FALSE(requests.make(1, innermost));
  CHECK_FALSE(requests.make(1, innermost));
  CHECK(requests.all(innermost) == 3);
  requests.lower(innermost);
  CHECK(requests.in_force() == 2);
  CHECK(requests.is_due());
  requests.deliver();
  CHECK(requests.delivered() == 2);
  requests.take_back(0, 0);
  requests.take_back(0, 0);
  CHECK(requests.in_force() == 0);
  requests.lower(innermost);
  CHECK(requests.in_force() == 1);
  CHECK(requests.is_due());
}

TEST_CASE("three hundred shields deep still shield, and 70,000 requests are as many") {
  StopRequests requests;
  Shield* innermost = nullptr;
  std::deque<Shield> shields(300);
  for (Shield& shield : shields) requests.raise(shield, innermost);
  for (int i = 0; i < 70'000; ++i) CHECK_FALSE(requests.make(0, innermost));
  for (std::size_t i = 1; i < shields.size(); ++i) {
    requests.lower(innermost);
    REQUIRE_FALSE(requests.is_due());
  }
  requests.lower(innermost);
  CHECK(requests.in_force() == 70'000);
  CHECK(innermost == nullptr);
}

TEST_CASE("a request that a shield holds can be taken back, and the count doesn't wrap") {
  StopRequests requests;
  Shield* innermost = nullptr;
  Shield shield;
  requests.raise(shield, innermost);
  requests.make(0, innermost);
  requests.make(0, innermost);
  requests.take_back_any(innermost);
  CHECK(requests.all(innermost) == 1);
  requests.take_back_any(innermost);
  requests.take_back_any(innermost);
  CHECK(requests.all(innermost) == 0);
  requests.lower(innermost);
  CHECK_FALSE(requests.is_due());
}

TEST_CASE("what was never asked for can't be put off") {
  StopRequests requests;
  CHECK_FALSE(requests.defer());
  CHECK_FALSE(requests.is_due());
  requests.make(0, nullptr);
  CHECK_FALSE(requests.defer());
  requests.deliver();
  CHECK(requests.defer());
  CHECK(requests.is_due());
}

TEST_CASE("a Cancelled that was put off goes with the request that it was for") {
  StopRequests requests;
  requests.make(0, nullptr);
  requests.deliver();  // of long ago
  const StopRequests::Count before = requests.delivered();
  const StopRequests::Count mark = requests.mark(0, nullptr);
  requests.make(0, nullptr);  // a deadline's
  requests.deliver();
  CHECK(requests.defer());  // by an operation that had a result all the same
  CHECK(requests.is_due());
  CHECK(requests.delivered() == 1);
  requests.take_back(mark, before);
  CHECK_FALSE(requests.is_due());
  CHECK(requests.in_force() == 1);
}
