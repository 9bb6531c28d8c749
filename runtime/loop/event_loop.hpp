// EventLoop: runs what is ready, fires timers, and asks a selector what comes next. One loop a thread.
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <optional>
#include <source_location>
#include <string_view>
#include <utility>
#include <vector>

#include "../../selector/base_selector.hpp"
#include "../../selector/system.hpp"
#include "../core/report.hpp"
#include "../core/runnable.hpp"
#include "../core/task_state.hpp"
#include "../core/timer_heap.hpp"
#include "callback.hpp"
#include "fd_watch.hpp"

namespace heddle {

class LoopSignals;
class Mailbox;
class TurnMonitor;
class TurnObserver;
struct SlowTurn;

/// What an event loop is made of.
struct LoopOptions {
  /// The selector by name: "default", "epoll", "poll", "select" (see make_selector). Unused when
  /// `custom_selector` is set.
  std::string_view selector = "default";
  /// A selector of the caller's, which must outlive the loop.
  BaseSelector* custom_selector = nullptr;
  /// The clock and the kernel, which must outlive the loop and all descriptors made on it. nullptr: the real
  /// ones.
  System* system = nullptr;
  /// Time stands still while something is ready, and jumps to the next deadline when nothing is: an hour of
  /// sleep() takes microseconds. For tests whose other ends are in the same loop: what comes from outside
  /// may come late. While a to_thread() call is out, or OutsideWork stands, time waits for it.
  bool virtual_time = false;
  /// Instead of waiting for ever where nothing can happen any more, throw Deadlock. On with virtual_time. A
  /// thread that will call call_soon_threadsafe() has to hold OutsideWork.
  bool detect_deadlock = false;
  /// SIGQUIT (Ctrl-\) prints the tasks on stderr instead of ending the process: see dump_tasks().
  bool dump_on_sigquit = false;
  /// What is ready at the same time runs in an order that follows from this number, instead of first in,
  /// first out: for tests that try many orders and repeat the one that failed. 0: off.
  std::uint64_t shuffle_seed = 0;
  /// A turn of a task or callback that takes longer is reported while it lasts, by a thread that the loop
  /// starts for that; 0: none is. At most one report a second.
  Duration slow_turn = Duration(0);
  /// Gets those reports, on that thread; nullptr: they are printed on stderr. `argument` is handed on.
  void (*slow_turn_handler)(const SlowTurn& turn, void* argument) = nullptr;
  void* slow_turn_argument = nullptr;
};

/// What a loop has counted since it was made.
struct LoopCounters {
  std::uint64_t turns = 0;          ///< of the loop: at most 64 steps, mostly after a look at the selector
  std::uint64_t resumes = 0;        ///< steps: turns of tasks, and callbacks
  std::uint64_t polls = 0;          ///< calls of the selector
  std::uint64_t waits = 0;          ///< of those, that might sleep
  std::uint64_t events = 0;         ///< ready descriptors
  std::uint64_t wake_ups = 0;       ///< by other threads and signals
  std::uint64_t budget_yields = 0;  ///< a task had spent its budget and let the others go first
  std::uint64_t timers_fired = 0;
  std::uint64_t tasks_spawned = 0;
  std::size_t timers = 0;      ///< that wait now
  Duration lag = Duration(0);  ///< how late the timer that fired last was; among thousands 1 ms is no fault
  Duration max_lag = Duration(0);
};

/// The scheduler under everything: a queue of what is ready, timers, a selector and a clock.
///
/// What is ready runs first in, first out; nothing ever runs inline from the call that made it ready. While
/// there is work, timers (64 at a time) and posted calls are looked at every 64 steps, and so is the
/// selector, unless these took no time to speak of: the kernel is asked at most every 5 us then. (A selector
/// or a clock of the caller's is asked every 64 steps.) All members are for the loop's own thread, but
/// call_soon_threadsafe(). heddle::run() makes a loop and is all that most programs need; a loop of one's own
/// is driven by run_until_complete(), run_forever() or run_once().
class HEDDLE_EXPORT EventLoop final : public TaskOwner {
 public:
  /// Throws ValueError for an unknown selector, std::system_error if the kernel refuses.
  explicit EventLoop(const LoopOptions& options = {});
  /// close()s.
  ~EventLoop();

  /// The loop that runs on this thread. Throws std::logic_error if none does.
  static EventLoop& running();

