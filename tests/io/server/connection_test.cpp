// Connection: its deadlines, its reset and its reports, without a server around it.
// SPDX-License-Identifier: MIT
#include "../../../io/server/connection.hpp"

#include <cerrno>
#include <cstdint>
#include <new>
#include <source_location>
#include <string>
#include <system_error>
#include <vector>

#include "../../../runtime/loop/event_loop.hpp"
#include "../../../runtime/sync/event.hpp"
#include "../../../runtime/sync/semaphore.hpp"
#include "../../../runtime/task/join_handle.hpp"
#include "../../../runtime/testing/allocation_faults.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;

namespace {

// Connections with what they share; done when the last has gone.
struct Service final : Connections {
  explicit Service(const ServerOptions& allowed = {})
      : Connections(EventLoop::running(), options, counters), options(allowed) {
    EventLoop::running().set_report_handler(
        [](EventLoop&, const Report& report, void* self) {
          static_cast<Service*>(self)->reports.emplace_back(report.message);
        },
        this);
  }

  ServerOptions options;
  ServerCounters counters;
  std::vector<std::string> reports;
  Event done;

 private:
  void child_done(TaskState&) noexcept override {
    if (first_child() == nullptr) done.set();
  }
};

// A connection without a stream, which notes when it was reset and when it went.
class Probe final : public Connection {
 public:
  struct Notes {
    bool has_stream = true;
    std::vector<Duration> resets;
    Duration gone = Duration(-1);
  };

  explicit Probe(Notes& notes, Guard<Semaphore> place = {}) : Connection(std::move(place)), notes_(notes) {}
  ~Probe() override { notes_.gone = elapsed(); }

 private:
  bool reset() noexcept override {
    if (notes_.has_stream) notes_.resets.push_back(elapsed());
    return notes_.has_stream;
  }
  int fileno() const noexcept override { return -1; }
  Duration elapsed() const { return EventLoop::running().time() - start_; }

  Notes& notes_;
  TimePoint start_ = EventLoop::running().time();
};

void serve(Service& service, Probe::Notes& notes, Task<void> handler) {
  (new Probe(notes))->serve(service, std::move(handler), std::source_location::current());
}

Task<void> wait_for(Duration time) { co_await sleep(time); }

Task<void> fail_with(int error) {
  co_await sleep(1ms);
  throw std::system_error(error, std::generic_category(), "recv");
}

// Goes on until `end`, whatever requests to stop it gets.
Task<void> insist(Event& end) {
  for (;;) {
    try {
      co_await end.wait();
      break;
    } catch (const Cancelled&) {
    }
  }
}

}  // namespace

TEST_CASE("a connection goes with its handler, and gives its place back") {
  run_in_virtual_time([]() -> Task<void> {
    Service service;
    Semaphore places(1);
    Probe::Notes notes;
    Guard<Semaphore> place = co_await places.scoped();
    auto* const probe = new Probe(notes, std::move(place));
    probe->serve(service, wait_for(5ms), std::source_location::current());
    CHECK(service.first() == probe);
    CHECK(service.counters.active == 1);
    CHECK(places.locked());
    co_await service.done.wait();
    CHECK(notes.gone == 5ms);
    CHECK(service.first() == nullptr);
    CHECK(!places.locked());
    CHECK(service.counters.active == 0);
    CHECK(service.counters.accepted == 1);
    CHECK(service.counters.failed == 0);
    CHECK(notes.resets.empty());
  });
}

TEST_CASE("connections may end in any order") {
  run_in_virtual_time([]() -> Task<void> {
    Service service;
    Probe::Notes notes[4];
    const Duration times[4] = {2ms, 1ms, 4ms, 3ms};
    for (int i = 0; i < 4; ++i) serve(service, notes[i], wait_for(times[i]));
    co_await service.done.wait();
    for (int i = 0; i < 4; ++i) CHECK(notes[i].gone == times[i]);
    CHECK(service.first() == nullptr);
  });
}

TEST_CASE("a handler is cancelled at its lifetime, however busy it is") {
  run_in_virtual_time([]() -> Task<void> {
    ServerOptions options;
    options.lifetime = 100ms;
    options.idle = 30ms;
    Service service(options);
    Probe::Notes notes;
    serve(service, notes, []() -> Task<void> {
      for (;;) co_await sleep(20ms);
    }());
    co_await service.done.wait();
    CHECK(notes.gone == 100ms);
    CHECK(service.counters.timed_out == 1);
    CHECK(service.counters.failed == 0);
    CHECK(notes.resets.empty());
    CHECK(service.reports.empty());
  });
}

