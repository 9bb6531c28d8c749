// What tasks wait at may go at any time: of every such object, in each order.
// SPDX-License-Identifier: MIT
#include <cerrno>
#include <exception>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "../../../io/server/server.hpp"
#include "../../../io/stream/memory_listener.hpp"
#include "../../../runtime/loop/event_loop.hpp"
#include "../../../runtime/task/join_handle.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../../runtime/testing/allocation_faults.hpp"
#include "../../../runtime/testing/testing.hpp"
#include "../../support/on_selectors.hpp"
#include "../../support/turns.hpp"
#include "waitables.hpp"

using namespace heddle;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

// What is reported to the running loop from now on.
void collect_reports(std::vector<std::string>& reports) {
  EventLoop::running().set_report_handler(
      [](EventLoop&, const Report& report, void* argument) {
        std::string text(report.message);
        try {
          if (report.error) std::rethrow_exception(report.error);
        } catch (const std::exception& error) {
          text.append(": ").append(error.what());
        } catch (...) {
        }
        static_cast<std::vector<std::string>*>(argument)->push_back(text);
      },
      &reports);
}

// Runs `body(kind)`, a coroutine, for every object, and checks that nothing was reported.
template <class Body>
void for_every_object(Body body) {
  for (const WaitableKind& kind : waitable_kinds()) {
    INFO(kind.name);
    std::vector<std::string> reports;
    run_here([&]() -> Task<void> {
      collect_reports(reports);
      co_await body(kind);
    });
    CHECK(reports == std::vector<std::string>());
  }
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// Whatever a wait may end with when there are others, and the object goes at some time.
bool is_an_end(const std::string& end, const WaitableKind& kind) {
  for (const char* part :
       {"done", "cancelled", "destroyed", "already", "two tasks", "nobody holds", "were missed"})
    if (has(end, part)) return true;
  return has(end, kind.end);
}

}  // namespace

TEST_CASE("who waits for an object that is destroyed gets an error that names it") {
  for_every_object([](const WaitableKind& kind) -> Task<void> {
    std::unique_ptr<Waitable> object = kind.make();
    auto waits = spawn(end_of(object->wait()));
    co_await turns(4);
    object.reset();
    const std::string end = co_await timeout(10s, waits);
    INFO(end);
    CHECK(has(end, kind.end));
  });
}

TEST_CASE(
    "who is cancelled after what it waits for was destroyed gets Cancelled, or what it has waited for") {
  for_every_object([](const WaitableKind& kind) -> Task<void> {
    std::unique_ptr<Waitable> object = kind.make();
    auto waits = spawn(end_of(object->wait()));
    co_await turns(4);
    object.reset();
    waits.cancel();
    const std::string end = co_await timeout(10s, waits);
    INFO(end);
    CHECK((end == "cancelled" || (end == "done" && kind.end == "done")));
  });
}

TEST_CASE(
    "who is cancelled before what it waits for is destroyed gets Cancelled, or what it has waited for") {
  for (const bool woken : {false, true}) {
    for_every_object([woken](const WaitableKind& kind) -> Task<void> {
      std::unique_ptr<Waitable> object = kind.make();
      auto waits = spawn(end_of(object->wait()));
      co_await turns(4);
      if (woken) object->wake();
      waits.cancel();
      object.reset();
      const std::string end = co_await timeout(10s, waits);
      INFO(end);
      if (woken)
        CHECK((end == "cancelled" || end == "done"));
      else
        CHECK((end == "cancelled" || (end == "done" && kind.end == "done")));
    });
  }
}

TEST_CASE("who has been woken doesn't touch what was destroyed before its turn") {
  for_every_object([](const WaitableKind& kind) -> Task<void> {
    std::unique_ptr<Waitable> object = kind.make();
    auto waits = spawn(end_of(object->wait()));
    co_await turns(4);
    object->wake();
    object.reset();
    const std::string end = co_await timeout(10s, waits);
    INFO(end);
    CHECK(is_an_end(end, kind));
  });
}

TEST_CASE("a program whose main task ends while others wait for what it owns ends without a word") {
  for (const int wakes : {0, 1}) {
    for_every_object([wakes](const WaitableKind& kind) -> Task<void> {
      const std::unique_ptr<Waitable> object = kind.make();
      spawn(object->wait());
      spawn(object->wait()).cancel();
      co_await turns(4);
      if (wakes != 0) object->wake();
    });
  }
}

