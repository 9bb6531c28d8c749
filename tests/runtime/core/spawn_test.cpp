// spawn and JoinHandle: tasks beside the one that started them.
// SPDX-License-Identifier: MIT
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../../runtime/task/join_handle.hpp"
#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using heddle::test::run_here;
using namespace std::chrono_literals;

namespace {

struct Seen {
  std::string what;
  std::string task_name;
  unsigned line = 0;
};

// Collects what reaches the exception handler of the running loop.
class Reports {
 public:
  Reports() { EventLoop::running().set_report_handler(&take, this); }
  ~Reports() { EventLoop::running().set_report_handler(nullptr); }

  std::vector<Seen> all;

 private:
  static void take(EventLoop&, const Report& report, void* self) {
    Seen seen{"?", std::string(report.task_name), report.where.line()};
    try {
      std::rethrow_exception(report.error);
    } catch (const std::exception& exception) {
      seen.what = exception.what();
    } catch (...) {
    }
    static_cast<Reports*>(self)->all.push_back(seen);
  }
};

Task<void> note(std::vector<int>& log, int n) {
  log.push_back(n);
  co_return;
}

Task<int> fail(const char* message) {
  co_await yield();
  throw std::runtime_error(message);
}

Task<int> later(int n) {
  co_await yield();
  co_return n;
}

}  // namespace

TEST_CASE("a spawned task is queued and doesn't run inline") {
  run_here([]() -> Task<void> {
    std::vector<int> log;
    auto handle = spawn(note(log, 1));
    CHECK(log.empty());
    CHECK_FALSE(handle.done());
    co_await handle;
    CHECK(log == std::vector<int>{1});
    CHECK(handle.done());
  });
}

TEST_CASE("spawned tasks run in the order in which they were spawned") {
  run_here([]() -> Task<void> {
    std::vector<int> log;
    for (int i = 0; i < 100; ++i) spawn(note(log, i));
    co_await yield();
    REQUIRE(log.size() == 100);
    for (int i = 0; i < 100; ++i) CHECK(log[static_cast<std::size_t>(i)] == i);
  });
}

TEST_CASE("tasks that yield take turns") {
  run_here([]() -> Task<void> {
    std::vector<int> log;
    auto turns = [](std::vector<int>& order, int id) -> Task<void> {
      for (int i = 0; i < 3; ++i) {
        order.push_back(id);
        co_await yield();
      }
    };
    auto a = spawn(turns(log, 1));
    auto b = spawn(turns(log, 2));
    co_await a;
    co_await b;
    CHECK(log == std::vector<int>{1, 2, 1, 2, 1, 2});
  });
}

TEST_CASE("a dropped handle leaves its task running") {
  run_here([]() -> Task<void> {
    std::vector<int> log;
    {
      auto handle = spawn(note(log, 1));
    }
    spawn(note(log, 2));
    co_await yield();
    CHECK(log == std::vector<int>{1, 2});
  });
}

TEST_CASE("a join yields the result, also when the task was done before") {
  run_here([]() -> Task<void> {
    auto early = spawn(later(1));
    auto waited = spawn(later(2));
    const int second = co_await waited;
    CHECK(second == 2);
    CHECK(early.done());
    const int first = co_await early;
    CHECK(first == 1);
  });
}

TEST_CASE("a join throws what the task threw, each time") {
  run_here([]() -> Task<void> {
    auto handle = spawn(fail("broken"));
    for (int i = 0; i < 2; ++i) {
      std::string message;
      try {
        co_await handle;
      } catch (const std::runtime_error& error) {
        message = error.what();
      }
      CHECK(message == "broken");
    }
    CHECK(handle.error() != nullptr);
    CHECK_FALSE(handle.cancelled());
    CHECK_THROWS_WITH(handle.result(), "broken");
  });
}

