// disturb_everywhere: each run is brought to its end, and checked for what it left behind.
// SPDX-License-Identifier: MIT
#include "testing.hpp"

#include <dirent.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <thread>

#include "../../selector/base_selector.hpp"
#include "../loop/fd_watch.hpp"
#include "../seeing/dump.hpp"
#include "../task/join_handle.hpp"
#include "allocation_faults.hpp"
#include "disturber.hpp"
#include "watchdog.hpp"

namespace heddle {

using namespace detail;

DisturbedScenario::~DisturbedScenario() = default;

namespace {

int open_descriptors() noexcept {
  DIR* const folder = ::opendir("/dev/fd");
  if (folder == nullptr) return 0;
  int count = 0;
  while (::readdir(folder) != nullptr) ++count;
  ::closedir(folder);
  return count;
}

// A run whose tasks don't end though they were cancelled: its loop can't be destroyed. Kept reachable, so
// that it isn't reported as a leak.
struct UnfinishedRun {
  std::unique_ptr<EventLoop> loop;
  JoinHandle<void> main;
  UnfinishedRun* next = nullptr;
};
constinit std::atomic<UnfinishedRun*> unfinished_runs{nullptr};

void keep_for_ever(UnfinishedRun run) {
  auto* const kept = new UnfinishedRun(std::move(run));
  kept->next = unfinished_runs.load();
  while (!unfinished_runs.compare_exchange_weak(kept->next, kept)) {
  }
}

// Cancels each task of a loop once: those that there are when the main one is done, at once, as run() does;
// and what they start later.
class RestCanceller final : private TaskObserver {
 public:
  explicit RestCanceller(EventLoop& loop) noexcept : loop_(loop) {}
  ~RestCanceller() {
    if (main_ != nullptr && !main_->done()) main_->remove_observer(*this);
  }

  void watch(TaskState& main) noexcept {
    main_ = &main;
    main.add_observer(*this);
  }
  /// True if no task is left.
  bool cancel_new() noexcept {
    std::uint64_t newest = cancelled_up_to_;
    for (TaskState* task = loop_.first_child(); task != nullptr; task = task->next_sibling()) {
      if (task->id() <= cancelled_up_to_) continue;
      task->cancel();
      newest = std::max(newest, task->id());
    }
    cancelled_up_to_ = newest;
    return loop_.first_child() == nullptr;
  }

 private:
  void task_done(TaskState&) noexcept override { cancel_new(); }

  EventLoop& loop_;
  TaskState* main_ = nullptr;
  std::uint64_t cancelled_up_to_ = 0;
};

class Harness {
 public:
  Harness(DisturbedScenario& scenario, Disturbance disturbance, std::exception_ptr injected,
          const DisturbOptions& options)
      : scenario_(scenario), disturbance_(disturbance), injected_(std::move(injected)), options_(options) {}

  DisturbCount run_all() {
    DisturbCount count;
    run_and_check(0);  // undisturbed; what is only made once in a process is made now
    for (std::uint64_t number = 1;; ++number) {
      run_without_leak(number);
      if (!disturbed_) return count;
      ++count.places;
      count.failed += failed_;
    }
  }

 private:
  // Memory that is lost in one run only is no leak: a cache was filled, or a thread started. So a run that
  // loses some is repeated.
  void run_without_leak(std::uint64_t number) {
    std::int64_t lost = 0;
    for (int attempts = 0; attempts < 3; ++attempts) {
      summary_ = std::string();
      const std::int64_t before = allocations_alive();
      const int descriptors = open_descriptors();
      run_and_check(number);
      // A call on another thread that runs on keeps its loop's wake-up descriptor, and some memory.
      for (int wait = 0; wait < 2000 && open_descriptors() > descriptors; ++wait)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      if (const int more = open_descriptors() - descriptors; more > 0)
        throw DisturbanceError(summary_ + ", and left " + std::to_string(more) + " more descriptors open");
      const auto lost_now = [&] { return allocations_alive() - before - kept_; };
      for (int wait = 0; wait < 100 && lost_now() > 0; ++wait)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      lost = lost_now();
      if (lost <= 0) return;
    }
    throw DisturbanceError(summary_ + ", and left " + std::to_string(lost) + " blocks of memory allocated");
  }

  void run_and_check(std::uint64_t number) {
    const FrameCacheBypass bypass;  // also of the check, which may destroy what the run has made
    DisturbedRun run;
    const std::string wrong = run_scenario(number, run);
    disturbed_ = run.disturbance != Disturbance::NONE;
    failed_ = !run.returned();
    if (!wrong.empty()) throw DisturbanceError(run.what() + "\nand " + wrong);
    // What the check has allocated and keeps is not the scenario's leak.
    const std::int64_t alive_before = allocations_alive();
    try {
      scenario_.check(run);
    } catch (const DisturbanceError&) {
      throw;
    } catch (const std::exception& error) {
      throw DisturbanceError(run.what() + "\nand the check says: " + error.what());
    }
    kept_ = std::max<std::int64_t>(allocations_alive() - alive_before, 0);
    const std::int64_t before = allocations_alive();
    summary_ = run.what();
    kept_ += allocations_alive() - before;
  }

