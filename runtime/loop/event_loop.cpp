// EventLoop: the turn (look, dispatch, run), descriptors and their watches, and how a loop ends.
// SPDX-License-Identifier: MIT
#include "event_loop.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <stdexcept>
#include <string>

#include "../../selector/mechanisms/make_selector.hpp"
#include "../core/cancelled.hpp"
#include "../seeing/dump.hpp"
#include "../task/join_handle.hpp"
#include "loop_registry.hpp"
#include "loop_signals.hpp"
#include "mailbox.hpp"
#include "shuffle.hpp"
#include "turn_monitor.hpp"
#include "turn_observer.hpp"

namespace heddle {

namespace {

constexpr int turns_between_polls = 64;
// Of a look: as many as the turns before the next one. More would have left the caches when their turn comes,
// and whom a timer wakes would stand behind them all.
constexpr std::size_t most_events = turns_between_polls;
// Steps that take some nanoseconds would pay more for asking the kernel than for themselves.
constexpr Duration time_between_looks = std::chrono::microseconds(5);
constexpr Duration doubt_lasts = std::chrono::milliseconds(100);

}  // namespace

// Makes the loop this thread's for a while.
class EventLoop::Running {
 public:
  explicit Running(EventLoop& loop) noexcept : before_(current) {
    current = Current();
    current.loop = &loop;
    current.system = &loop.system_;
    current.ready = &loop.ready_;
    current.owner = &loop;
    current.now = loop.time();
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() { current = before_; }

 private:
  Current before_;
};

EventLoop::EventLoop(const LoopOptions& options)
    : TaskOwner(*this),
      system_(options.system != nullptr ? *options.system : kernel_system()),
      selector_(options.custom_selector),
      owns_selector_(options.custom_selector == nullptr),
      process_(::getpid()),
      virtual_time_(options.virtual_time),
      real_time_(!options.virtual_time && &system_ == &kernel_system()),
      detect_deadlock_(options.detect_deadlock || options.virtual_time),
      dumps_on_sigquit_(options.dump_on_sigquit),
      shuffles_(options.shuffle_seed != 0),
      shuffle_state_(options.shuffle_seed) {
  auto made = owns_selector_ ? make_selector(options.selector) : nullptr;
  if (made) selector_ = made.get();
  reads_kernel_events_ = selector_->has_wait_raw();
  mailbox_ = new Mailbox;
  try {
    selector_->register_(mailbox_->descriptor(), EVENT_READ);
    if (dumps_on_sigquit_)
      add_signal_handler(
          SIGQUIT, [](const EventLoop* loop) { std::fputs(dump_tasks(*loop).c_str(), stderr); }, this);
    if (options.slow_turn > Duration(0)) monitor_ = new TurnMonitor(options);
    set_turn_observer(nullptr);
  } catch (...) {
    delete signals_;
    mailbox_->release();
    throw;
  }
  static_cast<void>(made.release());
  LoopRegistry::add(*this);
}

EventLoop::~EventLoop() {
  close();
  LoopRegistry::remove(*this);
  delete monitor_;
  mailbox_->release();  // not before: others may post while the loop is there
}

EventLoop& EventLoop::running() {
  if (current.loop == nullptr) throw_no_loop();
  return *current.loop;
}

// Callbacks.

CallHandle EventLoop::queue(Callback& callback) noexcept {
  callback.schedule(*this);
  return CallHandle(callback);
}

CallHandle EventLoop::queue_at(TimePoint deadline, Callback& callback) {
  try {
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

TimePoint EventLoop::deadline_after(Duration delay) const noexcept {
  const TimePoint now = time();
  return delay > TimePoint::max() - now ? TimePoint::max() : now + delay;
}

// The turn.

void EventLoop::check_runnable() const {
  if (current.loop != nullptr)
    throw std::logic_error(
        "an event loop is running on this thread already: co_await or spawn() the task instead");
  if (closed_) throw std::logic_error("the event loop is closed");
}

void EventLoop::run_until_complete(const TaskState& task) {
  check_runnable();
  const Running running(*this);
  stopped_ = woken_ = false;
  while (!task.done() && !stopped_ && !woken_) next_step();
}

void EventLoop::run_forever() {
  check_runnable();
  const Running running(*this);
  stopped_ = false;
  while (!stopped_) next_step();
}

void EventLoop::run_once(Timeout limit) {
  check_runnable();
  const Running running(*this);
  step(limit);
  if (embedded_) mailbox_->fall_asleep();  // what is posted now has to make fileno() readable
}

int EventLoop::fileno() {
  const int fd = closed_ ? -1 : selector_->descriptor();
  if (fd < 0)
    throw std::logic_error(closed_ ? std::string("fileno() of an event loop that is closed")
                                   : std::string("the selector ") + selector_->name() +
                                         " has no descriptor that another loop could wait for");
  embedded_ = true;
  mailbox_->fall_asleep();
  return fd;
}

// A step of a loop that nobody else drives.
void EventLoop::next_step() {
  if (!watched_ && owns_selector_ && real_time_ && !ready_.empty()) {
    const TimePoint now = time();
    if (now - looked_ < time_between_looks) {
      ++counters_.turns;
      current.now = now;
      if (!mailbox_->empty()) collect_mail();
      if (!timers_.empty()) fire_timers();
      return run_ready();
    }
  }
  step(Timeout());
}

void EventLoop::step(Timeout limit) {
  ++counters_.turns;
  poll(limit);
  if (watched_) [[unlikely]]
    run_ready_watched();
  else
    run_ready();
}

std::optional<TimePoint> EventLoop::next_deadline() const noexcept {
  if (!ready_.empty() || !mailbox_->empty() || left_events_) return TimePoint();
  if (timers_.empty()) return std::nullopt;
  return timers_.earliest();
}

void EventLoop::run_ready() noexcept {
  const auto leave = [this] {
    counters_.resumes += static_cast<std::uint64_t>(current.turns + turns_between_polls);
    leave_tasks();
  };
  current.turns = -turns_between_polls;
  while (Runnable* next = ready_.take()) {
    do {
      Runnable& turn = *next;
      next = turn.next;             // the turn may end its life, or queue it again
      __builtin_prefetch(next, 1);  // by its turn it has mostly left the caches
      turn.run(turn);
      if (++current.turns < 0) [[likely]]
        continue;
      if (current.turns > 0) TaskState::end_turn();
      if (current.turns == 0) {
        if (next != nullptr) ready_.put_back(*next);
        return leave();
      }
    } while (next != nullptr);
  }
  leave();
}

// The same for a loop whose turns are timed, observed or shuffled.
void EventLoop::run_ready_watched() noexcept {
  Runnable* next = nullptr;
  current.turns = -turns_between_polls;
  while (current.turns < 0) {
    if (next == nullptr) {
      next = ready_.take();
      if (next == nullptr) break;
      if (shuffles_) {
        const Shuffled shuffled = shuffle(*next, shuffle_state_);
        next = shuffled.first;
        ready_.reordered(*shuffled.last);
      }
    }
    Runnable& turn = *next;
    if (observer_ != nullptr) {
      leave_tasks();
      if (!observer_->before_turn(turn)) break;
    }
    next = turn.next;
    if (monitor_ != nullptr) monitor_->begin(turn);
    turn.run(turn);
    if (++current.turns > 0) TaskState::end_turn();
    if (TaskState* const task = current.task; observer_ != nullptr && task != nullptr) {
      leave_tasks();
      if (task->waits_at() != nullptr) observer_->after_turn(*task);
    }
  }
  if (next != nullptr) ready_.put_back(*next);
  counters_.resumes += static_cast<std::uint64_t>(current.turns + turns_between_polls);
  if (monitor_ != nullptr) monitor_->end();
  leave_tasks();
}

// Between the turns of tasks: an await or a request to stop now isn't theirs.
void EventLoop::leave_tasks() noexcept {
  current.task = nullptr;
  current.budget = no_budget;
}

void EventLoop::poll(Timeout limit) {
  Timeout timeout = limit;
  if (!ready_.empty()) {
    timeout = Duration(0);
  } else if (!timers_.empty()) {
    const TimePoint now = time();
    Duration left(0);
    if (timers_.earliest() > now) left = (real_time_ ? timers_.wake_up() : timers_.earliest()) - now;
    if (timeout.forever() || left < timeout.duration()) timeout = left;
  }
  const bool sleeps = !timeout.only_looks() && mailbox_->fall_asleep();
  if (!sleeps) timeout = Duration(0);

  counters_.waits += sleeps;
  const bool watches_time = sleeps && detect_deadlock_;
  Found found = look(watches_time ? Duration(0) : timeout);
  if (watches_time && found.size() == 0) [[unlikely]]
    found = wait_in_virtual_time(timeout);
  if (sleeps || embedded_) mailbox_->awake();
  current.now = looked_ = time();

  counters_.events += found.size();
  left_events_ = found.raw.size() == most_events;
  if (reads_kernel_events_) [[likely]]
    dispatch_raw(found.raw);
  else
    for (const Ready& entry : found.entries) dispatch(entry);
  if (!mailbox_->empty()) collect_mail();
  if (!timers_.empty()) fire_timers();
}

inline EventLoop::Found EventLoop::look(Timeout timeout) {
  ++counters_.polls;
  try {
    if (reads_kernel_events_) [[likely]]
      return {{}, selector_->wait_raw(timeout, static_cast<int>(most_events))};
    return {selector_->select(timeout), {}};
  } catch (const std::system_error& error) {
    mailbox_->awake();
    // select(2) says only that one of its descriptors was closed by somebody.
    if (error.code() != std::errc::bad_file_descriptor) throw;
    fail_closed();
  }
  return {};
}

// Nothing is ready now.
EventLoop::Found EventLoop::wait_in_virtual_time(Timeout timeout) {
  if (outside_work_ > 0) return look(virtual_time_ ? Timeout() : timeout);
  if (!timeout.forever()) {
    if (!virtual_time_) return look(timeout);
    virtual_now_ += timeout.duration();
    return {};
  }
  if (waits_for_descriptors() ||
      (signals_ != nullptr && signals_->awaits_any_but(dumps_on_sigquit_ ? SIGQUIT : 0)))
    return look(timeout);
  mailbox_->awake();
  const std::string tasks = "deadlock: nothing can happen any more\n" + dump_tasks(*this);
  if (!closing_) throw Deadlock(tasks.c_str());
  std::fputs(tasks.c_str(), stderr);
  std::fputs("heddle: the loop was to close, and these tasks don't end\n", stderr);
  std::abort();
}

bool EventLoop::waits_for_descriptors() const noexcept {
  for (const FdWatch* watch = watches_; watch != nullptr; watch = watch->next)
    if (!watch->idle()) return true;
  return false;
}

void EventLoop::fire_timers() noexcept {
  const TimePoint now = current.now;
  TimePoint deadline = timers_.earliest();
  int left = turns_between_polls;
  while (Timer* const timer = timers_.pop_due(now)) {
    ++counters_.timers_fired;
    counters_.lag = now - std::max(deadline, TimePoint());  // TimePoint::min() is a deadline too
    counters_.max_lag = std::max(counters_.max_lag, counters_.lag);
    timer->fire(*timer);
    if (--left == 0 || timers_.empty()) break;
    deadline = timers_.earliest();
  }
}

LoopCounters EventLoop::counters() const noexcept {
  LoopCounters counters = counters_;
  counters.timers = timers_.size() - second_look_.armed();
  counters.tasks_spawned = last_task_id_;
  return counters;
}

void EventLoop::collect_mail() noexcept {
  Runnable* posted = mailbox_->take();
  while (posted != nullptr) {
    Runnable* const next = posted->next;
    schedule(*posted);
    posted = next;
  }
}

// Descriptors.

inline void EventLoop::dispatch(const Ready& event) noexcept {
  if (!event.key.data.holds<FdWatch*>()) [[unlikely]] {
    ++counters_.wake_ups;
    mailbox_->drain();
    if (mailbox_->take_interrupt()) woken_ = true;
    if (signals_ != nullptr) signals_->deliver();
    return;
  }
  FdWatch& watch = *event.key.data.get<FdWatch*>();
  if (event.hangup) [[unlikely]]
    watch.hangup = true;
  if (!watch.edge()) [[unlikely]] {
    dispatch_level(watch, event.events);
    return;
  }
  if (event.events.contains(EVENT_READ)) [[likely]]
    notify(watch.sides[0]);
  // Mostly a descriptor can be written to, and each edge says so again.
  if (!watch.sides[1].may_try() && event.events.contains(EVENT_WRITE)) [[unlikely]]
    notify(watch.sides[1]);
}

// Each event is read once, where the kernel left it. The usual one is of a descriptor that is watched for
// edges.
inline void EventLoop::dispatch_raw(KernelEvents events) {
  const BaseSelector::Registration* const registrations = selector_->registrations();
  bool stray = false;
  for (const KernelEvent& event : events) {
    const BaseSelector::Registration& registration = registrations[event.fd()];
    if (registration.generation != event.generation()) [[unlikely]] {
      stray = true;
      continue;
    }
    if (registration.trigger != Trigger::EDGE || !event.is_plain() ||
        !registration.key.data.holds<FdWatch*>()) [[unlikely]] {
      const Ready ready = selector_->read(event, registration);
      if (ready.events)
        dispatch(ready);
      else
        stray = true;
      continue;
    }
    FdWatch& watch = *registration.key.data.get<FdWatch*>();
    if ((event.events & KernelEvent::readable) != 0) [[likely]]
      notify(watch.sides[0]);
    // Mostly a descriptor can be written to, and each edge says so again.
    if (!watch.sides[1].may_try() && (event.events & KernelEvent::writable) != 0) [[unlikely]]
      notify(watch.sides[1]);
  }
  if (stray) [[unlikely]]
    selector_->purge();
}

inline void EventLoop::notify(FdWatch::Side& side) noexcept {
  if (!side.set_ready()) return;
  DescriptorOperation& first = side.front();
  first.place_.state = DescriptorOperation::State::WOKEN;
  first.task_->schedule_on(ready_);
}

[[gnu::noinline]] void EventLoop::dispatch_level(FdWatch& watch, EventMask events) noexcept {
  if (events.contains(EVENT_READ)) notify_level(watch, Direction::READ);
  if (events.contains(EVENT_WRITE)) notify_level(watch, Direction::WRITE);
}

void EventLoop::notify_level(FdWatch& watch, Direction direction) noexcept {
  FdWatch::Side& side = watch.side(direction);
  side.set_ready();
  if (side.callback != nullptr) side.callback->schedule(*this);
  DescriptorOperation* const first = side.first();
  if (first != nullptr && first->place_.state != DescriptorOperation::State::PAUSED)
    first->notify(DescriptorOperation::State::WOKEN);
  else if (side.callback == nullptr)
    want_quietly(watch, watch.registered & ~event_of(direction));
}

FdWatch* EventLoop::find_watch(int fd) const noexcept {
  const SelectorKey* const key = selector_->find(fd);
  return key != nullptr && key->data.holds<FdWatch*>() ? key->data.get<FdWatch*>() : nullptr;
}

FdWatch& EventLoop::watch(int fd) {
  if (FdWatch* const found = find_watch(fd)) return *found;
  auto* const made = new FdWatch(*this, fd);
  made->link = &watches_;
  made->next = watches_;
  if (made->next != nullptr) made->next->link = &made->next;
  watches_ = made;
  return *made;
}

bool EventLoop::adopt(FdWatch& watch) noexcept {
  if (watch.loop != nullptr || find_watch(watch.fd) != nullptr) return false;
  watch.loop = this;
  watch.link = &watches_;
  watch.next = watches_;
  if (watch.next != nullptr) watch.next->link = &watch.next;
  watches_ = &watch;
  return true;
}

void EventLoop::arm(FdWatch& watch, Direction direction, bool owned) {
  const EventMask event = event_of(direction);
  if (!watch.registered && owned && selector_->capabilities().has(Capability::EDGE_TRIGGER)) {
    selector_->register_(watch.fd, EVENT_READ | EVENT_WRITE, &watch, Trigger::EDGE);
    watch.registered = EVENT_READ | EVENT_WRITE;
    watch.set_edge(true);
  } else if (!watch.registered.contains(event)) {
    // Without a kernel object the selector can't tell now that the descriptor is closed.
    if (selector_->descriptor() < 0 && (system_.poll_now(watch.fd, 0) & POLLNVAL) != 0)
      throw_errno(EBADF, "waiting", watch.fd);
    want(watch, watch.registered | event);
  }
  if (owned) watch.owned = true;
}

bool EventLoop::doubt(FdWatch& watch) noexcept {
  if (watch.loop != this || watch.cut) return false;
  if (!watch.edge()) return true;  // its selector reports again what is left
  if (!real_time_) return (system_.poll_now(watch.fd, POLLIN) & POLLIN) == 0;
  try {
    doubted_.push_back(watch.fd);
    if (!second_look_.armed()) timers_.add(second_look_, looked_ + doubt_lasts);
  } catch (const std::bad_alloc&) {
    return false;
  }
  watch.doubted = true;
  return true;
}

void EventLoop::look_again(Timer& timer) noexcept {
  EventLoop& self = static_cast<SecondLook&>(timer).loop;
  std::vector<int>& fds = self.looked_at_;
  if (fds.empty()) fds.swap(self.doubted_);
  const auto look = [&self](int fd) {
    FdWatch* const watch = self.find_watch(fd);
    if (watch == nullptr || !std::exchange(watch->doubted, false)) return;
    FdWatch::Side& side = watch->side(Direction::READ);
    if (side.ready() || (self.system_.poll_now(fd, POLLIN) & POLLIN) == 0) return;
    watch->cut = true;
    self.notify(side);
  };
  for (int left = turns_between_polls; left > 0 && !fds.empty(); --left, fds.pop_back()) look(fds.back());
  if (fds.empty() && self.doubted_.empty()) return;
  try {
    // The rest when the others had their turns.
    self.timers_.add(timer, current.now + (fds.empty() ? doubt_lasts : Duration(1)));
  } catch (const std::bad_alloc&) {
    for (; !fds.empty(); fds.pop_back()) look(fds.back());
  }
}

// `events` of a level-triggered watch, or none of any.
void EventLoop::want(FdWatch& watch, EventMask events) {
  if (events == watch.registered) return;
  const EventMask before = std::exchange(watch.registered, EventMask(0));
  if (!events)
    selector_->unregister(watch.fd);
  else if (!before)
    selector_->register_(watch.fd, events, &watch);
  else
    selector_->modify(watch.fd, events, &watch);
  watch.registered = events;
}

// Wanting less fails only if somebody has closed the descriptor, and then there is nothing to take back.
void EventLoop::want_quietly(FdWatch& watch, EventMask events) noexcept {
  try {
    want(watch, events);
  } catch (const std::exception&) {
  }
}

EventMask EventLoop::needed_by(FdWatch& watch) noexcept {
  EventMask needed(0);
  for (const Direction direction : {Direction::READ, Direction::WRITE}) {
    const FdWatch::Side& side = watch.side(direction);
    if (side.first() != nullptr || side.callback != nullptr) needed |= event_of(direction);
  }
  return needed;
}

void EventLoop::disarm_if_idle(FdWatch& watch) noexcept {
  const EventMask needed = needed_by(watch);
  want_quietly(watch, needed);
  if (!needed) forget(watch);
}

void EventLoop::forget(FdWatch& watch) noexcept {
  *watch.link = watch.next;
  if (watch.next != nullptr) watch.next->link = watch.link;
  delete &watch;
}

void EventLoop::abandon_waiters(FdWatch::Side& side, int error) noexcept {
  while (DescriptorOperation* const waiter = side.first()) {
    side.promote();
    waiter->abandon(error);
  }
}

void EventLoop::release(FdWatch& watch) noexcept {
  for (FdWatch::Side& side : watch.sides) {
    abandon_waiters(side, ECANCELED);
    if (side.callback != nullptr) {
      std::exchange(side.callback, nullptr)->abandon();
    }
  }
  if (watch.loop == nullptr) {
    delete &watch;
    return;
  }
  watch.loop->want_quietly(watch, EventMask(0));
  watch.loop->forget(watch);
}

void EventLoop::fail_closed() noexcept {
  FdWatch* next = nullptr;
  for (FdWatch* watch = watches_; watch != nullptr; watch = next) {
    next = watch->next;
    if (!watch->registered || (system_.poll_now(watch->fd, 0) & POLLNVAL) == 0) continue;
    selector_->unregister(watch->fd);
    watch->registered = EventMask(0);
    watch->set_edge(false);
    for (FdWatch::Side& side : watch->sides) {
      side.set_ready();  // whoever comes now is told by the kernel
      abandon_waiters(side, EBADF);
    }
    if (!watch->owned && watch->idle()) forget(*watch);
  }
}

bool EventLoop::set_callback(int fd, Direction direction, Callback* callback) {
  FdWatch* watch = find_watch(fd);
  if (callback == nullptr) {
    if (watch == nullptr || watch->side(direction).callback == nullptr) return false;
    std::exchange(watch->side(direction).callback, nullptr)->abandon();
    if (!watch->owned) disarm_if_idle(*watch);
    return true;
  }
  callback->set_repeats();
  bool replaced = false;
  try {
    if (fd < 0) throw ValueError("a callback for a negative descriptor");
    if (watch == nullptr) watch = &this->watch(fd);
    if (watch->edge()) {  // a callback is told again and again
      selector_->unregister(fd);
      watch->registered = EventMask(0);
      watch->set_edge(false);
      want(*watch, EVENT_READ | EVENT_WRITE);
    }
    arm(*watch, direction, false);
  } catch (...) {
    callback->abandon();
    if (watch != nullptr && !watch->owned) disarm_if_idle(*watch);
    throw;
  }
  if (Callback* const before = std::exchange(watch->side(direction).callback, callback)) {
    before->abandon();
    replaced = true;
  }
  return replaced;
}

// The end.

void EventLoop::close() noexcept {
  if (closed_) return;
  const Running running(*this);
  closing_ = true;
  cancel_children();
  while (first_child() != nullptr) try {
      step(Timeout());
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
  timers_.remove(second_look_);
  while (Timer* const timer = timers_.pop_due(TimePoint::max())) timer->fire(*timer);
  while (!ready_.empty()) run_ready();

  while (FdWatch* const watch = watches_) {
    for (FdWatch::Side& side : watch->sides)
      if (side.callback != nullptr) std::exchange(side.callback, nullptr)->abandon();
    if (!watch->owned) {
      disarm_if_idle(*watch);
      continue;
    }
    want_quietly(*watch, EventMask(0));
    watches_ = watch->next;
    if (watches_ != nullptr) watches_->link = &watches_;
    watch->loop = nullptr;
    watch->next = nullptr;
    watch->set_edge(false);
  }
  if (owns_selector_) {
    delete selector_;
    selector_ = nullptr;
  } else {
    selector_->unregister(mailbox_->descriptor());
  }
}

// Another selector.

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
  struct Wanted {
    EventMask events{0};
    bool edge = false;
  };
  // An edge-triggered registration begins with a report of what is ready, so nothing is missed between the
  // two.
  const bool has_edge = next.capabilities().has(Capability::EDGE_TRIGGER);
  const auto wanted_of = [has_edge](FdWatch& watch) {
    if (!watch.registered) return Wanted();
    if (watch.owned && has_edge && watch.sides[0].callback == nullptr && watch.sides[1].callback == nullptr)
      return Wanted{EVENT_READ | EVENT_WRITE, true};
    return Wanted{needed_by(watch), false};
  };
  std::size_t moved = 0;
  next.register_(mailbox_->descriptor(), EVENT_READ);
  try {
    for (FdWatch* watch = watches_; watch != nullptr; watch = watch->next, ++moved)
      if (const Wanted wanted = wanted_of(*watch); wanted.events)
        next.register_(watch->fd, wanted.events, watch, wanted.edge ? Trigger::EDGE : Trigger::LEVEL);
  } catch (...) {
    next.unregister(mailbox_->descriptor());
    for (FdWatch* watch = watches_; moved > 0; watch = watch->next, --moved)
      if (wanted_of(*watch).events) next.unregister(watch->fd);
    throw;
  }
  for (FdWatch* watch = watches_; watch != nullptr; watch = watch->next) {
    const Wanted wanted = wanted_of(*watch);
    watch->registered = wanted.events;
    watch->set_edge(wanted.edge);
  }
  // A child of fork() must not unregister what the parent's selector watches: closing leaves that alone.
  if (owns_selector_)
    delete selector_;
  else
    selector_->close();
  selector_ = &next;
  reads_kernel_events_ = next.has_wait_raw();
  process_ = ::getpid();
  if (signals_ != nullptr) signals_->adopt();
}

// What nobody retrieves.

void EventLoop::report(const Report& report) noexcept {
  if (report_handler_ != nullptr)
    report_handler_(*this, report, report_argument_);
  else
    print_report(report);
}

}  // namespace heddle
