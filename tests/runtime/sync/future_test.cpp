// Promise and Future: a result that is given once, to all who wait.
// SPDX-License-Identifier: MIT
#include "../../../runtime/sync/future.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../../runtime/loop/event_loop.hpp"
#include "../../../runtime/task/join_handle.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../support/on_selectors.hpp"
#include "../../support/turns.hpp"

using namespace heddle;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

Task<void> log_result(const Future<std::string>& future, std::vector<std::string>& log) {
  log.push_back(co_await future);
}

// What nobody retrieved, in a run of `body`.
template <class Body>
std::vector<std::string> reports_of(Body body) {
  std::vector<std::string> reports;
  run_here([&]() -> Task<void> {
    EventLoop::running().set_report_handler(
        [](EventLoop&, const Report& report, void* log) {
          try {
            std::rethrow_exception(report.error);
          } catch (const std::exception& exception) {
            static_cast<std::vector<std::string>*>(log)->push_back(exception.what());
          }
        },
        &reports);
    co_await body();
  });
  return reports;
}

}  // namespace

ON_SELECTORS("a future yields what its promise was given, to all who wait") {
  run_on(selector, []() -> Task<void> {
    Promise<std::string> promise;
    Future<std::string> future = promise.future();
    std::vector<std::string> log;
    auto first = spawn(log_result(future, log));
    auto second = spawn(log_result(future, log));
    co_await turns(2);
    CHECK_FALSE(future.done());
    CHECK(promise.set_result("a result that is long enough to be on the heap"));
    CHECK(future.done());
    CHECK(log.empty());
    co_await first;
    co_await second;
    CHECK(log == std::vector<std::string>(2, "a result that is long enough to be on the heap"));
    CHECK(future.result() == log[0]);
    const std::string moved = co_await std::move(future);
    CHECK(moved == log[0]);
  });
}

TEST_CASE("a result that was given before anybody asked is there at once") {
  run_here([]() -> Task<void> {
    Promise<int> promise;
    CHECK(promise.wanted());
    CHECK(promise.set_result(5));
    CHECK(promise.done());
    const int result = co_await promise.future();
    CHECK(result == 5);
  });
}

TEST_CASE("a future yields void, and what can only be moved") {
  run_here([]() -> Task<void> {
    Promise<> done;
    auto waits = spawn(end_of(done.future()));
    co_await yield();
    CHECK(done.set_result());
    const std::string end = co_await waits;
    CHECK(end == "done");

    Promise<std::unique_ptr<int>> promise;
    Future<std::unique_ptr<int>> future = promise.future();
    promise.set_result(std::make_unique<int>(7));
    std::unique_ptr<int>& seen = co_await future;
    CHECK(*seen == 7);
    const std::unique_ptr<int> taken = co_await std::move(future);
    CHECK(*taken == 7);
  });
}

TEST_CASE("an exception that a promise was given comes out of the future") {
  const auto reports = reports_of([]() -> Task<void> {
    Promise<int> promise;
    auto future = promise.future();
    promise.set_exception(std::make_exception_ptr(std::runtime_error("no luck")));
    const std::string end = co_await end_of(promise.future());
    CHECK(end == "no luck");
    CHECK(thrown<std::runtime_error>([&] { future.result(); }) == "no luck");
    CHECK(future.error() != nullptr);
    CHECK_FALSE(future.cancelled());
  });
  CHECK(reports.empty());
}

TEST_CASE("an exception in a future that nobody looks at is reported") {
  const auto reports = reports_of([]() -> Task<void> {
    Promise<int> promise;
    {
      auto future = promise.future();
      promise.set_exception(std::make_exception_ptr(std::runtime_error("unseen")));
    }
    co_await yield();
    Promise<int> broken;
    auto ignored = broken.future();
  });
  CHECK(reports == std::vector<std::string>{"unseen"});
}

TEST_CASE("a promise that goes without a result breaks its futures") {
  run_here([]() -> Task<void> {
    auto promise = std::make_unique<Promise<int>>();
    auto future = promise->future();
    auto waits = spawn(end_of(promise->future()));
    co_await yield();
    promise.reset();
    const std::string end = co_await waits;
    CHECK(end == "the Promise was dropped without a result");
    CHECK(future.done());
    CHECK_THROWS_AS(future.result(), BrokenPromise);
    CHECK(future.error() == nullptr);
  });
}