  // Runs the scenario once, on a new loop. Returns what was wrong, empty if nothing was.
  std::string run_scenario(std::uint64_t number, DisturbedRun& run) {
    Disturber disturber(disturbance_, number, injected_, options_);
    std::string wrong;
    UnfinishedRun all;
    std::optional<RestCanceller> rest;
    std::size_t failed_size = 0;
    bool allocation_failed = false;
    {
      std::optional<AllocationFault> fault;
      if (disturbance_ == Disturbance::ALLOCATION) fault.emplace(number);
      try {
        all.loop = std::make_unique<EventLoop>(options_.loop);
        all.loop->set_report_handler([](EventLoop&, const Report&, void*) {});
        all.main = spawn_for(*all.loop, scenario_.make(), std::source_location());
        disturber.set_main(all.main.state());
        rest.emplace(*all.loop).watch(all.main.state());
        all.loop->add_observer(disturber);
        drive(all, disturber, wrong, [&] { return all.main.done(); });
      } catch (...) {
        run.end = std::current_exception();
      }
      if (!wrong.empty()) disturber.stop();
      if (all.loop) cancel_rest(all, rest ? *rest : rest.emplace(*all.loop), disturber, wrong);
      rest.reset();
      if (fault) allocation_failed = fault->has_failed(), failed_size = fault->size();
    }
    const bool happened =
        disturbance_ == Disturbance::ALLOCATION ? allocation_failed : disturber.has_disturbed();
    if (happened) {
      run.disturbance = disturbance_;
      run.number = number;
      run.injected = injected_;
      run.place = disturbance_ == Disturbance::ALLOCATION ? std::to_string(failed_size) + " bytes"
                                                          : disturber.place();
    }
    if (!all.loop) return wrong;
    if (!run.end && all.main) {
      if (all.main.cancelled())
        run.end = std::make_exception_ptr(Cancelled());
      else
        run.end = all.main.error();
    }
    all.loop->remove_observer(disturber);
    if (all.loop->first_child() != nullptr)
      keep_for_ever(std::move(all));
    else if (wrong.empty())
      wrong = find_left_behind(*all.loop);
    return wrong;
  }

  // Runs the loop until `done()`, or until something is wrong.
  template <class Done>
  void drive(UnfinishedRun& all, Disturber& disturber, std::string& wrong, Done done) {
    EventLoop& loop = *all.loop;
    const std::uint64_t first_step = loop.counters().resumes;
    const Watchdog::Watch watch(watchdog_, loop, options_.patience);
    while (!done()) {
      if (watch.expired()) {
        wrong = "it hangs:\n" + dump_tasks(loop);
        return;
      }
      if (loop.counters().resumes - first_step > options_.most_steps) {
        wrong = "it goes on and on:\n" + dump_tasks(loop);
        return;
      }
      try {
        loop.run_once();
      } catch (const Deadlock& deadlock) {
        wrong = std::string("it hangs: ") + deadlock.what();
        return;
      }
      disturber.disturb_if_due();
    }
  }

  // As heddle::run() does: the tasks that are left are cancelled, and those that they start now are so at
  // once.
  void cancel_rest(UnfinishedRun& all, RestCanceller& rest, Disturber& disturber, std::string& wrong) {
    EventLoop& loop = *all.loop;
    const auto cancel_new = [&rest] { return rest.cancel_new(); };
    std::string stuck;
    for (int attempts = 0; loop.first_child() != nullptr && stuck.empty(); ++attempts) try {
        drive(all, disturber, stuck, cancel_new);
      } catch (const std::exception& error) {
        // An allocation by the loop itself has failed: it can go on.
        if (attempts == 3) stuck = std::string("its loop fails: ") + error.what();
      }
    if (wrong.empty() && !stuck.empty())
      wrong = "the tasks that it left behind do not end when cancelled: " + stuck;
  }

  static std::string find_left_behind(EventLoop& loop) {
    if (const std::size_t timers = loop.counters().timers; timers != 0)
      return "it left " + std::to_string(timers) + (timers == 1 ? " timer" : " timers");
    for (const SelectorKey& key : loop.selector().get_map())
      if (key.data.holds<FdWatch*>() && !key.data.get<FdWatch*>()->idle())
        return "somebody still waits for fd " + std::to_string(key.fd);
    return "";
  }

  DisturbedScenario& scenario_;
  Disturbance disturbance_;
  std::exception_ptr injected_;
  const DisturbOptions& options_;
  Watchdog watchdog_;
  std::string summary_;
  std::int64_t kept_ = 0;  // blocks, by the check and by summary_
  bool disturbed_ = false;
  bool failed_ = false;
};

}  // namespace

DisturbCount disturb_everywhere(DisturbedScenario& scenario, Disturbance disturbance,
                                std::exception_ptr injected, const DisturbOptions& options) {
  if (current.loop != nullptr)
    throw std::logic_error("a scenario can't be disturbed from within a running event loop");
  if (disturbance == Disturbance::ALLOCATION && !allocations_are_observed())
    throw std::logic_error("fail_allocations(): operator new is not the one of heddle::testing");
  return Harness(scenario, disturbance, std::move(injected), options).run_all();
}

}  // namespace heddle