TEST_CASE("a handler is cancelled when it has been idle, counted from what it did last") {
  run_in_virtual_time([]() -> Task<void> {
    ServerOptions options;
    options.idle = 30ms;
    Service service(options);
    Probe::Notes notes;
    serve(service, notes, []() -> Task<void> {
      co_await sleep(20ms);
      co_await sleep(15ms);
      co_await sleep(1s);
    }());
    co_await service.done.wait();
    CHECK(notes.gone == 65ms);
    CHECK(service.counters.timed_out == 1);
  });
}

TEST_CASE("a handler that goes on after its deadline has its connection reset, once") {
  run_in_virtual_time([]() -> Task<void> {
    ServerOptions options;
    options.lifetime = 10ms;
    options.abort_after = 5ms;
    Service service(options);
    Event end;
    Probe::Notes notes;
    serve(service, notes, insist(end));
    co_await sleep(100ms);
    CHECK(notes.resets == std::vector<Duration>{15ms});
    service.abort_all();
    CHECK(notes.resets.size() == 1);
    CHECK(service.counters.aborted == 1);
    CHECK(service.counters.timed_out == 1);
    end.set();
    co_await service.done.wait();
  });
}

TEST_CASE("without a stream there is nothing to reset, and nothing is counted") {
  run_in_virtual_time([]() -> Task<void> {
    Service service;
    Event end;
    Probe::Notes notes;
    notes.has_stream = false;
    serve(service, notes, wait_for(1s));
    co_await sleep(1ms);
    service.abort_all();
    co_await service.done.wait();
    CHECK(notes.gone == 1ms);
    CHECK(service.counters.aborted == 0);
  });
}

TEST_CASE("what ended a connection is reported unless it is a disconnect") {
  const auto reports_of = [](int error, bool report_disconnects, bool aborted) {
    std::size_t reports = 0;
    run_in_virtual_time([&]() -> Task<void> {
      ServerOptions options;
      options.report_disconnects = report_disconnects;
      Service service(options);
      Event end;
      Probe::Notes notes;
      serve(service, notes, [](Event& ended, int number) -> Task<void> {
        co_await insist(ended);
        co_await fail_with(number);
      }(end, error));
      co_await sleep(1ms);
      if (aborted) service.abort_all();
      co_await sleep(1ms);
      end.set();
      co_await service.done.wait();
      CHECK(service.counters.failed == 1);
      reports = service.reports.size();
    });
    return reports;
  };
  for (const int error : {ECONNRESET, EPIPE, ECONNABORTED, ENOTCONN, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH}) {
    CHECK(reports_of(error, false, false) == 0);
    CHECK(reports_of(error, true, false) == 1);
    CHECK(reports_of(error, true, true) == 0);
  }
  for (const int error : {ECANCELED, EBADF}) {
    CHECK(reports_of(error, false, false) == 1);
    CHECK(reports_of(error, true, true) == 0);
  }
  CHECK(reports_of(ENOSPC, false, false) == 1);
  CHECK(reports_of(ENOSPC, false, true) == 1);
}

TEST_CASE("a connection that can't be served for want of memory is still its maker's") {
  if (!allocations_are_observed()) return;
  run_in_virtual_time([]() -> Task<void> {
    ServerOptions options;
    options.lifetime = 1s;
    Service service(options);
    const FrameCacheBypass bypass;
    std::uint64_t failures = 0;
    for (bool served = false; !served;) {
      Probe::Notes notes;
      auto* const probe = new Probe(notes);
      Task<void> handler = wait_for(1ms);
      {
        const AllocationFault fault(failures + 1);
        try {
          probe->serve(service, std::move(handler), std::source_location());
          served = true;
        } catch (const std::bad_alloc&) {
          ++failures;
        }
      }
      if (served) {
        co_await service.done.wait();
      } else {
        CHECK(notes.gone == Duration(-1));
        CHECK(service.first() == nullptr);
        delete probe;
      }
    }
    CHECK(failures >= 1);
    CHECK(service.counters.accepted == 1);
    co_await sleep(2s);  // no deadline of one that is gone comes
    CHECK(service.counters.timed_out == 0);
  });
}
