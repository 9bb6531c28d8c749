// What each member of an EventLoop does in each state of the loop: the table in runtime/README.md, tried.
// SPDX-License-Identifier: MIT
#include <signal.h>

#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../../runtime/core/loop_observer.hpp"
#include "../../../runtime/loop/event_loop.hpp"
#include "../../../runtime/loop/outside_work.hpp"
#include "../../../runtime/loop/signals.hpp"
#include "../../../runtime/task/join_handle.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/threads/remote_task.hpp"
#include "../../../selector/base_selector.hpp"
#include "../../selector/files.hpp"
#include "../../support/catch.hpp"

using namespace heddle;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

// What was handed to the loop: whether it was called, and whether the loop has it still.
struct Effect {
  std::shared_ptr<int> calls = std::make_shared<int>(0);
  Pair pair = Pair::sockets();
  CallHandle kept;
  JoinHandle<void> task;

  auto function() const {
    return [calls = calls] { ++*calls; };
  }
};

Task<void> calls_once(std::shared_ptr<int> calls) {
  ++*calls;
  co_return;
}
Task<void> ends_at_once() { co_return; }

const std::string yes = "yes";
const std::string no = "no";
// Answers that show only later: by a call, or by the end of a run.
const std::string later = "later";
const std::string stopped = "stopped";

using Attempt = std::function<std::string(EventLoop&, Effect&)>;

void run_member(EventLoop& loop, Effect& effect, const std::function<void()>& run) {
  if (!loop.closed())
    effect.kept = loop.call_soon([calls = effect.calls, &loop] {
      ++*calls;
      loop.stop();
    });
  run();
}

