// EventLoop: how a loop begins, moves to another selector, and ends. Its turn: event_loop.cpp.
// SPDX-License-Identifier: MIT
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <stdexcept>

#include "../../selector/mechanisms/make_selector.hpp"
#include "../seeing/dump.hpp"
#include "../seeing/loop_registry.hpp"
#include "../seeing/turn_monitor.hpp"
#include "descriptor_table.hpp"
#include "event_loop.hpp"
#include "loop_signals.hpp"
#include "mailbox.hpp"
#include "running.hpp"
#include "shuffle.hpp"

namespace heddle {

using namespace detail;

namespace {

// Over a selector of the options' own making, or the caller's.
DescriptorTable* make_table(Scheduler& loop, const LoopOptions& options, bool real_calls,
                            DescriptorTable::OtherEvent other) {
  auto made = options.custom_selector == nullptr ? make_selector(options.selector) : nullptr;
  auto* const table = new DescriptorTable(loop, made ? *made : *options.custom_selector, real_calls, other);
  static_cast<void>(made.release());
  return table;
}

System& system_of(const LoopOptions& options) noexcept {
  return options.system != nullptr ? *options.system : kernel_system();
}

}  // namespace

EventLoop::EventLoop(const LoopOptions& options)
    : Scheduler(system_of(options), options.virtual_time),
      descriptors_(
          make_table(*this, options, !options.virtual_time && &system() == &kernel_system(), &wake_up)),
      owns_selector_(options.custom_selector == nullptr),
      has_real_time_(!options.virtual_time && (&system() == &kernel_system() || system().has_kernel_clock())),
      process_(::getpid()),
      detect_deadlock_(options.detect_deadlock || options.virtual_time) {
  reads_kernel_events_ = selector().has_wait_raw();
  selector().set_system(system());
  try {
    mailbox_ = new Mailbox;
    selector().register_(mailbox_->descriptor(), EVENT_READ);
    if (options.dump_on_sigquit) {
      add_signal_handler(
          SIGQUIT, [](const EventLoop* loop) { std::fputs(dump_tasks(*loop).c_str(), stderr); }, this);
      signals_->set_passive(SIGQUIT);
    }
    if (options.shuffle_seed != 0) add_observer(*(shuffle_ = new Shuffle(options.shuffle_seed)));
    if (options.slow_turn > Duration(0))
      add_observer(*(monitor_ = new TurnMonitor(options.slow_turn, options.slow_turn_handler,
                                                options.slow_turn_argument)));
  } catch (...) {
    delete signals_;
    delete shuffle_;
    if (owns_selector_)
      delete &selector();
    else if (mailbox_ != nullptr && selector().find(mailbox_->descriptor()) != nullptr)
      selector().unregister(mailbox_->descriptor());
    if (mailbox_ != nullptr) mailbox_->release();
    delete descriptors_;
    throw;
  }
  LoopRegistry::add(*this);
}

EventLoop::~EventLoop() {
  close();
  LoopRegistry::remove(*this);
  delete monitor_;
  delete shuffle_;
  if (owns_selector_) delete &selector();
  delete descriptors_;
  mailbox_->release();  // not before: others may post while the loop is there
}

void EventLoop::close() noexcept {
  if (closed_) return;
  const Running running(*this);
  begin_close();
  while (first_child() != nullptr) try {
      take_turn(Timeout());
    } catch (const std::exception&) {
      set_selector("poll");  // this one has failed, and the tasks have to come to their end
    }
  closed_ = true;  // from here on callbacks are dropped when their turn comes
  delete std::exchange(signals_, nullptr);
  for (Runnable* posted = mailbox_->close(); posted != nullptr;) {
    Runnable* const next = posted->next;
    schedule(*posted);
    posted = next;
  }
  descriptors_->stop_second_looks();
  while (Timer* const timer = timers_.pop_due(TimePoint::max())) timer->fire(*timer);
  while (!ready_.empty()) run_ready();

  descriptors_->close();
  if (owns_selector_) {
    selector().close();  // and destroyed with the loop, as some may ask for it still
  } else {
    selector().unregister(mailbox_->descriptor());
  }
}

void EventLoop::set_selector(std::string_view name) {
  auto made = make_selector(name);
  move_to(*made);
  owns_selector_ = true;
  static_cast<void>(made.release());
}

void EventLoop::set_selector(BaseSelector& custom) {
  move_to(custom);
  owns_selector_ = false;
}

void EventLoop::move_to(BaseSelector& next) {
  if (closed_) throw std::logic_error("the event loop is closed");
  if (process_ != ::getpid()) mailbox_->renew();
  next.register_(mailbox_->descriptor(), EVENT_READ);
  next.set_system(system());
  BaseSelector& before = selector();
  try {
    descriptors_->move_to(next);
  } catch (...) {
    next.unregister(mailbox_->descriptor());
    throw;
  }
  // A child of fork() must not unregister what the parent's selector watches: closing leaves that alone.
  if (owns_selector_)
    delete &before;
  else
    before.close();
  reads_kernel_events_ = next.has_wait_raw();
  process_ = ::getpid();
  if (signals_ != nullptr) signals_->adopt();
}

}  // namespace heddle
