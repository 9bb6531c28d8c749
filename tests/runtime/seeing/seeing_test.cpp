// Names, handles, dumps, traces, counters and reports: what a program can say of itself.
// SPDX-License-Identifier: MIT
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../../../runtime/loop/ready.hpp"
#include "../../../runtime/seeing/dump.hpp"
#include "../../../runtime/seeing/slow_turn.hpp"
#include "../../../runtime/task/gather.hpp"
#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/task_group.hpp"
#include "../../../runtime/task/task_handle.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../../runtime/threads/run_on_threads.hpp"
#include "../../../runtime/threads/to_thread.hpp"
#include "../../selector/files.hpp"
#include "../../support/forked.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

struct Told {
  std::string message;
  std::string error;
  std::string task_name;
  std::uint64_t task_id = 0;
  std::string where;
  std::vector<unsigned> lines;         // of the trace
  std::vector<std::string> functions;  // likewise
};

// Collects the reports of the running loop.
class Reports {
 public:
  Reports() { EventLoop::running().set_report_handler(&take, this); }
  ~Reports() { EventLoop::running().set_report_handler(nullptr); }

  std::vector<Told> all;

 private:
  static void take(EventLoop&, const Report& report, void* self) {
    Told told{std::string(report.message),
              "",
              std::string(report.task_name),
              report.task_id,
              report.where.function_name(),
              {},
              {}};
    if (report.error) try {
        std::rethrow_exception(report.error);
      } catch (const std::exception& error) {
        told.error = error.what();
      }
    for (const std::source_location& place : report.trace) {
      told.lines.push_back(place.line());
      told.functions.emplace_back(place.function_name());
    }
    static_cast<Reports*>(self)->all.push_back(told);
  }
};

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

Task<void> for_ever() { co_await sleep(std::nullopt); }

unsigned throw_line = 0;

Task<void> thrower() {
  throw_line = __LINE__ + 1;
  co_await yield();
  throw std::runtime_error("thrown");
}
Task<void> middle() { co_await thrower(); }
Task<void> outer() { co_await middle(); }

}  // namespace

// Handles.

TEST_CASE("all tasks are listed in the order in which they were spawned, those of groups too") {
  run_here([]() -> Task<void> {
    auto one = spawn(for_ever()).set_name("one");
    std::vector<std::string> names;
    auto body = [&](TaskGroup& group) -> Task<void> {
      group.spawn(for_ever()).set_name("in a group");
      spawn(for_ever()).set_name("two");
      co_await yield();
      for (const TaskHandle& task : all_tasks()) names.emplace_back(task.name());
      group.cancel();
    };
    co_await task_group(body);
    CHECK(names == std::vector<std::string>{"main", "one", "in a group", "two"});
    CHECK(all_tasks().size() == 3);
    CHECK(current_task().name() == "main");
    CHECK(current_task() == all_tasks().front());
  });
}

TEST_CASE(
    "a task can be cancelled, renamed and asked for its end by a handle that knows nothing of its type") {
  run_here([]() -> Task<void> {
    TaskHandle task = spawn(for_ever()).task();
    co_await yield();
    task.set_name("sleeper");
    CHECK(task.name() == "sleeper");
    CHECK(task.where().line() == __LINE__ - 4);
    CHECK(!task.done());
    CHECK(task.cancel());
    CHECK(task.cancelling() == 1);
    co_await yield();
    CHECK(task.done());
    CHECK(task.cancelled());
    CHECK(!task.cancel());
    CHECK(!TaskHandle());
  });
}

TEST_CASE("outside of a task there is no current one, and without a loop the tasks can't be listed") {
  CHECK(!current_task());
  CHECK(has(thrown<std::logic_error>([] { all_tasks(); }), "no event loop"));
  CHECK(has(thrown<std::logic_error>([] { dump_tasks(); }), "no event loop"));
}

// Dumps.