std::map<std::string, Attempt> members() {
  std::map<std::string, Attempt> all;
  all["call_soon()"] = [](EventLoop& loop, Effect& effect) {
    loop.call_soon(effect.function());
    return later;
  };
  all["call_later()"] = [](EventLoop& loop, Effect& effect) {
    loop.call_later(0s, effect.function());
    return later;
  };
  all["call_at()"] = [](EventLoop& loop, Effect& effect) {
    loop.call_at(loop.time(), effect.function());
    return later;
  };
  all["call_soon_threadsafe()"] = [](EventLoop& loop, Effect& effect) {
    loop.call_soon_threadsafe(effect.function());
    return later;
  };
  all["add_reader()"] = [](EventLoop& loop, Effect& effect) {
    effect.pair.b.write("x");
    loop.add_reader(effect.pair.a.fileno(), effect.function());
    return later;
  };
  all["add_writer()"] = [](EventLoop& loop, Effect& effect) {
    loop.add_writer(effect.pair.a.fileno(), effect.function());
    return later;
  };
  all["remove_reader()"] = [](EventLoop& loop, Effect& effect) {
    if (!loop.closed() || loop.is_running()) loop.add_reader(effect.pair.a.fileno(), effect.function());
    return loop.remove_reader(effect.pair.a.fileno()) ? yes : no;
  };
  all["remove_writer()"] = [](EventLoop& loop, Effect& effect) {
    if (!loop.closed() || loop.is_running()) loop.add_writer(effect.pair.a.fileno(), effect.function());
    return loop.remove_writer(effect.pair.a.fileno()) ? yes : no;
  };
  all["add_signal_handler()"] = [](EventLoop& loop, Effect& effect) {
    loop.add_signal_handler(SIGUSR1, effect.function());
    if (!loop.closed()) ::raise(SIGUSR1);
    return later;
  };
  all["remove_signal_handler()"] = [](EventLoop& loop, Effect& effect) {
    if (!loop.closed() || loop.is_running()) loop.add_signal_handler(SIGUSR1, effect.function());
    return loop.remove_signal_handler(SIGUSR1) ? yes : no;
  };
  all["signals()"] = [](EventLoop& loop, Effect&) {
    static_cast<void>(loop.signals());
    return yes;
  };
  all["SignalStream"] = [](EventLoop&, Effect&) {
    const SignalStream stream(SIGUSR1);
    return yes;
  };
  all["spawn()"] = [](EventLoop&, Effect& effect) {
    spawn(calls_once(effect.calls));
    return later;
  };
  all["spawn_for()"] = [](EventLoop& loop, Effect& effect) {
    spawn_for(loop, calls_once(effect.calls), std::source_location());
    return later;
  };
  all["spawn_threadsafe()"] = [](EventLoop& loop, Effect& effect) {
    static_cast<void>(spawn_threadsafe(loop, calls_once(effect.calls)));
    return later;
  };
  all["run_once()"] = [](EventLoop& loop, Effect& effect) {
    run_member(loop, effect, [&] { loop.run_once(Duration(0)); });
    return later;
  };
  all["run_forever()"] = [](EventLoop& loop, Effect& effect) {
    run_member(loop, effect, [&] { loop.run_forever(); });
    return later;
  };
  all["run_until_complete()"] = [](EventLoop& loop, Effect& effect) {
    EventLoop other;
    effect.task = spawn_for(loop.closed() ? other : loop, ends_at_once(), std::source_location());
    run_member(loop, effect, [&] { loop.run_until_complete(effect.task.state()); });
    return later;
  };
  all["stop()"] = [](EventLoop& loop, Effect&) {
    loop.stop();
    return stopped;
  };
  all["close()"] = [](EventLoop& loop, Effect&) {
    const bool before = loop.closed();
    loop.close();
    return before ? no : yes;
  };
  all["fileno()"] = [](EventLoop& loop, Effect&) { return loop.fileno() >= 0 ? yes : no; };
  all["next_deadline()"] = [](EventLoop& loop, Effect& effect) {
    if (!loop.closed() || loop.is_running()) effect.kept = loop.call_later(1h, [] {});
    return loop.next_deadline() ? yes : no;
  };
  all["is_running()"] = [](EventLoop& loop, Effect&) { return loop.is_running() ? yes : no; };
  all["EventLoop::running()"] = [](EventLoop& loop, Effect&) {
    return &EventLoop::running() == &loop ? yes : no;
  };
  all["set_selector()"] = [](EventLoop& loop, Effect&) {
    loop.set_selector("poll");
    return loop.selector_name() == std::string("poll") ? yes : no;
  };
  all["selector()"] = [](EventLoop& loop, Effect&) { return loop.selector().closed() ? no : yes; };
  all["selector_name()"] = [](EventLoop& loop, Effect&) { return *loop.selector_name() != '\0' ? yes : no; };
  all["counters()"] = [](EventLoop& loop, Effect&) { return loop.counters().timers < 100 ? yes : no; };
  all["armed_timers()"] = [](EventLoop& loop, Effect&) { return loop.armed_timers() < 100 ? yes : no; };
  all["time()"] = [](EventLoop& loop, Effect&) { return loop.time() > TimePoint() ? yes : no; };
  all["report()"] = [](EventLoop& loop, Effect&) {
    bool reported = false;
    loop.set_report_handler(
        [](EventLoop&, const Report&, void* argument) { *static_cast<bool*>(argument) = true; }, &reported);
    loop.report(Report{"a test", nullptr, {}});
    loop.set_report_handler(nullptr);
    return reported ? yes : no;
  };
  all["set_report_handler()"] = all["report()"];
  all["add_observer()"] = [](EventLoop& loop, Effect&) {
    struct Nothing final : detail::LoopObserver {
    } observer;
    loop.add_observer(observer);
    loop.remove_observer(observer);
    return yes;
  };
  all["remove_observer()"] = all["add_observer()"];
  all["descriptors()"] = [](EventLoop& loop, Effect&) {
    return &loop.descriptors() == &loop.descriptors() ? yes : no;
  };
  all["mailbox()"] = [](EventLoop& loop, Effect&) { return &loop.mailbox() == &loop.mailbox() ? yes : no; };
  all["OutsideWork"] = [](EventLoop& loop, Effect&) {
    const OutsideWork work(loop);
    return yes;
  };
  return all;
}

// One member, tried once in one state.
class Trial {
 public:
  explicit Trial(Attempt attempt) : attempt_(std::move(attempt)) {}

  std::string in(const std::string& state) {
    if (state == "new")
      attempt();
    else if (state == "between runs")
      loop_->run_once(Duration(0)), attempt();
    else if (state == "stopped")
      run(), attempt();
    else if (state == "callback")
      loop_->call_soon([this] { attempt(); });
    else if (state == "task")
      spawn_for(*loop_, tries(*this), std::source_location());
    else if (state == "closing")
      spawn_for(*loop_, tries_when_cancelled(*this), std::source_location());
    else if (state == "dropping")
      loop_->call_later(1h, [guard = std::make_shared<Guard>(*this)] {});
    else if (state == "closed")
      loop_->close(), attempt();
    bool ended_early = false;
    if (!loop_->closed()) ended_early = state == "closing" || state == "dropping" ? begin_tasks() : run();
    loop_->close();
    if (answer_ == stopped) return ended_early ? yes : no;
    if (answer_ != later) return answer_;
    return *effect_.calls > 0 ? yes : effect_.calls.use_count() == 1 ? "drops" : "leaks";
  }