TEST_CASE("a main task that fails while others wait for what it owns is reported alone") {
  for (const WaitableKind& kind : waitable_kinds()) {
    INFO(kind.name);
    std::vector<std::string> reports;
    const auto main = [&]() -> Task<void> {
      collect_reports(reports);
      const std::unique_ptr<Waitable> object = kind.make();
      spawn(object->wait());
      co_await turns(4);
      throw std::runtime_error("main fails");
    };
    CHECK(thrown<std::runtime_error>([&] { run_here(main); }) == "main fails");
    CHECK(reports == std::vector<std::string>());
  }
}

TEST_CASE("in random histories of waits, wake-ups and requests to stop an object may go at any time") {
  for (unsigned seed = 1; seed <= 12; ++seed) {
    for_every_object([seed](const WaitableKind& kind) -> Task<void> {
      std::mt19937 numbers(seed);
      const auto random = [&] { return static_cast<unsigned>(numbers()); };
      std::vector<JoinHandle<std::string>> all;
      std::unique_ptr<Waitable> object = kind.make();
      const unsigned steps = random() % 10;
      for (unsigned step = 0; step < steps; ++step) {
        switch (random() % 5) {
          case 0:
          case 1:
            if (all.size() < 4) all.push_back(spawn(end_of(object->wait())));
            break;
          case 2:
            object->wake();
            break;
          case 3:
            if (!all.empty()) all[random() % all.size()].cancel();
            break;
          default:
            co_await turns(static_cast<int>(random() % 3));
        }
      }
      // (Who hasn't begun would begin with an object that is gone.)
      co_await turns(1);
      object.reset();
      for (JoinHandle<std::string>& each : all)
        if (random() % 2 == 0) each.cancel();
      for (JoinHandle<std::string>& each : all) {
        std::string end = "cancelled";
        try {
          end = co_await timeout(10s, each);
        } catch (const Cancelled&) {  // before it began
        }
        INFO("seed " << seed << ": " << end);
        CHECK(is_an_end(end, kind));
      }
    });
  }
}

TEST_CASE(
    "wherever something goes wrong while an object is destroyed that a task waits for, nothing is left") {
  for (const WaitableKind& kind : waitable_kinds()) {
    INFO(kind.name);
    const auto scenario = [&]() -> Task<void> {
      std::unique_ptr<Waitable> object = kind.make();
      auto waits = spawn(object->wait());
      co_await turns(3);
      object.reset();
      try {
        co_await waits;
      } catch (const std::logic_error&) {
      } catch (const std::runtime_error& error) {
        if (!has(error.what(), kind.end)) throw;
      }
    };
    const auto failure = std::make_exception_ptr(std::system_error(EIO, std::generic_category(), "injected"));
    const auto check = [](const DisturbedRun& run) {
      const bool failed_to_begin = run.disturbance == Disturbance::ALLOCATION && !run.returned();
      if (!failed_to_begin) check_usual_end(run);
    };
    CHECK(cancel_everywhere(scenario, check).places > 0);
    CHECK(throw_everywhere(scenario, failure, check).places > 0);
    if (allocations_are_observed()) CHECK(fail_allocations(scenario, check).places > 0);
  }
}

TEST_CASE("a service that fails anywhere stops its handlers, and throws that failure when they have ended") {
  const auto scenario = []() -> Task<void> {
    MemoryListener listener;
    Server server;
    int running = 0;
    server.add(listener, [&running](MemoryStream& stream) -> Task<void> {
      ++running;
      std::exception_ptr end;
      try {
        char byte;
        while (co_await stream.read_some(std::span(&byte, 1)) != 0) continue;
      } catch (...) {
        end = std::current_exception();
      }
      if (end) co_await shield(turns(2));  // says goodbye
      --running;
      if (end) std::rethrow_exception(end);
    });
    MemoryStream client = listener.connect();
    auto serving = spawn(server.serve());
    std::exception_ptr failure;
    try {
      co_await turns(4);
      server.stop(1s);
      client.close();
    } catch (...) {
      failure = std::current_exception();
      server.stop(Duration(0));
    }
    try {
      co_await serving;
    } catch (...) {
      failure = std::current_exception();
    }
    if (serving.done()) CHECK(running == 0);
    if (failure) std::rethrow_exception(failure);
  };
  const auto injected = std::make_exception_ptr(std::system_error(EIO, std::generic_category(), "injected"));
  CHECK(throw_everywhere(scenario, injected).failed > 0);
  CHECK(cancel_everywhere(scenario).failed > 0);
}