TEST_CASE("several tasks may wait for one, and go on in the order in which they came") {
  run_here([]() -> Task<void> {
    std::vector<int> log;
    auto target = spawn(later(7));
    auto waits = [](JoinHandle<int>& joined, std::vector<int>& order, int id) -> Task<void> {
      try {
        co_await joined;
      } catch (...) {
      }
      order.push_back(id);
    };
    auto a = spawn(waits(target, log, 1));
    auto b = spawn(waits(target, log, 2));
    auto c = spawn(waits(target, log, 3));
    co_await a;
    co_await b;
    co_await c;
    CHECK(log == std::vector<int>{1, 2, 3});
  });
}

TEST_CASE("joining a task by a handle that is a temporary works") {
  run_here([]() -> Task<void> {
    const int result = co_await spawn(later(3));
    CHECK(result == 3);
  });
}

TEST_CASE("a void task can be joined twice") {
  run_here([]() -> Task<void> {
    std::vector<int> log;
    auto handle = spawn(note(log, 1));
    co_await handle;
    co_await handle;
    CHECK(log.size() == 1);
  });
}

TEST_CASE("a task that awaits itself gets an error instead of waiting for ever") {
  run_here([]() -> Task<void> {
    JoinHandle<void> self;
    std::string message;
    auto joins_itself = [](JoinHandle<void>& me, std::string& text) -> Task<void> {
      try {
        co_await me;
      } catch (const std::logic_error& error) {
        text = error.what();
      }
    };
    self = spawn(joins_itself(self, message));
    co_await yield();
    CHECK(self.done());
    CHECK(message == "a task can't await itself");
  });
}

TEST_CASE("the result of a task that isn't done is a logic_error") {
  run_here([]() -> Task<void> {
    auto handle = spawn(later(1));
    CHECK_THROWS_AS(handle.result(), std::logic_error);
    co_await yield();
    co_await yield();
    CHECK(handle.result() == 1);
  });
}

TEST_CASE(
    "an exception that nobody retrieves reaches the loop's handler once, with the task's name and place") {
  run_here([]() -> Task<void> {
    const Reports reports;
    unsigned line = 0;
    {
      line = __LINE__ + 1;
      auto handle = spawn(fail("lost")).set_name("worker 5");
    }
    co_await yield();
    co_await yield();
    REQUIRE(reports.all.size() == 1);
    CHECK(reports.all[0].what == "lost");
    CHECK(reports.all[0].task_name == "worker 5");
    CHECK(reports.all[0].line >= line);
    CHECK(reports.all[0].line <= line + 2);
  });
}

TEST_CASE("an exception that nobody retrieves is reported when the last handle goes") {
  run_here([]() -> Task<void> {
    const Reports reports;
    {
      auto handle = spawn(fail("lost"));
      co_await yield();
      co_await yield();
      CHECK(handle.done());
      CHECK(reports.all.empty());
    }
    CHECK(reports.all.size() == 1);
  });
}

TEST_CASE("an exception that was retrieved is not reported") {
  run_here([]() -> Task<void> {
    const Reports reports;
    {
      auto joined = spawn(fail("a"));
      auto looked_at = spawn(fail("b"));
      auto asked = spawn(fail("c"));
      try {
        co_await joined;
      } catch (const std::runtime_error&) {
      }
      CHECK(looked_at.error() != nullptr);
      CHECK_THROWS(asked.result());
    }
    CHECK(reports.all.empty());
  });
}

TEST_CASE("a task that was cancelled is not reported") {
  run_here([]() -> Task<void> {
    const Reports reports;
    auto waits = []() -> Task<void> { co_await sleep(std::nullopt); };
    {
      auto handle = spawn(waits());
      co_await yield();
      handle.cancel();
    }
    co_await yield();
    co_await yield();
    CHECK(reports.all.empty());
  });
}

TEST_CASE("a name can be given and changed") {
  run_here([]() -> Task<void> {
    auto handle = spawn(later(1));
    CHECK(handle.name().empty());
    handle.set_name("first");
    CHECK(handle.name() == "first");
    handle.set_name("and a longer one than that");
    CHECK(handle.name() == "and a longer one than that");
    co_await handle;
    CHECK(handle.name() == "and a longer one than that");
  });
}

