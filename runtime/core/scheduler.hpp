// Scheduler: what a task knows of its event loop: the queue, the timers, the clock, and that it is closing.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "../../selector/process_mark.hpp"
#include "../../selector/system.hpp"
#include "../../selector/timeout.hpp"
#include "current.hpp"
#include "runnable.hpp"
#include "task_owner.hpp"
#include "timer_heap.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

class BaseSelector;
struct Report;

}  // namespace heddle

namespace heddle::detail {

/// `from` + `time`, saturating.
constexpr TimePoint later(TimePoint from, Duration time) noexcept {
  Duration::rep sum = 0;
  if (__builtin_add_overflow(from.time_since_epoch().count(), time.count(), &sum)) [[unlikely]]
    return time > Duration(0) ? TimePoint::max() : TimePoint::min();
  return TimePoint(Duration(sum));
}

/// The part of an EventLoop that tasks, operations and timers use. It owns the tasks that were spawned on it.
/// Everything is for the loop's own thread.
class HEDDLE_EXPORT Scheduler : public TaskOwner {
 public:
  /// Queues what isn't queued yet, behind what is.
  void schedule(Runnable& runnable) noexcept { ready_.push(runnable); }
  RunQueue& ready_queue() noexcept { return ready_; }
  TimerHeap& timers() noexcept { return timers_; }
  System& system() const noexcept { return system_; }

  /// The system's clock, read now; with virtual time, the virtual one.
  TimePoint time() const noexcept {
    if (virtual_time_) [[unlikely]]
      return virtual_now_;
    return system_.now();
  }
  /// `delay` from now, saturating. TimePoint::max() is never: what is due then keeps no loop from finding a
  /// deadlock.
  TimePoint deadline_after(Duration delay) const noexcept {
    const Duration now = time().time_since_epoch();
    Duration::rep sum = 0;
    if (!__builtin_add_overflow(now.count(), delay.count(), &sum)) [[likely]]
      return TimePoint(Duration(sum));
    return delay > Duration(0) ? TimePoint::max() : TimePoint::min();
  }

  std::uint64_t next_task_id() noexcept { return ++last_task_id_; }
  void count_budget_yield() noexcept { ++budget_yields_; }
  /// Something will be posted to this loop from outside: it isn't a deadlock to wait for that, and virtual
  /// time waits for it.
  void expect_outside_work() noexcept { ++outside_work_; }
  void end_outside_work() noexcept { --outside_work_; }
  /// Something may be posted to it, or not: it is no deadlock either, but virtual time goes on.
  void allow_for_outside_work() noexcept { ++possible_outside_work_; }
  void end_possible_outside_work() noexcept { --possible_outside_work_; }
  /// Asks all tasks to stop, but for `spared`; those that start from now on are cancelled at once. Once.
  void begin_close(const TaskState* spared = nullptr) noexcept;
  /// begin_close() was called.
  bool closing() const noexcept { return phase_ != Phase::OPEN; }
  /// Nothing runs any more; callbacks are dropped when their turn comes.
  bool closed() const noexcept { return phase_ >= Phase::DROPPING; }
  /// Throws std::logic_error if whatever is asked of the loop now would never come to its turn, not even to
  /// be dropped.
  void check_open() const {
    if (phase_ == Phase::CLOSED) [[unlikely]]
      throw_loop_closed();
  }
  /// `operation`, as "EventLoop.stop()", begins, of the loop or of what belongs to it. In a library that was
  /// built with HEDDLE_CHECKS this ends the process, and says so on stderr, if another thread drives the
  /// loop.
  void use(const char* operation) const noexcept {
    if (current.loop != this) [[unlikely]]
      check_thread(operation);
  }
  /// Another thread drives it now.
  bool runs_elsewhere() const noexcept {
    const Current* const driver = driver_.load(std::memory_order_relaxed);
    return driver != nullptr && driver != &current && is_in_its_process();
  }
  void set_driver(const Current* driver) noexcept { driver_.store(driver, std::memory_order_relaxed); }
  /// Of all loops that the process has had this one has it.
  std::uint64_t loop_number() const noexcept { return loop_number_; }
  /// False in the child of a fork() that hasn't taken the loop over (EventLoop::set_selector()).
  bool is_in_its_process() const noexcept { return process_.is_here(); }

  /// schedule() from any thread; nothing when the loop has closed.
  virtual void post(Runnable& runnable) noexcept = 0;
  /// Hands a Report to the handler of what nobody retrieves.
  virtual void report(const Report& report) noexcept = 0;
  virtual BaseSelector& selector() const noexcept = 0;
  /// How many timers are armed, but for the loop's own.
  virtual std::size_t armed_timers() const noexcept { return timers_.size(); }

  /// Between the turns of tasks: a co_await or a request to stop that is made now belongs to no task.
  static void leave_tasks() noexcept {
    current.task = nullptr;
    current.budget = no_budget;
  }

 protected:
  enum class Phase : unsigned char {
    OPEN,
    CLOSING,   ///< Its tasks have been cancelled, and it runs until they are done.
    DROPPING,  ///< What is queued is dropped. Destructors may queue more, which is dropped as well.
    CLOSED,
  };

  Scheduler(System& system, bool virtual_time) noexcept
      : TaskOwner(*this), system_(system), virtual_time_(virtual_time) {}
  ~Scheduler() = default;

  bool has_virtual_time() const noexcept { return virtual_time_; }
  bool has_outside_work() const noexcept { return outside_work_ > 0; }
  bool may_have_outside_work() const noexcept { return possible_outside_work_ > 0; }
  std::uint64_t tasks_spawned() const noexcept { return last_task_id_; }
  std::uint64_t budget_yields() const noexcept { return budget_yields_; }

  RunQueue ready_;
  TimerHeap timers_;
  TimePoint virtual_now_{std::chrono::hours(24)};
  Phase phase_ = Phase::OPEN;
  ProcessMark process_;

 private:
  friend class LoopRegistry;

  [[noreturn]] static void throw_loop_closed();
  void check_thread(const char* operation) const noexcept;

  System& system_;
  bool virtual_time_;
  std::uint64_t last_task_id_ = 0;
  std::uint64_t budget_yields_ = 0;
  std::uint64_t outside_work_ = 0;
  std::uint64_t possible_outside_work_ = 0;
  std::atomic<const Current*> driver_{nullptr};  // the thread that drives it
  std::uint64_t loop_number_ = 0;
  Scheduler* next_loop_ = nullptr;  // of the process
};

[[noreturn]] HEDDLE_EXPORT void throw_no_loop();

/// The loop that runs on this thread. Throws std::logic_error if none does.
inline Scheduler& running_loop() {
  if (current.loop == nullptr) [[unlikely]]
    throw_no_loop();
  return *current.loop;
}

}  // namespace heddle::detail

HEDDLE_HEADER_END
