// EventLoop: runs what is ready, fires timers, and asks a selector what comes next. One loop a thread.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "../core/deadline.hpp"
#include "../core/scheduler.hpp"
#include "callback.hpp"
#include "turn_limit.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

struct SlowTurn;

namespace detail {

class DescriptorTable;
enum class Direction : std::uint8_t;
class LateMail;
class LoopObserver;
class LoopSignals;
class Mailbox;
class Running;
class Shuffle;
class TurnMonitor;

}  // namespace detail

/// What an event loop is made of.
struct LoopOptions {
  /// The selector by name: "default", "epoll", "io_uring", "poll", "select", ... (see make_selector). Unused
  /// when `custom_selector` is set. "io_uring" makes TCP sockets receive and send by completions, unless
  /// `system` or `virtual_time` is set, or the kernel can't (before Linux 6.0): then it is readiness. See
  /// io/README.md, "On io_uring".
  std::string_view selector = "default";
  /// The loop is made, run and closed by one thread, as run() and run_on_threads() do. "io_uring" then needs
  /// less of the processor for each message (IORING_SETUP_DEFER_TASKRUN), and has no fileno(). Another thread
  /// that runs such a loop gets std::system_error with EEXIST where that waits; one that closes it leaves to
  /// the kernel what is still queued.
  bool one_thread = false;
  /// A selector of the caller's, which must outlive the loop. The loop has it for itself meanwhile, and sets
  /// its System: what somebody else has registered is unregistered, and reported (see set_report_handler),
  /// when it becomes ready. Afterwards it is open, measures with the kernel's clock, and has none of the
  /// loop's registrations.
  BaseSelector* custom_selector = nullptr;
  /// The clock and the kernel, which must outlive the loop and all descriptors made on it. nullptr: the real
  /// ones.
  System* system = nullptr;
  /// Time stands still while something is ready, and jumps to the next deadline when nothing is: an hour of
  /// sleep() takes microseconds. For tests whose other ends are in the same loop: what comes from outside
  /// may come late. While a to_thread() call is out, a task waits for one of another thread's loop, or
  /// OutsideWork stands, time waits for it.
  bool virtual_time = false;
  /// Instead of waiting for ever where nothing can happen any more, throw Deadlock. On with virtual_time. It
  /// is none to wait for what another thread, a process or a signal may end: a descriptor, a signal, a call
  /// on a thread, a task of another loop, an item of a Channel, the threads of run_on_threads(). A thread
  /// that will call call_soon_threadsafe() has to hold OutsideWork.
  bool detect_deadlock = false;
  /// SIGQUIT (Ctrl-\) prints the tasks on stderr instead of ending the process: see dump_tasks().
  bool dump_on_sigquit = false;
  /// What is ready at the same time runs in an order that follows from this number, instead of first in,
  /// first out: for tests that try many orders and repeat the one that failed. 0: off.
  std::uint64_t shuffle_seed = 0;
  /// A turn of a task or callback that takes longer is reported while it lasts, by a thread that the loop
  /// starts for that; 0, or nullopt: none is. At most one report a second.
  Timeout slow_turn = Duration(0);
  /// Gets those reports, on that thread; nullptr: they are printed on stderr. `argument` is handed on.
  void (*slow_turn_handler)(const SlowTurn& turn, void* argument) = nullptr;
  void* slow_turn_argument = nullptr;
  /// For how long the loop asks for events again and again before it waits for them (busy polling), unless
  /// its last wait was longer. The peer of a loop that waits pays for waking it up, so a busy server may do
  /// more with some microseconds of this, for more of its own CPU time. 0: it waits at once. Without effect
  /// with `detect_deadlock`, `virtual_time`, or a `system` whose clock isn't the kernel's.
  Duration busy_poll{};
};

/// What a loop has counted since it was made.
struct LoopCounters {
  std::uint64_t turns = 0;          ///< of the loop: up to 64 steps, mostly after a poll of the selector
  std::uint64_t resumes = 0;        ///< steps: turns of tasks, and callbacks; of many bytes, one per 16 KB
  std::uint64_t polls = 0;          ///< calls of the selector
  std::uint64_t waits = 0;          ///< of those, that might sleep
  std::uint64_t events = 0;         ///< ready descriptors
  std::uint64_t wake_ups = 0;       ///< by other threads and signals
  std::uint64_t budget_yields = 0;  ///< a task had spent its budget and let the others go first
  std::uint64_t timers_fired = 0;
  std::uint64_t tasks_spawned = 0;
  std::uint64_t ring_enters = 0;  ///< calls of io_uring_enter(2), of a loop on io_uring
  std::size_t timers = 0;         ///< that wait now
  Duration lag = Duration(0);  ///< how late the timer that fired last was; among thousands 1 ms is no fault
  Duration max_lag = Duration(0);
};