  /// Calls `function(arguments...)` on the next turn. The loop owns copies of both.
  template <class F, class... A>
  CallHandle call_soon(F&& function, A&&... arguments) {
    return queue(make_callback(std::forward<F>(function), std::forward<A>(arguments)...));
  }
  /// The same after `delay`, never earlier, by the system's clock. (Where thousands of timers wait, those
  /// that are due within a millisecond may share a wake-up, and be that much late.)
  template <class F, class... A>
  CallHandle call_later(Duration delay, F&& function, A&&... arguments) {
    return call_at(deadline_after(delay), std::forward<F>(function), std::forward<A>(arguments)...);
  }
  /// The same at a point of time(). What is due at the same time is called in the order it was asked for.
  template <class F, class... A>
  CallHandle call_at(TimePoint deadline, F&& function, A&&... arguments) {
    return queue_at(deadline, make_callback(std::forward<F>(function), std::forward<A>(arguments)...));
  }
  /// call_soon() from any thread or from a callback of another loop, while this loop exists. Wakes the loop
  /// if it sleeps: one wake-up for all calls until it has looked. Not for signal handlers (it allocates).
  template <class F, class... A>
  void call_soon_threadsafe(F&& function, A&&... arguments) {
    post(make_call<PostedCallOf>(std::forward<F>(function), std::forward<A>(arguments)...));
  }

  /// Calls `function(arguments...)` each time `fd` is ready for reading, until remove_reader(); replaces the
  /// one before. Throws ValueError for a bad descriptor, std::system_error where the selector refuses it (a
  /// regular file on epoll).
  template <class F, class... A>
  void add_reader(int fd, F&& function, A&&... arguments) {
    set_callback(fd, Direction::READ,
                 &make_callback(std::forward<F>(function), std::forward<A>(arguments)...));
  }
  template <class F, class... A>
  void add_writer(int fd, F&& function, A&&... arguments) {
    set_callback(fd, Direction::WRITE,
                 &make_callback(std::forward<F>(function), std::forward<A>(arguments)...));
  }
  /// To be called before the descriptor is closed. Returns whether there was one.
  bool remove_reader(int fd) { return set_callback(fd, Direction::READ, nullptr); }
  bool remove_writer(int fd) { return set_callback(fd, Direction::WRITE, nullptr); }

  /// Calls `function(arguments...)` on this loop after the process got the signal `signum`, until
  /// remove_signal_handler() or close(); replaces this loop's handler before. Signals that come before the
  /// function's turn are one call. Several loops may each have a handler for the same signal. A handler for
  /// SIGINT takes it from run(). See SignalStream for more. Throws ValueError as SignalSet does.
  template <class F, class... A>
  void add_signal_handler(int signum, F&& function, A&&... arguments) {
    set_signal_callback(signum, &make_callback(std::forward<F>(function), std::forward<A>(arguments)...));
  }
  /// Returns whether there was one. With the last one of the process goes what heddle does about the signal.
  bool remove_signal_handler(int signum) { return set_signal_callback(signum, nullptr); }

  /// Runs until `task` is done. This and the next two throw std::logic_error if a loop runs on this thread
  /// already.
  void run_until_complete(const TaskState& task);
  /// Runs until stop() is called.
  void run_forever();
  /// Ends run_forever() and run_until_complete() after the turn that runs now (at most 64 steps).
  void stop() noexcept { stopped_ = true; }
  /// One turn: waits no longer than `limit` if nothing is ready, then runs at most 64 steps. For those who
  /// embed the loop.
  void run_once(Timeout limit = {});
  /// When run_once() has to be called next if no descriptor becomes ready: nullopt for never; the past for
  /// now.
  std::optional<TimePoint> next_deadline() const noexcept;
  bool is_running() const noexcept { return current.loop == this; }
  /// A descriptor that is readable when run_once() has descriptors or calls from other threads to attend to,
  /// for a loop inside another one: wait for it and for next_deadline(), then call run_once(0). It is the
  /// selector's, so it changes with set_selector(). Throws std::logic_error where the selector has none
  /// (poll, select).
  int fileno();

  /// Cancels every task and runs until all are done; then drops what is queued and gives up the selector.
  /// Descriptors that are still open can be closed afterwards. Idempotent. A task that goes on after its
  /// Cancelled is waited for. If the selector fails meanwhile, the loop comes to its end on poll.
  void close() noexcept;

  /// The system's clock, read now.
  TimePoint time() const noexcept {
    if (virtual_time_) [[unlikely]]
      return virtual_now_;
    return system_.now();
  }
  /// `delay` from now, saturating.
  TimePoint deadline_after(Duration delay) const noexcept;

