// EventLoop: how a loop begins, is watched, takes calls, and moves to another selector. Its turn:
// event_loop.cpp.
// SPDX-License-Identifier: MIT
#include <signal.h>

#include <stdexcept>
#include <string>
#include <utility>

#include "../../selector/mechanisms/make_selector.hpp"
#include "../../selector/ring/ring.hpp"
#include "../core/loop_observer.hpp"
#include "../core/loop_registry.hpp"
#include "../core/report.hpp"
#include "../seeing/dump.hpp"
#include "../seeing/turn_monitor.hpp"
#include "descriptor_table.hpp"
#include "event_loop.hpp"
#include "loop_signals.hpp"
#include "mailbox.hpp"
#include "shuffle.hpp"

namespace heddle {

using namespace detail;

namespace {

// Over a selector of the options' own making, or the caller's.
DescriptorTable* make_table(Scheduler& loop, const LoopOptions& options, bool real_calls,
                            DescriptorTable::OtherEvent other) {
  std::unique_ptr<BaseSelector> made;
  if (&loop.system() == &ring_system())
    made.reset(make_ring_selector(options.one_thread));
  else if (options.custom_selector == nullptr)
    made = make_selector(options.selector);
  auto* const table = new DescriptorTable(loop, made ? *made : *options.custom_selector, real_calls, other);
  static_cast<void>(made.release());
  return table;
}

// A loop that makes its own selector, and for which io_uring was chosen, gets its completions, too. (In
// virtual time it stays with readiness, as what comes by completions comes a poll later.)
bool takes_ring(const LoopOptions& options) {
  if (options.custom_selector != nullptr || options.system != nullptr || options.virtual_time) return false;
  return chosen_selector(options.selector) == "io_uring" && ring_is_complete();
}

System& system_of(const LoopOptions& options) {
  if (options.system != nullptr) return *options.system;
  return takes_ring(options) ? ring_system() : kernel_system();
}

bool has_kernels_calls(const System& system) noexcept {
  return &system == &kernel_system() || &system == &ring_system();
}

}  // namespace

EventLoop::EventLoop(const LoopOptions& options)
    : Scheduler(system_of(options), options.virtual_time),
      descriptors_(
          make_table(*this, options, !options.virtual_time && has_kernels_calls(system()), &other_event)),
      owns_selector_(options.custom_selector == nullptr),
      has_real_time_(!options.virtual_time && (has_kernels_calls(system()) || system().has_kernel_clock())),
      detect_deadlock_(options.detect_deadlock || options.virtual_time),
      waits_as_asked_(detect_deadlock_ || (has_real_time_ && options.busy_poll > Duration(0))),
      busy_poll_(options.busy_poll) {
  reads_kernel_events_ = selector().has_wait_raw();
  selector().set_system(system());
  try {
    mailbox_ = new Mailbox;
    selector().register_(mailbox_->descriptor(), EVENT_READ);
    if (options.dump_on_sigquit) {
      add_signal_handler(SIGQUIT, [](const EventLoop* loop) { print_tasks(*loop); }, this);
      signals_->set_passive(SIGQUIT);
    }
    if (options.shuffle_seed != 0) add_observer(*(shuffle_ = new Shuffle(options.shuffle_seed)));
    if (!options.slow_turn.only_polls() && !options.slow_turn.forever())
      add_observer(*(monitor_ = new TurnMonitor(options.slow_turn.duration(), options.slow_turn_handler,
                                                options.slow_turn_argument)));
  } catch (...) {
    delete signals_;
    delete shuffle_;
    if (owns_selector_)
      delete &selector();
    else
      leave_selector(selector());
    if (mailbox_ != nullptr) mailbox_->release();
    delete descriptors_;
    throw;
  }
  LoopRegistry::add(*this);
}

// Who watches it.

void EventLoop::add_observer(LoopObserver& observer) noexcept {
  LoopObserver** end = &observers_;
  while (*end != nullptr) end = &(*end)->next_observer_;
  *end = &observer;
}

void EventLoop::remove_observer(LoopObserver& observer) noexcept {
  LoopObserver** link = &observers_;
  while (*link != nullptr && *link != &observer) link = &(*link)->next_observer_;
  if (*link != nullptr) *link = std::exchange(observer.next_observer_, nullptr);
}

LoopCounters EventLoop::counters() const noexcept {
  LoopCounters counters = counters_;
  counters.timers = armed_timers();
  counters.tasks_spawned = tasks_spawned();
  counters.budget_yields = budget_yields();
  counters.ring_enters = closed() ? 0 : selector().enters();
  return counters;
}

// What it calls.

bool EventLoop::set_reader(int fd, Callback* callback) { return set_callback(fd, Direction::READ, callback); }

bool EventLoop::set_writer(int fd, Callback* callback) {
  return set_callback(fd, Direction::WRITE, callback);
}

bool EventLoop::set_callback(int fd, Direction direction, Callback* callback) {
  use(direction == Direction::READ ? "EventLoop.add_reader()" : "EventLoop.add_writer()");
  if (phase_ == Phase::CLOSED) {
    if (callback == nullptr) return false;
    callback->release();
    check_open();
  }
  return descriptors_->set_callback(fd, direction, callback);
}

CallHandle EventLoop::queue(Callback& callback) {
  use("EventLoop.call_soon()");
  if (phase_ == Phase::CLOSED) [[unlikely]] {
    callback.release();
    check_open();
  }
  callback.schedule(*this);
  return CallHandle(callback);
}

CallHandle EventLoop::queue_at(TimePoint deadline, Callback& callback) {
  use("EventLoop.call_later()");
  try {
    check_open();
    callback.schedule_at(*this, deadline);
  } catch (...) {
    callback.release();
    throw;
  }
  return CallHandle(callback);
}

void EventLoop::post(PostedCall& call) noexcept {
  if (!mailbox_->post(call)) delete &call;
}

// Its selector.

int EventLoop::fileno() {
  check_process();
  const bool has_one = !closed() && selector().capabilities().has(Capability::FILENO);
  const int fd = has_one ? selector().descriptor() : -1;
  if (fd < 0)
    throw std::logic_error(closed() ? std::string("fileno() of an event loop that is closed")
                                    : std::string("the selector ") + selector().name() +
                                          " has no descriptor that another loop could wait for");
  embedded_ = true;
  selector().set_nested(true);
  mailbox_->fall_asleep();
  return fd;
}

void EventLoop::check_runnable() const {
  if (current.loop != nullptr)
    throw std::logic_error(
        "an event loop is running on this thread already: co_await or spawn() the task instead");
  if (closed()) throw std::logic_error("the event loop is closed");
  check_process();
}

void EventLoop::check_process() const {
  if (!is_in_its_process())
    throw std::logic_error(
        "the event loop was made before fork(): the child has to call its set_selector() first");
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
  if (closed()) throw std::logic_error("the event loop is closed");
  if (!is_in_its_process()) {
    if (monitor_ != nullptr) monitor_->renew();
    mailbox_->renew();
  }
  if (!mailbox_->is_lost()) next.register_(mailbox_->descriptor(), EVENT_READ);
  next.set_system(system());
  BaseSelector& before = selector();
  try {
    descriptors_->move_to(next);
  } catch (...) {
    leave_selector(next);
    throw;
  }
  // A child of fork() must not unregister what the parent's selector watches: closing leaves that alone.
  if (owns_selector_) {
    delete &before;
  } else {
    before.close();
    leave_selector(before);
  }
  reads_kernel_events_ = next.has_wait_raw();
  descriptors_->notify_unread();
  if (embedded_) next.set_nested(true);
  if (is_in_its_process()) return;
  process_.move_here();
  if (signals_ != nullptr) signals_->adopt();
}

// What somebody has registered with a selector of the caller's. Nobody here could use it up, so it would be
// reported at once again, and again.
void EventLoop::drop_stranger(int fd) noexcept try {
  selector().unregister(fd);
  queue(make_callback([this, fd] {
    const std::string message = "fd " + std::to_string(fd) +
                                ", which is ready, was registered with the selector of an event loop by "
                                "somebody else: it has been unregistered";
    report(Report{message, nullptr, {}});
  }));
} catch (const std::exception&) {  // there is no memory to say so
}

// A selector of the caller's, which may outlive the System that it has been given. No descriptor is watched.
void EventLoop::leave_selector(BaseSelector& custom) noexcept {
  custom.set_system(kernel_system());
  if (mailbox_ != nullptr && !custom.closed() && custom.find(mailbox_->descriptor()) != nullptr)
    custom.unregister(mailbox_->descriptor());
}

}  // namespace heddle
