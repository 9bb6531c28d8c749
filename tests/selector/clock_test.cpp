// Timeouts are measured with the clock of the System that a selector was given.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cerrno>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../../selector/decorators/checked_selector.hpp"
#include "../../selector/decorators/tracing_selector.hpp"
#include "../../selector/system.hpp"
#include "contract.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

class SimulatedClock final : public KernelSystem {
 public:
  TimePoint now() noexcept override { return time; }
  TimePoint time{1h};
};

/// Finds nothing ready, and says that it took at most `step` of simulated time to find that out.
class SimulatedSelector final : public BaseSelector {
 public:
  SimulatedSelector(SimulatedClock& clock, Duration step)
      : BaseSelector("change", "wait"), clock_(clock), step_(step) {}
  ~SimulatedSelector() override { close(); }
  const char* name() const noexcept override { return "simulated"; }
  Capabilities capabilities() const noexcept override { return {}; }
  bool has_wait_raw() const noexcept override { return true; }

  std::vector<Duration> waits;
  int error = 0;  // of the next wait

 private:
  int do_register(const SelectorKey& /*key*/, std::uint32_t /*generation*/, Trigger /*trigger*/) override {
    return 0;
  }
  int do_modify(const SelectorKey& /*key*/, EventMask /*before*/, std::uint32_t /*generation*/,
                Trigger /*trigger*/) override {
    return 0;
  }
  void do_unregister(const SelectorKey& /*key*/, std::uint32_t /*generation*/) noexcept override {}
  int do_wait(Timeout timeout) override {
    waits.push_back(timeout.duration());
    if (!timeout.only_polls()) clock_.time += std::min(step_, timeout.duration());
    return std::exchange(error, 0);
  }
  int do_wait_raw(Timeout timeout, int /*most*/, KernelEvents& /*events*/) override {
    return do_wait(timeout);
  }
  void do_close() noexcept override {}

  SimulatedClock& clock_;
  Duration step_;
};

using Waits = std::vector<Duration>;

}  // namespace

TEST_CASE("a select in simulated time is over at its deadline by that time, after one wait") {
  SimulatedClock clock;
  SimulatedSelector selector(clock, 24h);
  selector.set_system(clock);
  const TimePoint before = clock.time;
  const auto began = Clock::now();
  CHECK(selector.select(3h).empty());
  CHECK(selector.waits == Waits{3h});
  CHECK(clock.time == before + 3h);
  CHECK(selector.wait_raw(2h, 1).empty());
  CHECK(selector.waits == Waits{3h, 2h});
  CHECK(clock.time == before + 5h);
  CHECK(Clock::now() - began < 1min);
}

TEST_CASE("a wait that returns early by the clock of its System is repeated with the time that is left") {
  SimulatedClock clock;
  SimulatedSelector selector(clock, 2h);
  selector.set_system(clock);
  CHECK(selector.select(5h).empty());
  CHECK(selector.waits == Waits{5h, 3h, 1h});
  selector.waits.clear();
  CHECK(selector.wait_raw(3h, 1).empty());
  CHECK(selector.waits == Waits{3h, 1h});
  selector.waits.clear();
  selector.error = EINTR;
  CHECK(selector.select(3h).empty());
  CHECK(selector.waits == Waits{3h, 1h});
}

TEST_CASE("decorators pass the System on to the selector inside, and trace by its clock") {
  SimulatedClock clock;
  std::vector<std::string> lines;
  SimulatedSelector inner(clock, 24h);
  CheckedSelector checked(inner);
  TracingSelector outer(
      checked,
      [](void* all, std::string_view line) {
        static_cast<std::vector<std::string>*>(all)->emplace_back(line);
      },
      &lines);
  outer.set_system(clock);
  CHECK(outer.select(90min).empty());
  CHECK(inner.waits == Waits{90min});
  REQUIRE(lines.size() == 1);
  CHECK(lines[0] == "select 5400000.000 ms: 0 ready after 5400000.000 ms");
}

TEST_CASE("a selector that is moved from leaves its System to the other") {
  SimulatedClock clock;
  SimulatedSelector inner(clock, 24h);
  CheckedSelector first(inner);
  first.set_system(clock);
  CheckedSelector second(std::move(first));
  CHECK(second.select(4h).empty());
  CHECK(inner.waits == Waits{4h});
}
