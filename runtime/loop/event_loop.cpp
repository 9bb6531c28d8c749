// EventLoop: the turn: poll, dispatch, run. How a loop begins and ends: event_loop_life.cpp.
// SPDX-License-Identifier: MIT
#include "event_loop.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "../../selector/mechanisms/make_selector.hpp"
#include "../core/cancelled.hpp"
#include "../core/loop_observer.hpp"
#include "../core/report.hpp"
#include "../core/task_state.hpp"
#include "../seeing/dump.hpp"
#include "descriptor_table.hpp"
#include "late_mail.hpp"
#include "loop_signals.hpp"
#include "mailbox.hpp"
#include "running.hpp"

namespace heddle {

using namespace detail;

namespace {

// Of a poll: as many as the steps before the next one. More would have left the caches when their turn comes,
// and whom a timer wakes would stand behind them all.
constexpr std::size_t most_events = TurnLimit::most_steps;
constexpr int most_timers = TurnLimit::most_steps;
// Steps that take some nanoseconds would pay more for asking the kernel than for themselves.
constexpr Duration time_between_polls = std::chrono::microseconds(5);

}  // namespace

EventLoop& EventLoop::running() { return static_cast<EventLoop&>(running_loop()); }

// What polling the selector has found: one or the other.
struct EventLoop::Found {
  ReadyList entries;
  KernelEvents raw;
  std::size_t size() const noexcept { return entries.size() + raw.size(); }
};

BaseSelector& EventLoop::selector() const noexcept { return descriptors_->selector(); }
const char* EventLoop::selector_name() const noexcept { return selector().name(); }

std::size_t EventLoop::armed_timers() const noexcept {
  return timers_.size() - descriptors_->has_second_look_pending();
}

// The turn.

namespace {

// However a run ends, the stop() that it has heeded is no other one's.
struct StopHeeded {
  bool& stopped;
  ~StopHeeded() { stopped = false; }
};

}  // namespace

void EventLoop::run_until_complete(const TaskState& task) {
  check_runnable();
  if (task.done()) return;
  if (&task.owner()->loop() != this)
    throw std::logic_error("run_until_complete() of a task of another event loop");
  const Running running(*this);
  const StopHeeded heeded{stopped_};
  woken_ = false;
  if (stopped_) return take_turn(Duration(0));
  while (!task.done() && !stopped_ && !woken_) next_turn();
}

void EventLoop::run_forever() {
  check_runnable();
  const Running running(*this);
  const StopHeeded heeded{stopped_};
  if (stopped_) return take_turn(Duration(0));
  while (!stopped_) next_turn();
}

void EventLoop::run_once(Timeout limit) {
  check_runnable();
  const Running running(*this);
  take_turn(limit);
  if (embedded_) mailbox_->fall_asleep();  // what is posted now has to make fileno() readable
}

// A turn of a loop that nobody else drives.
void EventLoop::next_turn() {
  if (observers_ == nullptr && owns_selector_ && has_real_time_ && !ready_.empty()) {
    const TimePoint now = time();
    if (now - polled_ < time_between_polls) {
      ++counters_.turns;
      current.now = now;
      if (!mailbox_->empty()) collect_mail();
      if (!timers_.empty()) fire_timers();
      run_ready();
      if (!later_.empty()) [[unlikely]]
        poll_before_later();
      return;
    }
  }
  take_turn(Timeout());
}

void EventLoop::take_turn(Timeout limit) {
  ++counters_.turns;
  poll(limit);
  if (observers_ != nullptr) [[unlikely]]
    run_ready_observed();
  else
    run_ready();
  if (!later_.empty()) [[unlikely]]
    poll_before_later();
}

// While a step takes long, timers become due and descriptors ready before it queues its own task again, by a
// yield() for example: so they come first. What else it has queued stays in front of what it waits for.
void EventLoop::poll_before_later() {
  try {
    poll(Duration(0));
  } catch (...) {
    ready_.take_all(later_);
    throw;
  }
  ready_.take_all(later_);
}

std::optional<TimePoint> EventLoop::next_deadline() const noexcept {
  if (closed()) return std::nullopt;
  if (!ready_.empty() || !mailbox_->empty() || left_events_) return TimePoint();
  if (timers_.empty() || timers_.earliest() == TimePoint::max()) return std::nullopt;
  return timers_.earliest();
}

inline void EventLoop::begin_steps() noexcept {
  current.granted = 0;
  current.grant(limit_.begin(current.now));
}

// Where turns are shuffled from a seed, their number alone bounds a turn, so that a seed brings the same
// order each time.
inline TimePoint EventLoop::time_in_turn() const noexcept {
  return shuffle_ == nullptr ? time() : current.now;
}

// The turn was a long one, and ended with a step of `last`.
void EventLoop::postpone(const TaskState* last) noexcept {
  if (last != nullptr && ready_.ends_with(*last)) later_.push(ready_.take_last());
}

// All steps that were granted are taken, the last one by `last`. `next` comes next in the round.
[[gnu::noinline]] bool EventLoop::take_more_steps(const Runnable* next, const TaskState* last) noexcept {
  if (current.charged != 0) current.granted += limit_.charge(std::exchange(current.charged, 0));
  if (limit_.is_full() || (next == nullptr && ready_.empty())) return false;
  if (next == nullptr)
    current.grant(limit_.more(time_in_turn()));
  else
    current.grant(limit_.measures_each() ? limit_.more_within_round(time_in_turn()) : limit_.until_round());
  if (current.steps < 0) return true;
  if (next == nullptr) postpone(last);
  return false;
}

// A round has ended, and there is another. True if that may begin.
[[gnu::noinline]] bool EventLoop::take_another_round(const TaskState* last) noexcept {
  const int taken = current.step_number();
  limit_.end_round(taken);
  current.granted = taken;
  current.grant(limit_.more(time_in_turn()));
  if (current.steps < 0) return true;
  postpone(last);
  return false;
}

inline void EventLoop::end_steps() noexcept {
  const int taken = current.step_number();
  limit_.end(taken, !ready_.empty() || !later_.empty());
  counters_.resumes += static_cast<std::uint64_t>(taken);
  leave_tasks();
}

void EventLoop::run_ready() noexcept {
  begin_steps();
  while (Runnable* next = ready_.take()) {
    do {
      Runnable& turn = *next;
      next = turn.next;             // the turn may end its life, or queue it again
      __builtin_prefetch(next, 1);  // by its turn it has mostly left the caches
      turn.run(turn);
      if (++current.steps < 0) [[likely]]
        continue;
      if (current.steps > 0) TaskState::end_turn();
      if (current.steps == 0 && !take_more_steps(next, current.task)) {
        if (next != nullptr) ready_.put_back(*next);
        return end_steps();
      }
    } while (next != nullptr);
    if (limit_.waits_for_round() && !ready_.empty() && !take_another_round(current.task)) break;
  }
  end_steps();
}

// The same for a loop whose steps are timed, disturbed or shuffled.
void EventLoop::run_ready_observed() noexcept {
  Runnable* next = nullptr;
  TaskState* last = nullptr;
  begin_steps();
  while (current.steps < 0 || take_more_steps(next, last)) {
    leave_tasks();
    if (next == nullptr) {
      if (limit_.waits_for_round() && current.step_number() > 0 && !ready_.empty() &&
          !take_another_round(last))
        break;
      next = ready_.take();
      if (next == nullptr) break;
      for (LoopObserver* each = observers_; each != nullptr; each = each->next_observer_)
        if (Runnable* const end = each->order(next)) ready_.reordered(*end);
    }
    Runnable& step = *next;
    bool goes_on = true;
    for (LoopObserver* each = observers_; each != nullptr && goes_on; each = each->next_observer_)
      goes_on = each->before_step(step);
    if (!goes_on) break;
    next = step.next;
    step.run(step);
    if (++current.steps > 0) TaskState::end_turn();
    last = current.task;
    if (last == nullptr || last->waits_at() == nullptr) continue;
    leave_tasks();
    for (LoopObserver* each = observers_; each != nullptr; each = each->next_observer_)
      each->after_step(*last);
  }
  if (next != nullptr) ready_.put_back(*next);
  for (LoopObserver* each = observers_; each != nullptr; each = each->next_observer_) each->turn_ended();
  end_steps();
}

void EventLoop::poll(Timeout limit) {
  Timeout timeout = limit;
  if (!ready_.empty()) {
    timeout = Duration(0);
  } else if (!timers_.empty() && timers_.earliest() != TimePoint::max()) {
    const TimePoint now = time();
    Duration left(0);
    if (timers_.earliest() > now) left = (has_real_time_ ? timers_.wake_up() : timers_.earliest()) - now;
    if (timeout.forever() || left < timeout.duration()) timeout = left;
  }
  const bool sleeps = !timeout.only_polls() && mailbox_->fall_asleep();
  if (!sleeps) timeout = Duration(0);

  counters_.waits += sleeps;
  const Found found = sleeps && waits_as_asked_ ? wait_as_asked(timeout) : select(timeout);
  if (sleeps || embedded_) mailbox_->awake();
  current.now = polled_ = time();

  counters_.events += found.size();
  left_events_ = found.raw.size() == most_events;
  if (reads_kernel_events_) [[likely]]
    descriptors_->dispatch(found.raw);
  else
    descriptors_->dispatch(found.entries);
  if (!mailbox_->empty()) collect_mail();
  if (!timers_.empty()) fire_timers();
}

inline EventLoop::Found EventLoop::select(Timeout timeout) {
  ++counters_.polls;
  try {
    if (reads_kernel_events_) [[likely]]
      return {{}, selector().wait_raw(timeout, static_cast<int>(most_events))};
    return {selector().select(timeout), {}};
  } catch (const std::system_error& error) {
    mailbox_->awake();
    if (error.code() != std::errc::bad_file_descriptor) throw;
    // select(2) says only that one of its descriptors was closed by somebody. If none was that tasks wait
    // for, it is the selector itself, or the wake-up.
    if (!descriptors_->fail_closed()) {
      static_cast<void>(wake_up());
      throw;
    }
  } catch (...) {
    mailbox_->awake();
    check_process();  // the child of a fork() within a task
    throw;
  }
  return {};
}

EventLoop::Found EventLoop::wait_as_asked(Timeout timeout) {
  if (!detect_deadlock_) return wait_busily(timeout);
  const Found found = select(Duration(0));
  return found.size() != 0 ? found : wait_or_detect_deadlock(timeout);
}

EventLoop::Found EventLoop::wait_busily(Timeout timeout) {
  const TimePoint begin = time();
  Found found;
  if (last_wait_ <= busy_poll_) {
    const Duration most = timeout.forever() ? busy_poll_ : std::min(busy_poll_, timeout.duration());
    do found = select(Duration(0));
    while (found.size() == 0 && time() - begin < most);
  }
  const Duration waited = time() - begin;
  if (found.size() == 0 && (timeout.forever() || waited < timeout.duration()))
    found = select(timeout.forever() ? timeout : Timeout(timeout.duration() - waited));
  last_wait_ = time() - begin;
  return found;
}

// Nothing is ready now.
EventLoop::Found EventLoop::wait_or_detect_deadlock(Timeout timeout) {
  if (has_outside_work()) return select(has_virtual_time() ? Timeout() : timeout);
  if (!timeout.forever()) {
    if (!has_virtual_time()) return select(timeout);
    virtual_now_ += timeout.duration();
    return {};
  }
  if (descriptors_->anyone_waits() || may_have_outside_work() ||
      (signals_ != nullptr && signals_->can_wake_anybody()))
    return select(timeout);
  mailbox_->awake();
  const std::string tasks = "deadlock: nothing can happen any more\n" + dump_tasks(*this);
  if (!closing()) throw Deadlock(tasks.c_str());
  std::fputs(tasks.c_str(), stderr);
  std::fputs("heddle: the loop was to close, and these tasks don't end\n", stderr);
  std::abort();
}

int EventLoop::other_event(Scheduler& loop, int fd) noexcept {
  auto& self = static_cast<EventLoop&>(loop);
  if (fd == self.mailbox_->descriptor()) [[likely]]
    return self.wake_up();
  self.drop_stranger(fd);
  return 0;
}

// Returns the errno for which the wake-up can't be used any more.
int EventLoop::wake_up() noexcept {
  ++counters_.wake_ups;
  const int error = mailbox_->drain();
  // Somebody has closed the descriptor: it would be reported for ever.
  if (error != 0) selector().unregister(mailbox_->descriptor());
  if (mailbox_->take_interrupt()) woken_ = true;
  if (signals_ != nullptr) signals_->deliver();
  return error;
}

void EventLoop::fire_timers() noexcept {
  const TimePoint now = current.now;
  TimePoint deadline = timers_.earliest();
  int left = most_timers;
  while (Timer* const timer = timers_.pop_due(now)) {
    ++counters_.timers_fired;
    counters_.lag = now - std::max(deadline, TimePoint());  // TimePoint::min() is a deadline too
    counters_.max_lag = std::max(counters_.max_lag, counters_.lag);
    timer->fire(*timer);
    if (--left == 0 || timers_.empty()) break;
    deadline = timers_.earliest();
  }
}

void EventLoop::collect_mail() noexcept {
  Runnable* posted = mailbox_->take();
  if (late_mail_ != nullptr) [[unlikely]]
    return late_mail_->add(posted);
  while (posted != nullptr) {
    Runnable* const next = posted->next;
    schedule(*posted);
    posted = next;
  }
}

// What nobody retrieves.

void EventLoop::post(Runnable& runnable) noexcept { mailbox_->post(runnable); }

void EventLoop::report(const Report& report) noexcept {
  if (report_handler_ != nullptr)
    report_handler_(*this, report, report_argument_);
  else
    print_report(report);
}

}  // namespace heddle