ON_SELECTORS("a dump says of each task where it waits, for what and since when, and who spawned it") {
  Pair pair = Pair::sockets();
  const int fd = pair.a.fileno();
  std::string dump;
  static constexpr unsigned first_line = __LINE__;
  run_on(selector, [&]() -> Task<void> {
    auto reader = [](int number) -> Task<void> { co_await readable(number); };
    auto parent = [&]() -> Task<void> {
      auto child = spawn(reader(fd)).set_name("reader");
      co_await child;
    };
    auto joined = spawn(parent()).set_name("parent");
    auto sleeper = []() -> Task<void> { co_await sleep(1h); };
    auto sleeps = spawn(sleeper());
    auto never = [&]() -> Task<void> {
      spawn(for_ever()).set_name("too young");
      dump = dump_tasks();
      joined.cancel();
      co_return;
    };
    co_await sleep(20ms);
    co_await never();
  });
  INFO(dump);
  const auto at = [](unsigned line) {
    return "      at " + std::string(__FILE__) + ":" + std::to_string(first_line + line) + " in ";
  };
  CHECK(has(dump, "heddle: 5 tasks, 1 timer, 1 descriptor on " + name_of(selector) + "\n"));
  CHECK(has(dump, "task 1 \"main\": running\n"));
  CHECK(has(dump, "\n  task 2 \"parent\": waits for task 4 \"reader\", 0.0"));
  CHECK(has(dump, at(5)));
  CHECK(has(dump, "\n    task 4 \"reader\": waits for fd " + std::to_string(fd) +
                      " READ (Unix stream), registered for READ, 0.0"));
  CHECK(has(dump, "  " + at(2)));
  CHECK(has(dump, "        spawned at " + std::string(__FILE__) + ":" + std::to_string(first_line + 4)));
  CHECK(has(dump, "\n  task 3: waits for sleep, 0.0"));
  CHECK(has(dump, " s, for 3599.9"));
  CHECK(has(dump, "\n  task 5 \"too young\": not started\n"));
}

TEST_CASE("a dump names the addresses of a socket, and the descriptors that nobody waits for") {
  Pair tcp = Pair::tcp();
  Pair pipe = Pair::pipe();
  std::string dump;
  run_here([&]() -> Task<void> {
    EventLoop::running().add_reader(pipe.a.fileno(), [] {});
    auto reader = [](int number) -> Task<void> { co_await readable(number); };
    auto task = spawn(reader(tcp.a.fileno()));
    co_await yield();
    dump = dump_tasks();
    task.cancel();
    EventLoop::running().remove_reader(pipe.a.fileno());
  });
  INFO(dump);
  char text[200];
  CHECK(kernel_system().describe(tcp.a.fileno(), text, sizeof text));
  CHECK(has(text, "TCP 127.0.0.1:"));
  CHECK(has(text, " <- 127.0.0.1:"));
  CHECK(has(dump, " READ (" + std::string(text) + "), registered for READ"));
  CHECK(has(dump, "nobody waits for\n    fd " + std::to_string(pipe.a.fileno()) + " (pipe:["));
}

// Traces.

TEST_CASE("an exception that leaves a task is reported with the co_awaits that it came through") {
  run_here([]() -> Task<void> {
    Reports reports;
    spawn(outer()).set_name("doomed");
    co_await sleep(1ms);
    REQUIRE(reports.all.size() == 1);
    const Told& told = reports.all.front();
    CHECK(told.message == "nobody retrieved an exception");
    CHECK(told.error == "thrown");
    CHECK(told.task_name == "doomed");
    CHECK(told.task_id == 2);
    REQUIRE(told.lines.size() == 4);
    CHECK(told.lines[0] == throw_line);
    CHECK(has(told.functions[0], "thrower"));
    CHECK(has(told.functions[1], "middle"));
    CHECK(has(told.functions[2], "outer"));
    CHECK(told.lines[3] == __LINE__ - 13);
  });
}

TEST_CASE("a trace goes on where another task joins the one that failed, and out of run") {
  AsyncTrace trace;
  unsigned join_line = 0;
  try {
    run_here([&]() -> Task<void> {
      auto task = spawn(middle());
      join_line = __LINE__ + 1;
      co_await task;
    });
  } catch (const std::runtime_error&) {
    trace = async_trace();
  }
  REQUIRE(trace.size() >= 4);
  CHECK(trace[0].line() == throw_line);
  CHECK(has(trace[1].function_name(), "middle"));
  CHECK(trace[2].line() == join_line - 2);
  CHECK(trace[3].line() == join_line);
}