  BaseSelector& selector() const noexcept { return *selector_; }
  /// Moves the loop to another selector, by name or one of the caller's: everything that is registered, and
  /// everybody who waits, goes along. It may be called while the loop runs. Throws as the constructor does,
  /// and what the new selector throws for a descriptor that it can't watch; then nothing has changed.
  ///
  /// This is how a loop goes on in the child of a fork(): until then it shares its selector, and its
  /// wake-ups, with the parent. The child calls it before anything else and must not be forked from another
  /// thread's loop.
  void set_selector(std::string_view name);
  void set_selector(BaseSelector& custom);
  System& system() const noexcept { return system_; }

  /// Gets a Report of each exception that leaves a callback, or a task whose result nobody asks for, and of
  /// each Task that nobody awaits. By default it is printed on stderr. Null restores that.
  using ReportHandler = void (*)(EventLoop& loop, const Report& report, void* argument);
  void set_report_handler(ReportHandler handler, void* argument = nullptr) noexcept {
    report_handler_ = handler;
    report_argument_ = argument;
  }
  void report(const Report& report) noexcept;

  /// As of now; costs a copy.
  LoopCounters counters() const noexcept;

  // For awaitables and for those who own descriptors.

  void schedule(Runnable& runnable) noexcept { ready_.push(runnable); }
  RunQueue& ready_queue() noexcept { return ready_; }
  TimerHeap& timers() noexcept { return timers_; }
  /// The watch of `fd`, nullptr when there is none.
  FdWatch* find_watch(int fd) const noexcept;
  /// The same, made if need be. Throws std::bad_alloc.
  FdWatch& watch(int fd);
  /// Takes over the watch of an owned descriptor whose loop has closed. False if that has not, or somebody
  /// waits here for the same number.
  bool adopt(FdWatch& watch) noexcept;
  /// Registers what `watch` needs now that somebody waits for `direction`. Throws what the selector throws,
  /// and std::system_error with EBADF if the descriptor is closed; then nothing has changed.
  void arm(FdWatch& watch, Direction direction, bool owned);
  /// Somebody has read what there was and, without asking the kernel again, takes `watch` for drained, though
  /// no event would tell if it isn't. The loop looks after 100 ms, once for all that was read meanwhile, and
  /// then it is as if an event had come. (With a clock or a System of the caller's it looks at once.) False:
  /// there is more, or may be: FdWatch::cut; or no memory to note it.
  bool doubt(FdWatch& watch) noexcept;
  /// Nobody may wait for `watch` any more: drops it, or what it needn't watch.
  void disarm_if_idle(FdWatch& watch) noexcept;
  /// An owner closes its descriptor: everybody who waits gets ECANCELED, and the number is no longer watched.
  /// To be called before the close. Works after the loop has closed.
  static void release(FdWatch& watch) noexcept;
  /// Where other threads leave calls for this loop; it may outlive the loop.
  Mailbox& mailbox() const noexcept { return *mailbox_; }
  /// Where the signals go that somebody asked for on this loop.
  LoopSignals& signals();
  std::uint64_t next_task_id() noexcept { return ++last_task_id_; }
  /// Is told of every step from now on; nullptr: nobody is.
  void set_turn_observer(TurnObserver* observer) noexcept {
    observer_ = observer;
    watched_ = monitor_ != nullptr || observer_ != nullptr || shuffles_;
  }
  void count_budget_yield() noexcept { ++counters_.budget_yields; }
  /// Something will be posted to this loop from outside: it isn't a deadlock to wait for that.
  void expect_outside_work() noexcept { ++outside_work_; }
  void end_outside_work() noexcept { --outside_work_; }
  /// Tasks that start now are cancelled at once.
  bool closing() const noexcept { return closing_; }
  bool closed() const noexcept { return closed_; }

 private:
  friend class Callback;
  friend class PostedCall;
  class Running;

