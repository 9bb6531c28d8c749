// cancel_everywhere, throw_everywhere, fail_allocations: a scenario, disturbed at another place in each run.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>  // on purpose: what went wrong is reported as a text
#include <utility>

#include "../core/cancelled.hpp"
#include "../core/task.hpp"
#include "../loop/event_loop.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// What is done to a scenario in one of its runs.
enum class Disturbance : unsigned char {
  NONE,        ///< nothing: as when there was nothing left to disturb
  CANCEL,      ///< a task is asked to stop
  THROW,       ///< an operation ends with an exception
  ALLOCATION,  ///< an allocation throws std::bad_alloc
};

/// One run of a scenario, after its loop has been destroyed.
struct HEDDLE_EXPORT DisturbedRun {
  Disturbance disturbance = Disturbance::NONE;
  std::uint64_t number = 0;     ///< of the place where it was disturbed, from 1
  std::string place;            ///< that place, in words: the task, and where it was suspended
  std::exception_ptr injected;  ///< what was thrown there, for THROW
  std::exception_ptr end;       ///< what the scenario ended with; null: it returned

  bool returned() const noexcept { return !end; }
  bool cancelled() const noexcept;
  /// It ended with an exception of type E, or with an ExceptionGroup that has one in it, at any depth.
  template <class E>
  bool failed_with() const {
    return any_of(end, [](const std::exception_ptr& error) {
      try {
        std::rethrow_exception(error);
      } catch (const E&) {
        return true;
      } catch (...) {
        return false;
      }
    });
  }
  /// It ended with what was injected, or with an ExceptionGroup that has it in it.
  bool failed_with_injected() const;
  /// The whole in a sentence, for messages.
  std::string what() const;

 private:
  static bool any_of(const std::exception_ptr& error, bool (*is)(const std::exception_ptr&));
};

struct HEDDLE_EXPORT DisturbOptions {
  DisturbOptions() noexcept { loop.detect_deadlock = true; }

  /// The loop that each run is made on.
  LoopOptions loop;
  /// Only the scenario's own task is disturbed, not those that it starts.
  bool main_only = false;
  /// A task is asked to stop between two turns of the loop, while none runs on the thread, as by who embeds
  /// it.
  bool from_outside = false;
  /// A run that takes longer, or more steps (turns of tasks, and callbacks), has failed.
  Timeout patience = std::chrono::seconds(20);
  std::uint64_t most_steps = 1'000'000;
};

struct DisturbCount {
  std::uint64_t places = 0;  ///< in so many runs something was done
  std::uint64_t failed = 0;  ///< of these the scenario did not return: it threw, or was cancelled
};

/// A run broke a rule; what() says which run, and how.
class HEDDLE_EXPORT DisturbanceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  DisturbanceError(const DisturbanceError&) noexcept;
  ~DisturbanceError() override;
};

/// The check that is made when none is given: the scenario returned, or ended with what was done to it
/// (Cancelled, what was injected, std::bad_alloc), by itself or in an ExceptionGroup. Throws
/// DisturbanceError.
HEDDLE_EXPORT void check_usual_end(const DisturbedRun& run);

/// What the functions below call; for those who build the like.
class HEDDLE_EXPORT DisturbedScenario {
 public:
  DisturbedScenario() noexcept = default;
  DisturbedScenario(const DisturbedScenario&) = delete;
  DisturbedScenario& operator=(const DisturbedScenario&) = delete;
  virtual ~DisturbedScenario();
  virtual Task<void> make() = 0;
  virtual void check(const DisturbedRun& run) = 0;
};

/// `injected`: for THROW.
HEDDLE_EXPORT DisturbCount disturb_everywhere(DisturbedScenario& scenario, Disturbance disturbance,
                                              std::exception_ptr injected, const DisturbOptions& options);

template <class Scenario, class Check>
DisturbCount disturb_everywhere(Scenario& scenario, Check& check, Disturbance disturbance,
                                std::exception_ptr injected, const DisturbOptions& options) {
  class Both final : public DisturbedScenario {
   public:
    Both(Scenario& make, Check& check) : make_(make), check_(check) {}
    HEDDLE_CORO_WRAPPER Task<void> make() override { return make_(); }
    void check(const DisturbedRun& run) override { check_(run); }

   private:
    Scenario& make_;
    Check& check_;
  };
  Both both(scenario, check);
  return disturb_everywhere(both, disturbance, std::move(injected), options);
}

/// Runs `scenario()`, which returns a fresh Task<void>, again and again, each time on a new loop: first as it
/// is; then it asks a task to stop, at the first place in one run, at the second in the next, until no place
/// is left and the scenario has run undisturbed again. A place is each time that a task of the loop is
/// suspended, each time it is about to go on (what it waited for has come, but it doesn't know yet), and
/// before its first step.
///
/// Each run has to come to its end: not by a Deadlock, and within the options' patience. When its tasks are
/// done (those that the scenario left behind are cancelled then, as run() does) no timer may be left, nobody
/// may wait for a descriptor, no more descriptors may be open than before and, if operator new is the one of
/// this library (allocations_are_observed()), nothing may be left allocated (a run that seems to leak is
/// repeated, to tell a leak from a cache). Then `check(run)` is called, which may look at the scenario's
/// locks and queues, and at how it ended; it tells that something is wrong by an exception, or in the way of
/// your test framework. Throws DisturbanceError that says where it was disturbed, and what was wrong.
///
///     heddle::cancel_everywhere([] { return session("localhost"); });
///
/// A scenario that is to end though its child was cancelled must not wait for that child for ever. Reports
/// (see EventLoop::set_report_handler) are dropped. Not in a running loop: throws std::logic_error.
template <class Scenario, class Check = void (*)(const DisturbedRun&)>
DisturbCount cancel_everywhere(Scenario scenario, Check check = &check_usual_end,
                               const DisturbOptions& options = {}) {
  return disturb_everywhere(scenario, check, Disturbance::CANCEL, nullptr, options);
}

/// The same, but the operation that the task is suspended at ends with the exception `error`, as if it had
/// failed. Only where a task is suspended at an operation that can fail by itself: not where it waits for
/// another task, which has places of its own. No shield holds it off.
template <class Scenario, class Check = void (*)(const DisturbedRun&)>
DisturbCount throw_everywhere(Scenario scenario, std::exception_ptr error, Check check = &check_usual_end,
                              const DisturbOptions& options = {}) {
  return disturb_everywhere(scenario, check, Disturbance::THROW, std::move(error), options);
}

/// The same, but the first, second, third ... call of operator new by the loop's thread fails: of the loop,
/// its tasks (each coroutine is an allocation) and of what they call. (In a debugger: `catch throw
/// std::bad_alloc`.) Throws std::logic_error where operator new isn't this library's.
template <class Scenario, class Check = void (*)(const DisturbedRun&)>
DisturbCount fail_allocations(Scenario scenario, Check check = &check_usual_end,
                              const DisturbOptions& options = {}) {
  return disturb_everywhere(scenario, check, Disturbance::ALLOCATION, nullptr, options);
}

}  // namespace heddle

HEDDLE_HEADER_END