/// The scheduler under everything: a queue of what is ready, timers, a selector and a clock.
///
/// What is ready runs first in, first out; nothing ever runs inline from the call that made it ready. While
/// there is work, timers (64 at a time) and posted calls are checked every 64 steps, or when these are found
/// to have taken a millisecond, and so is the selector, unless they took no time to speak of: the kernel is
/// asked at most every 5 us then. (A selector or a clock of the caller's is asked each time.) All members are
/// for the loop's own thread, but call_soon_threadsafe(). heddle::run() makes a loop and is all that most
/// programs need; a loop of one's own is driven by run_until_complete(), run_forever() or run_once().
///
/// What each member does before the loop runs, from within it, while it closes and afterwards is in
/// runtime/README.md, "The life of a loop". In short: a closed loop takes nothing any more
/// (std::logic_error), has nothing (false, nullopt), and says what it was.
class HEDDLE_EXPORT EventLoop final : public detail::Scheduler {
 public:
  /// Throws ValueError for an unknown selector, std::system_error if the kernel refuses.
  explicit EventLoop(const LoopOptions& options = {});
  /// Does what close() does. Not from within the loop: that ends the program.
  ~EventLoop();

  /// The loop that runs on this thread. Throws std::logic_error if none does.
  static EventLoop& running();

  /// Calls `function(arguments...)` behind what is queued already. The loop owns copies of both. This and the
  /// next two throw std::logic_error once the loop has closed.
  template <class F, class... A>
  CallHandle call_soon(F&& function, A&&... arguments) {
    return queue(detail::make_callback(std::forward<F>(function), std::forward<A>(arguments)...));
  }
  /// The same after `delay`, never earlier, by the system's clock. (Where thousands of timers wait, those
  /// that are due within a millisecond may share a wake-up, and be that much late.)
  template <class F, class... A>
  CallHandle call_later(Timeout delay, F&& function, A&&... arguments) {
    return call_at(deadline_after(delay.duration()), std::forward<F>(function),
                   std::forward<A>(arguments)...);
  }
  /// The same at a point of time(); TimePoint::max(), as call_later(nullopt): never. What is due at the same
  /// time is called in the order it was asked for.
  template <class F, class... A>
  CallHandle call_at(Deadline deadline, F&& function, A&&... arguments) {
    return queue_at(deadline.time(),
                    detail::make_callback(std::forward<F>(function), std::forward<A>(arguments)...));
  }
  /// call_soon() from any thread or from a callback of another loop, while this loop exists. Wakes the loop
  /// if it sleeps: one wake-up for all calls until it has collected them. Once it has closed the call is
  /// dropped with its arguments, as are those that it wasn't made by then. Not for signal handlers (it
  /// allocates).
  template <class F, class... A>
  void call_soon_threadsafe(F&& function, A&&... arguments) {
    post(detail::make_call<detail::PostedCallOf>(std::forward<F>(function), std::forward<A>(arguments)...));
  }

  /// Calls `function(arguments...)` each time `fd` is ready for reading, until remove_reader(); replaces the
  /// one before. Throws ValueError for a bad descriptor, std::system_error where the selector refuses it (a
  /// regular file on epoll), KeyError where somebody else has registered it with the loop's selector,
  /// std::logic_error once the loop has closed.
  template <class F, class... A>
  void add_reader(int fd, F&& function, A&&... arguments) {
    set_reader(fd, &detail::make_callback(std::forward<F>(function), std::forward<A>(arguments)...));
  }
  template <class F, class... A>
  void add_writer(int fd, F&& function, A&&... arguments) {
    set_writer(fd, &detail::make_callback(std::forward<F>(function), std::forward<A>(arguments)...));
  }
  /// To be called before the descriptor is closed. Returns whether there was one: a closed loop has none.
  bool remove_reader(int fd) { return set_reader(fd, nullptr); }
  bool remove_writer(int fd) { return set_writer(fd, nullptr); }