  CallHandle queue(Callback& callback) noexcept;
  CallHandle queue_at(TimePoint deadline, Callback& callback);
  void post(PostedCall& call) noexcept;
  bool set_callback(int fd, Direction direction, Callback* callback);
  bool set_signal_callback(int signum, Callback* callback);
  void move_to(BaseSelector& next);
  static EventMask needed_by(FdWatch& watch) noexcept;
  void want(FdWatch& watch, EventMask events);
  void want_quietly(FdWatch& watch, EventMask events) noexcept;
  void forget(FdWatch& watch) noexcept;
  void fail_closed() noexcept;
  static void abandon_waiters(FdWatch::Side& side, int error) noexcept;
  // What a look at the selector has found: one or the other.
  struct Found {
    ReadyList entries;
    KernelEvents raw;
    std::size_t size() const noexcept { return entries.size() + raw.size(); }
  };
  void dispatch(const Ready& ready) noexcept;
  void dispatch_raw(KernelEvents events);
  void notify(FdWatch::Side& side) noexcept;
  void dispatch_level(FdWatch& watch, EventMask events) noexcept;
  void notify_level(FdWatch& watch, Direction direction) noexcept;
  void check_runnable() const;
  void next_step();
  void step(Timeout limit);
  void run_ready() noexcept;
  void run_ready_watched() noexcept;
  static void leave_tasks() noexcept;
  void poll(Timeout limit);
  void collect_mail() noexcept;
  void fire_timers() noexcept;
  static void look_again(Timer& timer) noexcept;
  Found look(Timeout timeout);
  Found wait_in_virtual_time(Timeout timeout);
  bool waits_for_descriptors() const noexcept;

  friend struct LoopRegistry;

  RunQueue ready_;
  TimerHeap timers_;
  System& system_;
  BaseSelector* selector_;
  bool owns_selector_;
  bool reads_kernel_events_ = false;  // the selector can
  bool left_events_ = false;          // the last look took as many as it may: there may be more
  int process_;                       // whose loop it is
  bool stopped_ = false;
  bool woken_ = false;
  bool closing_ = false;
  bool closed_ = false;
  Mailbox* mailbox_;
  LoopSignals* signals_ = nullptr;
  FdWatch* watches_ = nullptr;
  // Whose watch is doubted, and those of them that are being looked at; some may be gone.
  std::vector<int> doubted_;
  std::vector<int> looked_at_;
  struct SecondLook : Timer {
    explicit SecondLook(EventLoop& its_loop) noexcept : Timer(&look_again), loop(its_loop) {}
    EventLoop& loop;
  } second_look_{*this};
  bool virtual_time_;
  bool real_time_;  // the kernel's clock, which no look at a selector moves
  bool detect_deadlock_;
  bool dumps_on_sigquit_;
  bool embedded_ = false;  // somebody waits for fileno()
  TimePoint virtual_now_{std::chrono::hours(24)};
  TimePoint looked_{};  // when the selector was asked last
  std::uint64_t outside_work_ = 0;
  // What makes turns run by run_ready_watched().
  bool watched_ = false;
  bool shuffles_;
  std::uint64_t shuffle_state_;
  TurnMonitor* monitor_ = nullptr;
  TurnObserver* observer_ = nullptr;
  LoopCounters counters_;
  ReportHandler report_handler_ = nullptr;
  void* report_argument_ = nullptr;
  std::uint64_t last_task_id_ = 0;
  EventLoop* next_loop_ = nullptr;  // of the process
};

inline TaskState::TaskState(std::coroutine_handle<> root, TaskOwner& owner,
                            std::source_location spawned_at) noexcept
    : Runnable(&run_first),
      resume_(root),
      queued_(true),
      where_(spawned_at),
      owner_(&owner),
      root_(root),
      next_sibling_(owner.children_),
      link_(&owner.children_),
      id_(owner.loop().next_task_id()),
      spawned_by_(current.task != nullptr ? current.task->id_ : 0) {
  owner.children_ = this;
  if (next_sibling_ != nullptr) next_sibling_->link_ = &next_sibling_;
  owner.loop().ready_queue().push(*this);
}

inline bool DescriptorOperation::perhaps_drained(FdWatch& watch) noexcept {
  return watch.doubted || current.loop->doubt(watch);
}

inline void TaskState::inherit() noexcept {
  if (current.task != nullptr && (current.task->more_ & has_locals) != 0) [[unlikely]]
    inherit_locals(*current.task);
  if (owner_->loop().closing()) [[unlikely]]
    cancel();
}

/// While it lives, its loop expects calls from outside (call_soon_threadsafe() by a thread of yours): with
/// virtual time it really waits for them, and takes waiting for them for no deadlock. To be made and
/// destroyed on the loop's thread.
class [[nodiscard]] OutsideWork {
 public:
  /// Of the running loop: throws std::logic_error if none runs.
  OutsideWork() : OutsideWork(EventLoop::running()) {}
  explicit OutsideWork(EventLoop& loop) noexcept : loop_(loop) { loop_.expect_outside_work(); }
  OutsideWork(const OutsideWork&) = delete;
  OutsideWork& operator=(const OutsideWork&) = delete;
  ~OutsideWork() { loop_.end_outside_work(); }

 private:
  EventLoop& loop_;
};

}  // namespace heddle
