// Disturbed runs: choosing the place, bringing every run to an end, and looking at what it left behind.
// SPDX-License-Identifier: MIT
#include "testing.hpp"

#include <dirent.h>

#include <algorithm>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "../core/injection.hpp"
#include "../core/loop_observer.hpp"
#include "../core/operation.hpp"
#include "../seeing/dump.hpp"
#include "../task/join_handle.hpp"
#include "../task/task_group.hpp"
#include "allocation_faults.hpp"

namespace heddle {

DisturbanceError::DisturbanceError(const DisturbanceError&) noexcept = default;
DisturbanceError::~DisturbanceError() = default;
DisturbedScenario::~DisturbedScenario() = default;

// What a run says of itself.

namespace {

const ExceptionGroup* as_group(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const ExceptionGroup& group) {
    return &group;  // `error` keeps it
  } catch (...) {
    return nullptr;
  }
}

std::string in_words(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Cancelled&) {
    return "Cancelled";
  } catch (const std::exception& exception) {
    return exception.what();
  } catch (...) {
    return "an exception that is no std::exception";
  }
}

bool contains(const std::exception_ptr& error, const std::exception_ptr& wanted) {
  if (!error || error == wanted) return static_cast<bool>(error);
  if (const ExceptionGroup* const group = as_group(error))
    for (const std::exception_ptr& each : group->exceptions())
      if (contains(each, wanted)) return true;
  return false;
}

}  // namespace

bool DisturbedRun::any_of(const std::exception_ptr& error, bool (*is)(const std::exception_ptr&)) {
  if (!error) return false;
  if (is(error)) return true;
  if (const ExceptionGroup* const group = as_group(error))
    for (const std::exception_ptr& each : group->exceptions())
      if (any_of(each, is)) return true;
  return false;
}

bool DisturbedRun::cancelled() const noexcept {
  try {
    if (end) std::rethrow_exception(end);
  } catch (const Cancelled&) {
    return true;
  } catch (...) {
  }
  return false;
}

bool DisturbedRun::failed_with_injected() const { return injected && contains(end, injected); }

std::string DisturbedRun::what() const {
  std::string text;
  switch (disturbance) {
    case Disturbance::NONE:
      text = "undisturbed, the scenario";
      break;
    case Disturbance::CANCEL:
      text = "cancelled at place " + std::to_string(number) + " (" + place + "), the scenario";
      break;
    case Disturbance::THROW:
      text =
          "with an exception injected at place " + std::to_string(number) + " (" + place + "), the scenario";
      break;
    case Disturbance::ALLOCATION:
      text = "with allocation " + std::to_string(number) + " (" + place + ") failing, the scenario";
      break;
  }
  return text + (end ? " ended with: " + in_words(end) : " returned");
}

void check_usual_end(const DisturbedRun& run) {
  switch (run.disturbance) {
    case Disturbance::CANCEL:
      if (run.failed_with<Cancelled>()) return;
      break;
    case Disturbance::THROW:
      if (run.failed_with_injected()) return;
      break;
    case Disturbance::ALLOCATION:
      if (run.failed_with<std::bad_alloc>()) return;
      break;
    case Disturbance::NONE:
      break;
  }
  if (!run.returned()) throw DisturbanceError(run.what());
}

