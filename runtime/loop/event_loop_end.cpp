// EventLoop: how a loop ends: its tasks, what is left in its queues, and its selector.
// SPDX-License-Identifier: MIT
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "../../selector/base_selector.hpp"
#include "../core/loop_registry.hpp"
#include "../core/report.hpp"
#include "../core/task_state.hpp"
#include "../seeing/dump.hpp"
#include "../seeing/turn_monitor.hpp"
#include "descriptor_table.hpp"
#include "event_loop.hpp"
#include "late_mail.hpp"
#include "loop_signals.hpp"
#include "mailbox.hpp"
#include "running.hpp"
#include "shuffle.hpp"

namespace heddle {

using namespace detail;

namespace {

// Where no selector works, how often it is checked whether others have posted something.
constexpr timespec nap{0, 1'000'000};

// How long tasks may take to end when their loop closes, before that is reported.
constexpr Duration patience = std::chrono::seconds(5);

// What the tasks get that wait for a descriptor, when the selector has failed with the exception that is
// handled.
int error_in_flight() noexcept {
  try {
    throw;
  } catch (const std::system_error& error) {
    return error.code().value() != 0 ? error.code().value() : EIO;
  } catch (const std::exception&) {
    return ENOMEM;
  }
}

}  // namespace

EventLoop::~EventLoop() {
  if (runs_) {
    std::fputs("heddle: an event loop is destroyed by a task or a callback of its own\n", stderr);
    std::abort();
  }
  if (!closed()) end();
  LoopRegistry::remove(*this);
  delete monitor_;
  delete shuffle_;
  if (owns_selector_) delete &selector();
  delete descriptors_;
  mailbox_->release();  // not before: others may post while the loop is there
}

void EventLoop::close() {
  if (closed()) return;
  if (runs_)
    throw std::logic_error("close() of an event loop from within it: stop() it, or let its task return");
  end();
}

void EventLoop::end() noexcept {
  const Running running(*this);
  LateMail late;
  late_mail_ = &late;
  end_tasks(late);
  late_mail_ = nullptr;
  phase_ = Phase::DROPPING;  // from here on callbacks are dropped when their turn comes
  late.queue_all(ready_);
  while (drop_what_is_left()) {
  }
  phase_ = Phase::CLOSED;

  left_events_ = false;
  if (owns_selector_)
    selector().close();  // and destroyed with the loop, as some may ask for it still
  else
    leave_selector(selector());
}

// Tasks that are spawned meanwhile are cancelled before they begin, and not waited for: there may be others
// without end.
bool EventLoop::has_task_to_end(std::uint64_t last_id) const noexcept {
  for (const TaskState* task = first_child(); task != nullptr; task = task->next_sibling())
    if (task->id() <= last_id || task->started()) return true;
  return false;
}

void EventLoop::end_tasks(LateMail& late) noexcept {
  begin_close();
  if (!is_in_its_process())
    try {  // the child of a fork(), which hasn't taken it over: nothing of the parent's is used
      set_selector("poll");
    } catch (const std::exception&) {
    }
  const std::uint64_t last_id = tasks_spawned();
  int failed_with = 0;
  bool without_selector = false;
  TimePoint patient_until = later(time(), patience);
  while (has_task_to_end(last_id)) {
    if (time() >= patient_until) {
      tell_who_stays();
      patient_until = TimePoint::max();
    }
    late.queue_some(ready_);
    if (without_selector) {
      take_turn_without_selector(failed_with);
      continue;
    }
    try {
      // Where a deadlock is looked for, one is found by a poll without limit.
      take_turn(detect_deadlock_ || patient_until == TimePoint::max() ? Timeout()
                                                                      : Timeout(patient_until - time()));
    } catch (const std::exception& error) {
      without_selector = failed_with != 0;
      failed_with = error_in_flight();
      if (!without_selector) try {
          set_selector("poll");
        } catch (const std::exception&) {
          without_selector = true;
        }
      std::fprintf(stderr, "heddle: a loop closes, and its selector has failed: %s. It goes on %s\n",
                   error.what(), without_selector ? "without" : "on poll");
    }
  }
}

void EventLoop::tell_who_stays() noexcept try {
  const std::string text =
      "a loop closes, and after 5 seconds these tasks haven't ended, though they were asked to stop: does "
      "one "
      "catch Cancelled and go on?\n" +
      dump_tasks(*this);
  report(Report{text, nullptr, {}, {}, 0, {}});
} catch (const std::bad_alloc&) {
}

// Whoever waits for a descriptor would wait for ever; the others may go on to their end.
void EventLoop::take_turn_without_selector(int error) noexcept {
  descriptors_->fail_all(error);
  if (ready_.empty()) {
    if (has_virtual_time() && !timers_.empty())
      virtual_now_ = std::max(virtual_now_, timers_.earliest());
    else
      ::nanosleep(&nap, nullptr);
  }
  current.now = time();
  wake_up();
  collect_mail();
  if (!timers_.empty()) fire_timers();
  run_ready();
  ready_.take_all(later_);
}

// The destructors of callbacks are the user's code: true if they have asked for more.
bool EventLoop::drop_what_is_left() noexcept {
  delete std::exchange(signals_, nullptr);
  for (Runnable* posted = mailbox_->close(); posted != nullptr;) {
    Runnable* const next = posted->next;
    schedule(*posted);
    posted = next;
  }
  descriptors_->stop_second_looks();
  while (Timer* const timer = timers_.pop_due(TimePoint::max())) timer->fire(*timer);
  while (!ready_.empty()) {
    cancel_children();
    run_ready();
    ready_.take_all(later_);
  }
  descriptors_->close();
  return signals_ != nullptr || !timers_.empty() || !ready_.empty() || descriptors_->has_any();
}

}  // namespace heddle