#ifndef __SANITIZE_THREAD__  // which allows no threads in a child

TEST_CASE("an exception that nobody catches shows by which way it came out of run, and each one of a group") {
  const auto said_by = [](void (*function)()) {
    const auto [end, said] = end_and_words_of_child([&] {
      [&]() noexcept { function(); }();
      return 0;
    });
    CHECK(end == -SIGABRT);
    return said;
  };
  const auto line_of = [](const std::string& text, const char* name) {
    return std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(text.find(name)), '\n');
  };
  const std::string one = said_by([] { run(outer()); });
  INFO(one);
  CHECK(one.rfind("heddle: an exception that nobody has caught came out of a task\n", 0) == 0);
  CHECK(line_of(one, "thrower") == 1);
  CHECK(line_of(one, "middle") == 2);
  CHECK(line_of(one, "outer") == 3);
  CHECK(has(one, "what():  thrown"));
  const std::string group =
      said_by([] { run_on_threads(2, [](std::size_t) -> Task<void> { co_await outer(); }); });
  INFO(group);
  CHECK(line_of(group, "error 1: thrown") + 1 == line_of(group, "thrower"));
}

#endif

TEST_CASE("a trace is that of the exception that is handled, or none") {
  run_here([]() -> Task<void> {
    AsyncTrace trace;
    try {
      co_await outer();
    } catch (const std::runtime_error&) {
      trace = async_trace();
    }
    CHECK(trace.size() == 5);
    CHECK(async_trace().empty());
    co_await yield();
    // The second exception may lie where the first did.
    auto again = []() -> Task<void> {
      throw std::runtime_error("again");
      co_return;
    };
    try {
      co_await again();
    } catch (const std::runtime_error&) {
      trace = async_trace();
    }
    CHECK(trace.size() == 3);
  });
}

TEST_CASE("the errors of a group each have their own trace") {
  run_here([]() -> Task<void> {
    std::vector<AsyncTrace> traces;
    auto body = [](TaskGroup& group) -> Task<void> {
      group.spawn(outer());
      co_await sleep(std::nullopt);
    };
    try {
      co_await task_group(body);
    } catch (const ExceptionGroup& group) {
      traces = group.traces();
    }
    REQUIRE(traces.size() == 1);
    REQUIRE(traces[0].size() == 4);
    CHECK(traces[0][0].line() == throw_line);
  });
}

TEST_CASE("gather hands on the trace of what failed first") {
  run_here([]() -> Task<void> {
    AsyncTrace trace;
    try {
      co_await gather(for_ever(), outer());
    } catch (const std::runtime_error&) {
      trace = async_trace();
    }
    REQUIRE(trace.size() >= 4);
    CHECK(trace[0].line() == throw_line);
    CHECK(has(trace[2].function_name(), "outer"));
  });
}

// What was forgotten.

TEST_CASE("a task that nobody awaits is reported, once, by the name of its coroutine") {
  run_here([]() -> Task<void> {
    Reports reports;
    {
      auto forgotten = timeout(1s, outer());
    }
    REQUIRE(reports.all.size() == 1);
    CHECK(reports.all[0].message == "a Task was never awaited");
    CHECK(has(reports.all[0].where, "run_with_deadline"));
    CHECK(reports.all[0].task_name == "main");
    co_return;
  });
}

TEST_CASE("a task that is cancelled before it starts, or dropped by an exception, is no mistake to report") {
  run_here([]() -> Task<void> {
    Reports reports;
    auto task = spawn(timeout(1s, outer()));
    task.cancel();
    co_await yield();
    CHECK(task.cancelled());
    try {
      auto dropped = outer();
      throw std::runtime_error("in between");
    } catch (const std::runtime_error&) {
    }
    CHECK(reports.all.empty());
  });
}

// Counters.