namespace {

int open_descriptors() noexcept {
  DIR* const folder = ::opendir("/dev/fd");
  if (folder == nullptr) return 0;
  int count = 0;
  while (::readdir(folder) != nullptr) ++count;
  ::closedir(folder);
  return count;
}

// Wakes a loop that sleeps for too long.
class Watchdog {
 public:
  Watchdog() : thread_([this] { watch(); }) {}
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  ~Watchdog() {
    {
      const std::lock_guard lock(mutex_);
      ends_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }

  void begin(EventLoop& loop, Duration patience) {
    const std::lock_guard lock(mutex_);
    loop_ = &loop;
    deadline_ = std::chrono::steady_clock::now() + patience;
    expired_ = false;
    changed_.notify_one();
  }
  void end() noexcept {
    const std::lock_guard lock(mutex_);
    loop_ = nullptr;
  }
  bool expired() {
    const std::lock_guard lock(mutex_);
    return expired_;
  }

 private:
  void watch() {
    std::unique_lock lock(mutex_);
    while (!ends_) {
      if (loop_ == nullptr || expired_) {
        changed_.wait(lock);
      } else if (std::chrono::steady_clock::now() < deadline_) {
        changed_.wait_until(lock, deadline_);
      } else {
        expired_ = true;
        loop_->call_soon_threadsafe([] {});
      }
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  EventLoop* loop_ = nullptr;
  std::chrono::steady_clock::time_point deadline_;
  bool expired_ = false;
  bool ends_ = false;
  std::thread thread_;  // the last, because it uses the others
};

// Counts the places and does what is to be done at one of them.
class Disturber final : public LoopObserver {
 public:
  Disturber(Disturbance disturbance, std::uint64_t number, std::exception_ptr error,
            const DisturbOptions& options) noexcept
      : disturbance_(disturbance), options_(options), left_(number) {
    injection_.error = std::move(error);
    set_injection(&injection_);
  }
  ~Disturber() { set_injection(nullptr); }

  void watch(const TaskState& main) noexcept { main_ = &main; }
  /// Nothing is to be disturbed any more.
  void stop() noexcept { main_ = nullptr; }
  const std::string& place() const noexcept { return place_; }
  bool has_disturbed() const noexcept { return done_; }
  /// From outside: between two turns of the loop.
  void disturb_if_due() noexcept {
    if (TaskState* const task = std::exchange(due_, nullptr)) disturb(*task);
  }

  bool before_step(Runnable& next) noexcept override {
    if (due_ != nullptr) return false;
    if (done_ || disturbance_ != Disturbance::CANCEL) return true;
    if (auto* const task = dynamic_cast<TaskState*>(&next))
      visit(*task, task->started() ? ", about to go on" : ", not started");
    return due_ == nullptr;
  }
  void after_step(TaskState& task) noexcept override {
    if (done_ || due_ != nullptr || !can_disturb(task)) return;
    visit(task, ", suspended");
  }

 private:
  bool can_disturb(const TaskState& task) const noexcept {
    if (disturbance_ == Disturbance::CANCEL) return true;
    if (disturbance_ != Disturbance::THROW) return false;
    const WaitInfo wait = task.waits_at()->describe();
    return wait.task == nullptr && !wait.for_children;
  }

  void visit(TaskState& task, const char* state) noexcept {
    if (main_ == nullptr || (options_.main_only && &task != main_)) return;
    if (left_ == 0 || --left_ != 0) return;
    place_ = &task == main_ ? "the main task" : "task " + std::to_string(task.id());
    if (!task.name().empty()) place_.append(" \"").append(task.name()).append("\"");
    place_ += state;
    for (const AsyncFrame* frame = task.leaf(); frame != nullptr; frame = frame->parent())
      if (frame->where.line() != 0)
        place_.append(" at ")
            .append(frame->where.file_name())
            .append(":")
            .append(std::to_string(frame->where.line()));
    if (options_.from_outside)
      due_ = &task;
    else
      disturb(task);
  }

  void disturb(TaskState& task) noexcept {
    done_ = true;
    if (disturbance_ == Disturbance::THROW) {
      injection_.task = &task;
      task.cancel_inside(task.shields());
    } else {
      task.cancel();
    }
  }

  Disturbance disturbance_;
  const DisturbOptions& options_;
  const TaskState* main_ = nullptr;
  TaskState* due_ = nullptr;
  std::uint64_t left_;
  std::string place_;
  Injection injection_;
  bool done_ = false;
};

// A run that doesn't end in spite of everything: its loop can't be destroyed. Kept, so that it is no leak.
struct Stuck {
  std::unique_ptr<EventLoop> loop;
  JoinHandle<void> main;
};
std::list<Stuck>& stuck_runs() {
  static auto& runs = *new std::list<Stuck>;
  return runs;
}

class Harness {
 public:
  Harness(DisturbedScenario& scenario, Disturbance disturbance, std::exception_ptr injected,
          const DisturbOptions& options)
      : scenario_(scenario), disturbance_(disturbance), injected_(std::move(injected)), options_(options) {}

  DisturbCount run_all() {
    DisturbCount count;
    perform(0);  // undisturbed; what is only made once in a process is made now
    for (std::uint64_t number = 1;; ++number) {
      run(number);
      if (!disturbed_) return count;
      ++count.places;
      count.failed += failed_;
    }
  }

 private:
  // What is lost in a run once is not lost in each: somebody's cache, a thread that was started. Only what is
  // lost again and again is.
  void run(std::uint64_t number) {
    std::int64_t lost = 0;
    for (int attempts = 0; attempts < 3; ++attempts) {
      summary_ = std::string();
      const std::int64_t before = allocations_alive();
      const int descriptors = open_descriptors();
      perform(number);
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

  void perform(std::uint64_t number) {
    DisturbedRun run;
    const std::string wrong = carry_out(number, run);
    disturbed_ = run.disturbance != Disturbance::NONE;
    failed_ = !run.returned();
    if (!wrong.empty()) throw DisturbanceError(run.what() + "\nand " + wrong);
    // What the check keeps is not the scenario's.
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

  // Returns what was wrong.
  std::string carry_out(std::uint64_t number, DisturbedRun& run) {
    const FrameCacheBypass bypass;
    Disturber disturber(disturbance_, number, injected_, options_);
    std::string wrong;
    Stuck all;
    std::size_t failed_size = 0;
    bool allocation_failed = false;
    {
      std::optional<AllocationFault> fault;
      if (disturbance_ == Disturbance::ALLOCATION) fault.emplace(number);
      try {
        all.loop = std::make_unique<EventLoop>(options_.loop);
        all.loop->set_report_handler([](EventLoop&, const Report&, void*) {});
        all.main = spawn_for(*all.loop, scenario_.make(), std::source_location());
        disturber.watch(all.main.state());
        all.loop->add_observer(disturber);
        drive(all, disturber, wrong, [&] { return all.main.done(); });
      } catch (...) {
        run.end = std::current_exception();
      }
      if (!wrong.empty()) disturber.stop();
      if (all.loop) wind_down(all, disturber, wrong);
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
      stuck_runs().push_back(std::move(all));
    else if (wrong.empty())
      wrong = left_behind(*all.loop);
    return wrong;
  }

  // Runs the loop until `done()`, or until something is wrong.
  template <class Done>
  void drive(Stuck& all, Disturber& disturber, std::string& wrong, Done done) {
    EventLoop& loop = *all.loop;
    const std::uint64_t first_step = loop.counters().resumes;
    struct Watch {
      Watch(Watchdog& dog, EventLoop& loop, Duration patience) : watchdog(dog) { dog.begin(loop, patience); }
      ~Watch() { watchdog.end(); }
      Watchdog& watchdog;
    } watch(watchdog_, loop, options_.patience);
    while (!done()) {
      if (watchdog_.expired()) {
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

  // As run() does: what is left is cancelled, and what starts now is so at once.
  void wind_down(Stuck& all, Disturber& disturber, std::string& wrong) {
    EventLoop& loop = *all.loop;
    std::uint64_t cancelled_up_to = 0;
    const auto cancel_new = [&] {
      std::uint64_t newest = cancelled_up_to;
      for (TaskState* task = loop.first_child(); task != nullptr; task = task->next_sibling()) {
        if (task->id() <= cancelled_up_to) continue;
        task->cancel();
        newest = std::max(newest, task->id());
      }
      cancelled_up_to = newest;
      return loop.first_child() == nullptr;
    };
    std::string stuck;
    for (int attempts = 0; loop.first_child() != nullptr && stuck.empty(); ++attempts) try {
        drive(all, disturber, stuck, cancel_new);
      } catch (const std::exception& error) {
        // An allocation of the loop itself: it goes on.
        if (attempts == 3) stuck = std::string("its loop fails: ") + error.what();
      }
    if (wrong.empty() && !stuck.empty())
      wrong = "the tasks that it left behind do not end when cancelled: " + stuck;
  }

  static std::string left_behind(EventLoop& loop) {
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