 private:
  struct Guard {
    explicit Guard(Trial& its_trial) : trial(its_trial) {}
    Guard(const Guard&) = delete;
    ~Guard() { trial.attempt(); }
    Trial& trial;
  };

  static Task<void> tries(Trial& trial) {
    trial.attempt();
    co_return;
  }
  static Task<void> tries_when_cancelled(Trial& trial) {
    try {
      co_await sleep(std::nullopt);
    } catch (const Cancelled&) {
    }
    trial.attempt();
    for (int i = 0; i < 3; ++i) co_await sleep(1ms);
  }

  void attempt() noexcept try { answer_ = attempt_(*loop_, effect_); } catch (const std::logic_error&) {
    answer_ = "throws";
  } catch (const std::exception& error) {
    answer_ = error.what();
  }

  bool begin_tasks() {
    loop_->run_once(Duration(0));
    return false;
  }
  // Many turns; true if a stop() has ended them before.
  bool run() {
    int left = 100;
    const TimePoint until = loop_->time() + 1ms;
    std::function<void()> again = [&] {
      if (--left <= 0 && loop_->time() > until)
        loop_->stop();
      else
        loop_->call_soon([&again] { again(); });
    };
    CallHandle first = loop_->call_soon([&again] { again(); });
    loop_->run_forever();
    const bool ended_early = left > 0;
    // What is queued still refers to this frame.
    left = -1;
    while (ended_early && loop_->next_deadline() == TimePoint()) {
      again = [] {};
      loop_->run_once(Duration(0));
    }
    return ended_early;
  }

  Attempt attempt_;
  Effect effect_;
  std::unique_ptr<EventLoop> loop_ = std::make_unique<EventLoop>();
  std::string answer_ = "not tried";
};

using Table = std::vector<std::vector<std::string>>;

std::string stripped(const std::string& cell) {
  const std::size_t first = cell.find_first_not_of(" `");
  return first == std::string::npos ? "" : cell.substr(first, cell.find_last_not_of(" `") - first + 1);
}

// The rows under the line that begins with `head`.
Table table_after(const std::string& head) {
  std::ifstream file(HEDDLE_RUNTIME_README);
  std::string line;
  while (std::getline(file, line) && line.rfind(head, 0) != 0) {
  }
  std::getline(file, line);  // | --- |
  Table table;
  while (std::getline(file, line) && line.rfind("| ", 0) == 0) {
    std::istringstream cells(line.substr(1));
    std::vector<std::string> row;
    for (std::string cell; std::getline(cells, cell, '|');) row.push_back(stripped(cell));
    table.push_back(row);
  }
  return table;
}

std::vector<std::string> names_in(const std::string& cell) {
  std::vector<std::string> names;
  std::istringstream list(cell);
  for (std::string name; std::getline(list, name, ',');) names.push_back(stripped(name));
  return names;
}

}  // namespace

TEST_CASE("each member of a loop answers in each state as the table in the README says") {
  const std::vector<std::vector<std::string>> states = {
      {"new", "between runs", "stopped"}, {"callback", "task"}, {"closing"}, {"dropping"}, {"closed"}};
  std::map<std::string, Attempt> all = members();
  if (EventLoop().selector().descriptor() < 0) {  // nobody can wait for such a loop, in no state
    all["fileno()"] = [descriptor = all["fileno()"]](EventLoop& loop, Effect& effect) {
      if (loop.closed()) return descriptor(loop, effect);
      CHECK_THROWS_AS(loop.fileno(), std::logic_error);
      return yes;
    };
  }
  std::set<std::string> listed;
  for (const auto& row : table_after("| member | idle")) {
    REQUIRE(row.size() == 1 + states.size());
    for (const std::string& member : names_in(row[0])) {
      INFO(member);
      REQUIRE(all.count(member) == 1);
      CHECK(listed.insert(member).second);
      for (std::size_t i = 0; i < states.size(); ++i)
        for (const std::string& state : states[i]) {
          INFO(state);
          CHECK(Trial(all.at(member)).in(state) == row[i + 1]);
        }
    }
  }
  CHECK(listed.size() == all.size());
}