  /// Calls `function(arguments...)` on this loop after the process got the signal `signum`, until
  /// remove_signal_handler() or close(); replaces this loop's handler before. Signals that come before the
  /// function's turn are one call. Several loops may each have a handler for the same signal. A handler for
  /// SIGINT takes it from run(). See SignalStream for more. Throws ValueError as SignalSet does,
  /// std::logic_error once the loop has closed.
  template <class F, class... A>
  void add_signal_handler(int signum, F&& function, A&&... arguments) {
    set_signal_callback(signum,
                        &detail::make_callback(std::forward<F>(function), std::forward<A>(arguments)...));
  }
  /// Returns whether there was one. With the last one of the process goes what heddle does about the signal.
  bool remove_signal_handler(int signum) { return set_signal_callback(signum, nullptr); }

  /// Runs until `task`, which is one of this loop, is done, or stop() is called. This and the next two throw
  /// std::logic_error if a loop runs on this thread already, or this one has closed, and what the selector
  /// fails with; the loop can be run again then.
  void run_until_complete(const detail::TaskState& task);
  /// Runs until stop() is called.
  void run_forever();
  /// Ends run_forever() or run_until_complete() after the turn that runs now. Of a loop that isn't run by
  /// them the next one ends after a turn, which doesn't wait; run_once() is not concerned.
  void stop() noexcept {
    use("EventLoop.stop()");
    stopped_ = true;
  }
  /// One turn: waits no longer than `limit` if nothing is ready, then runs at most 64 steps, of no more than
  /// about a millisecond. For those who embed the loop.
  void run_once(Timeout limit = {});
  /// When run_once() has to be called next if no descriptor becomes ready: nullopt for never (so it is once
  /// the loop has closed); the past for now.
  std::optional<TimePoint> next_deadline() const noexcept;
  bool is_running() const noexcept { return detail::current.loop == this; }
  /// A descriptor that is readable when run_once() has descriptors or calls from other threads to attend to,
  /// for a loop inside another one: wait for it and for next_deadline(), then call run_once(0). It is the
  /// selector's, so it changes with set_selector(). Throws std::logic_error where the selector has none
  /// (poll, select).
  int fileno();

  /// Cancels every task and runs until all are done; then drops what is queued and gives up the selector.
  /// Descriptors that are still open can be closed afterwards. Idempotent. Throws std::logic_error, and does
  /// nothing, from within the loop: in a task or a callback of its own.
  ///
  /// A task that goes on after its Cancelled is waited for, and calls are made meanwhile, also those that
  /// other threads post; tasks that are spawned never begin. The destructors of what is dropped may ask the
  /// loop for more, which is dropped as well. If the selector fails meanwhile, that is printed on stderr, and
  /// the loop comes to its end on poll; or, if that fails too, on none: then all who wait for a descriptor
  /// get the error.
  void close();

  /// Its type is complete in <heddle/selector/base_selector.hpp>.
  BaseSelector& selector() const noexcept override;
  const char* selector_name() const noexcept;
  /// Moves the loop to another selector, by name or one of the caller's: everything that is registered, and
  /// everybody who waits, goes along. It may be called while the loop runs. Throws as the constructor does,
  /// and what the new selector throws for a descriptor that it can't watch, and std::logic_error once the
  /// loop has closed; then nothing has changed. A selector of the caller's that it leaves is closed.
  ///
  /// This is how a loop goes on in the child of a fork(): until then it is the parent's, whose selector and
  /// wake-ups it shares, and running it, fileno() and asking for signals throw std::logic_error. Descriptors
  /// may be closed there, which takes nothing from the parent. The child calls this before anything else, on
  /// the thread that has forked, which must be the loop's. Then it gets the child's signals and has its slow
  /// turns reported. A call on another thread that was out (to_thread()) never returns in the child; who
  /// waits for it can be cancelled.
  void set_selector(std::string_view name);
  void set_selector(BaseSelector& custom);

  /// Gets a Report of each exception that leaves a callback, or a task whose result nobody asks for, and of
  /// each Task that nobody awaits. By default it is printed on stderr. Null restores that.
  using ReportHandler = void (*)(EventLoop& loop, const Report& report, void* argument);
  void set_report_handler(ReportHandler handler, void* argument = nullptr) noexcept {
    report_handler_ = handler;
    report_argument_ = argument;
  }
  void report(const Report& report) noexcept override;
  void post(detail::Runnable& runnable) noexcept override;