TEST_CASE("a promise is given one result, or there is an error") {
  Promise<int> promise;
  auto future = promise.future();
  CHECK(thrown<InvalidStateError>([&] { future.result(); }) == "Future.result(): there is none yet");
  promise.set_result(1);
  CHECK(thrown<InvalidStateError>([&] { promise.set_result(2); }) ==
        "the Promise has been given a result already");
  CHECK_THROWS_AS(promise.set_exception(nullptr), InvalidStateError);
  CHECK_THROWS_AS(promise.cancel(), InvalidStateError);
  CHECK(future.result() == 1);
}

TEST_CASE("a promise knows whether anybody wants its result") {
  Promise<int> promise;
  CHECK(promise.wanted());
  {
    auto future = promise.future();
    CHECK(promise.wanted());
  }
  CHECK_FALSE(promise.wanted());
  CHECK_FALSE(promise.set_result(1));  // no error: it could not know

  Promise<int> other;
  auto future = other.future();
  CHECK(future.cancel());
  CHECK_FALSE(future.cancel());
  CHECK(future.cancelled());
  CHECK_FALSE(other.wanted());
  CHECK(other.done());
  CHECK_FALSE(other.set_result(1));
  CHECK_FALSE(other.set_exception(nullptr));
}

TEST_CASE("those who wait for a future that is cancelled, from either side, get Cancelled") {
  run_here([]() -> Task<void> {
    Promise<int> promise;
    auto future = promise.future();
    auto waits = spawn(end_of(promise.future()));
    co_await yield();
    future.cancel();
    std::string end = co_await waits;
    CHECK(end == "cancelled");

    Promise<int> other;
    auto waits_for_other = spawn(end_of(other.future()));
    co_await yield();
    CHECK(other.cancel());
    end = co_await waits_for_other;
    CHECK(end == "cancelled");
  });
}

TEST_CASE("a task that is cancelled while it waits leaves the future to the others") {
  run_here([]() -> Task<void> {
    Promise<std::string> promise;
    auto future = promise.future();
    std::vector<std::string> log;
    auto first = spawn(log_result(future, log));
    auto second = spawn(log_result(future, log));
    co_await yield();
    first.cancel();
    co_await yield();
    CHECK(first.cancelled());
    CHECK_FALSE(future.cancelled());
    promise.set_result("here");
    second.cancel();  // too late
    co_await turns(2);
    CHECK(log == std::vector<std::string>{"here"});
  });
}

TEST_CASE("a wait keeps the result alive though the future goes") {
  run_here([]() -> Task<void> {
    Promise<std::string> promise;
    auto future = std::make_unique<Future<std::string>>(promise.future());
    auto waits = [](Future<std::string> owned) -> Task<std::string> { co_return co_await std::move(owned); };
    auto handle = spawn(waits(std::move(*future)));
    co_await yield();
    future.reset();
    CHECK(promise.wanted());
    promise.set_result("kept");
    const std::string result = co_await handle;
    CHECK(result == "kept");
  });
}

TEST_CASE("waiting for a future can time out, and go on") {
  run_here([]() -> Task<void> {
    Promise<int> promise;
    auto future = promise.future();
    bool late = false;
    try {
      co_await timeout(1ms, future);
    } catch (const TimeoutError&) {
      late = true;
    }
    CHECK(late);
    promise.set_result(3);
    const int result = co_await timeout(1h, future);
    CHECK(result == 3);
  });
}

TEST_CASE("a future without a promise is an error where it is used") {
  run_here([]() -> Task<void> {
    Future<int> empty;
    CHECK_FALSE(empty.valid());
    CHECK_FALSE(empty.done());
    const std::string end = co_await end_of(std::move(empty));
    CHECK(end == "co_await: it was moved from, or never had a promise");
    CHECK_THROWS_AS(Future<int>().result(), std::logic_error);
    Promise<int> promise;
    const Promise<int> taken = std::move(promise);
    CHECK(thrown<std::logic_error>([&] { promise.set_result(1); }) ==
          "Promise.set_result(): it was moved from, or never had a promise");
  });
}