TEST_CASE("a finished task's parameters are gone though its handle lives") {
  run_here([]() -> Task<void> {
    auto holds = [](std::shared_ptr<int> value) -> Task<int> {
      co_await yield();
      co_return *value;
    };
    const auto shared = std::make_shared<int>(5);
    auto handle = spawn(holds(shared));
    CHECK(shared.use_count() == 2);
    const int result = co_await handle;
    CHECK(shared.use_count() == 1);
    CHECK(result == 5);
  });
}

TEST_CASE("spawn owns a function and its arguments until the task is done") {
  run_here([]() -> Task<void> {
    std::shared_ptr<int> watched;
    JoinHandle<int> handle;
    {
      auto counter = std::make_shared<int>(40);
      watched = counter;
      auto adds = [counter](int n, std::string text) -> Task<int> {
        co_await yield();
        co_return *counter + n + static_cast<int>(text.size());
      };
      handle = spawn(std::move(adds), 1, std::string("x"));
    }
    CHECK(watched.use_count() == 2);
    const int result = co_await handle;
    CHECK(result == 42);
    CHECK(watched.use_count() == 1);
  });
}

TEST_CASE("spawn takes a member function and move-only arguments") {
  struct Service {
    int base = 10;
    Task<int> serve(std::unique_ptr<int> request) {
      co_await yield();
      co_return base + *request;
    }
  };
  run_here([]() -> Task<void> {
    Service service;
    auto handle = spawn(&Service::serve, &service, std::make_unique<int>(5));
    const int result = co_await handle;
    CHECK(result == 15);
  });
}

TEST_CASE("spawn where no loop runs is a logic_error") {
  std::vector<int> log;
  CHECK_THROWS_AS(spawn(note(log, 1)), std::logic_error);
  CHECK(log.empty());
}

TEST_CASE("a handle may outlive its loop") {
  JoinHandle<int> handle;
  run_here([&]() -> Task<void> {
    handle = spawn(later(9));
    co_await yield();
    co_await yield();
  });
  CHECK(handle.done());
  CHECK(handle.result() == 9);
  CHECK_FALSE(handle.cancel());
}

TEST_CASE("a result with a destructor that nobody takes is destroyed") {
  std::shared_ptr<int> watched = std::make_shared<int>(1);
  run_here([&]() -> Task<void> {
    auto makes = [](std::shared_ptr<int> value) -> Task<std::shared_ptr<int>> { co_return value; };
    spawn(makes(watched));
    co_await yield();
    CHECK(watched.use_count() == 1);
  });
}

TEST_CASE("a handle may be replaced while a task waits by it") {
  run_here([]() -> Task<void> {
    JoinHandle<int> handle = spawn(later(5));
    auto waits = [](JoinHandle<int>& joined, int& out) -> Task<void> { out = co_await joined; };
    int result = 0;
    auto waiter = spawn(waits(handle, result));
    co_await yield();  // the target has run a turn, the waiter waits
    {
      const JoinHandle<int> dropped = std::exchange(handle, JoinHandle<int>());
    }
    co_await waiter;
    CHECK(result == 5);
  });
}

TEST_CASE("awaiting a handle that refers to nothing is a logic_error") {
  run_here([]() -> Task<void> {
    JoinHandle<int> nothing;
    bool refused = false;
    try {
      co_await nothing;
    } catch (const std::logic_error&) {
      refused = true;
    }
    CHECK(refused);
  });
}

TEST_CASE("asking a task for its error before it is done doesn't hide that error") {
  run_here([]() -> Task<void> {
    const Reports reports;
    {
      auto handle = spawn(fail("lost"));
      CHECK(handle.error() == nullptr);
    }
    co_await yield();
    co_await yield();
    CHECK(reports.all.size() == 1);
  });
}