  /// As of now; costs a copy.
  LoopCounters counters() const noexcept;

  // For awaitables and for those who own descriptors.

  detail::DescriptorTable& descriptors() noexcept { return *descriptors_; }
  /// Where other threads leave calls for this loop; it may outlive the loop.
  detail::Mailbox& mailbox() const noexcept { return *mailbox_; }
  /// Where the signals go that somebody asked for on this loop.
  detail::LoopSignals& signals();
  std::size_t armed_timers() const noexcept override;
  /// It is notified of every step from now on, after those that were added before.
  void add_observer(detail::LoopObserver& observer) noexcept;
  /// Nothing if it wasn't added. Not from within a call of an observer.
  void remove_observer(detail::LoopObserver& observer) noexcept;

 private:
  friend class detail::Running;
  struct Found;

  CallHandle queue(detail::Callback& callback);
  CallHandle queue_at(TimePoint deadline, detail::Callback& callback);
  void post(detail::PostedCall& call) noexcept;
  bool set_reader(int fd, detail::Callback* callback);
  bool set_writer(int fd, detail::Callback* callback);
  bool set_callback(int fd, detail::Direction direction, detail::Callback* callback);
  bool set_signal_callback(int signum, detail::Callback* callback);
  void move_to(BaseSelector& next);
  void leave_selector(BaseSelector& custom) noexcept;
  void end() noexcept;
  void end_tasks(detail::LateMail& late) noexcept;
  bool has_task_to_end(std::uint64_t last_id) const noexcept;
  void tell_who_stays() noexcept;
  void take_turn_without_selector(int error) noexcept;
  bool drop_what_is_left() noexcept;
  void drop_stranger(int fd) noexcept;
  void check_runnable() const;
  void check_process() const;
  void next_turn();
  void poll_before_later();
  void take_turn(Timeout limit);
  void begin_steps() noexcept;
  bool take_more_steps(const detail::Runnable* next, const detail::TaskState* last) noexcept;
  bool take_another_round(const detail::TaskState* last) noexcept;
  TimePoint time_in_turn() const noexcept;
  void postpone(const detail::TaskState* last) noexcept;
  void end_steps() noexcept;
  void run_ready() noexcept;
  void run_ready_observed() noexcept;
  void poll(Timeout limit);
  Found select(Timeout timeout);
  Found wait_as_asked(Timeout timeout);
  Found wait_busily(Timeout timeout);
  Found wait_or_detect_deadlock(Timeout timeout);
  static int other_event(detail::Scheduler& self, int fd) noexcept;
  int wake_up() noexcept;
  void collect_mail() noexcept;
  void fire_timers() noexcept;

  detail::DescriptorTable* descriptors_;  // by pointer, so that who includes this needn't compile it
  bool owns_selector_;
  bool has_real_time_;                // the clock is the kernel's, which no poll of a selector moves
  bool reads_kernel_events_ = false;  // the selector can
  bool left_events_ = false;          // the last poll took as many as it may: there may be more
  bool runs_ = false;                 // whoever drives it
  bool stopped_ = false;              // the run that runs now, or the next, is to end after its turn
  bool woken_ = false;
  bool detect_deadlock_;
  bool waits_as_asked_;    // with one of detect_deadlock_ and busy_poll_
  bool embedded_ = false;  // somebody waits for fileno()
  TimePoint polled_{};     // when the selector was polled last
  detail::TurnLimit limit_;
  detail::RunQueue later_;  // who queued itself by a step that was found to be long
  detail::Mailbox* mailbox_ = nullptr;
  detail::LateMail* late_mail_ = nullptr;  // while it closes
  detail::LoopSignals* signals_ = nullptr;
  detail::LoopObserver* observers_ = nullptr;  // where there are any, turns are taken by run_ready_observed()
  detail::Shuffle* shuffle_ = nullptr;
  detail::TurnMonitor* monitor_ = nullptr;
  Duration busy_poll_;
  Duration last_wait_{};  // with busy_poll_
  LoopCounters counters_;
  ReportHandler report_handler_ = nullptr;
  void* report_argument_ = nullptr;
};

}  // namespace heddle

HEDDLE_HEADER_END