ON_SELECTORS("a loop counts what it does") {
  run_on(selector, []() -> Task<void> {
    EventLoop& loop = EventLoop::running();
    const LoopCounters before = loop.counters();
    co_await sleep(1ms);
    for (int i = 0; i < 10; ++i) co_await yield();
    auto nothing = [] {};
    co_await to_thread(nothing);
    const auto sleeper = spawn(for_ever());
    auto far = loop.call_later(1h, [] {});
    const LoopCounters after = loop.counters();
    far.cancel();
    CHECK(after.timers_fired == before.timers_fired + 1);
    CHECK(after.lag >= Duration(0));
    CHECK(after.max_lag >= after.lag);
    CHECK(after.lag < 10s);
    CHECK(after.resumes >= before.resumes + 11);
    CHECK(after.turns > before.turns);
    CHECK(after.polls >= after.waits);
    CHECK(after.waits > before.waits);
    CHECK(after.wake_ups >= before.wake_ups);
    CHECK(after.tasks_spawned == before.tasks_spawned + 1);
    CHECK(after.timers == 1);
  });
}

TEST_CASE("a task that has spent its budget is counted") {
  run_here([]() -> Task<void> {
    auto finished = []() -> Task<void> { co_return; };
    auto done = spawn(finished());
    co_await done;
    const std::uint64_t before = EventLoop::running().counters().budget_yields;
    for (int i = 0; i < 1000; ++i) co_await done;
    const std::uint64_t yields = EventLoop::running().counters().budget_yields - before;
    CHECK(yields >= 1000 / 128);
    CHECK(yields <= 1000 / 127 + 1);
  });
}

// Slow turns.

TEST_CASE("a turn that blocks is reported while it blocks, with the line that it went on from") {
  struct Seen {
    std::atomic<int> count{0};
    std::string name;
    std::vector<unsigned> lines;
    Duration time{};
  } seen;
  LoopOptions options;
  options.slow_turn = 5ms;
  options.slow_turn_handler = [](const SlowTurn& turn, void* argument) {
    auto& into = *static_cast<Seen*>(argument);
    if (into.count.load() == 0) {
      into.name = turn.task_name;
      into.time = turn.time;
      for (const std::source_location& place : turn.trace) into.lines.push_back(place.line());
    }
    into.count.fetch_add(1);
  };
  options.slow_turn_argument = &seen;
  unsigned line = 0;
  bool while_blocked = false;
  auto blocks = [&]() -> Task<void> {
    line = __LINE__ + 1;
    co_await yield();
    const auto until = std::chrono::steady_clock::now() + 20s;
    while (seen.count.load() == 0 && std::chrono::steady_clock::now() < until) std::this_thread::yield();
    while_blocked = seen.count.load() == 1;
  };
  auto main = [&]() -> Task<void> {
    co_await sleep(20ms);  // waiting is not blocking
    CHECK(seen.count.load() == 0);
    auto task = spawn(blocks()).set_name("hog");
    co_await task;
  };
  run(main(), options);
  CHECK(while_blocked);
  CHECK(seen.name == "hog");
  CHECK(seen.time >= 5ms);
  REQUIRE(!seen.lines.empty());
  CHECK(seen.lines.front() == line);
}

TEST_CASE("slow turns are reported once a second at most, and once each") {
  std::atomic<int> count{0};
  LoopOptions options;
  options.slow_turn = 2ms;
  options.slow_turn_handler = [](const SlowTurn& turn, void* argument) {
    CHECK(turn.task_id == 0);  // a callback
    static_cast<std::atomic<int>*>(argument)->fetch_add(1);
  };
  options.slow_turn_argument = &count;
  const auto began = std::chrono::steady_clock::now();
  EventLoop loop(options);
  for (int i = 0; i < 10; ++i) loop.call_soon([] { std::this_thread::sleep_for(20ms); });
  loop.run_once(Duration(0));
  loop.close();
  const auto took = std::chrono::steady_clock::now() - began;
  CHECK(count.load() >= 1);
  CHECK(count.load() <= 1 + took / 1s);
}
