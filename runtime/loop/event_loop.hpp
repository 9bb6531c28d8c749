// EventLoop: runs what is ready, fires timers, and asks a selector what comes next. One loop a thread.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "../core/scheduler.hpp"
#include "callback.hpp"
#include "descriptor_table.hpp"
#include "loop_options.hpp"
#include "outside_work.hpp"

namespace heddle {

class LoopObserver;
class LoopSignals;
class Mailbox;
class Shuffle;
class TurnMonitor;

/// The scheduler under everything: a queue of what is ready, timers, a selector and a clock.
///
/// What is ready runs first in, first out; nothing ever runs inline from the call that made it ready. While
/// there is work, timers (64 at a time) and posted calls are looked at every 64 steps, and so is the
/// selector, unless these took no time to speak of: the kernel is asked at most every 5 us then. (A selector
/// or a clock of the caller's is asked every 64 steps.) All members are for the loop's own thread, but
/// call_soon_threadsafe(). heddle::run() makes a loop and is all that most programs need; a loop of one's own
/// is driven by run_until_complete(), run_forever() or run_once().
class HEDDLE_EXPORT EventLoop final : public Scheduler {
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
    descriptors_.set_callback(fd, Direction::READ,
                              &make_callback(std::forward<F>(function), std::forward<A>(arguments)...));
  }
  template <class F, class... A>
  void add_writer(int fd, F&& function, A&&... arguments) {
    descriptors_.set_callback(fd, Direction::WRITE,
                              &make_callback(std::forward<F>(function), std::forward<A>(arguments)...));
  }
  /// To be called before the descriptor is closed. Returns whether there was one.
  bool remove_reader(int fd) { return descriptors_.set_callback(fd, Direction::READ, nullptr); }
  bool remove_writer(int fd) { return descriptors_.set_callback(fd, Direction::WRITE, nullptr); }

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

  BaseSelector& selector() const noexcept override { return descriptors_.selector(); }
  /// Moves the loop to another selector, by name or one of the caller's: everything that is registered, and
  /// everybody who waits, goes along. It may be called while the loop runs. Throws as the constructor does,
  /// and what the new selector throws for a descriptor that it can't watch; then nothing has changed.
  ///
  /// This is how a loop goes on in the child of a fork(): until then it shares its selector, and its
  /// wake-ups, with the parent. The child calls it before anything else and must not be forked from another
  /// thread's loop.
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

  /// As of now; costs a copy.
  LoopCounters counters() const noexcept;

  // For awaitables and for those who own descriptors.

  DescriptorTable& descriptors() noexcept { return descriptors_; }
  /// Where other threads leave calls for this loop; it may outlive the loop.
  Mailbox& mailbox() const noexcept { return *mailbox_; }
  /// Where the signals go that somebody asked for on this loop.
  LoopSignals& signals();
  std::size_t armed_timers() const noexcept override {
    return timers_.size() - descriptors_.has_second_look_pending();
  }
  /// Is told of every step from now on, after those that were added before.
  void add_observer(LoopObserver& observer) noexcept;
  /// Nothing if it wasn't added. Not from within a call of an observer.
  void remove_observer(LoopObserver& observer) noexcept;

 private:
  // What polling the selector has found: one or the other.
  struct Found {
    ReadyList entries;
    KernelEvents raw;
    std::size_t size() const noexcept { return entries.size() + raw.size(); }
  };

  CallHandle queue(Callback& callback) noexcept;
  CallHandle queue_at(TimePoint deadline, Callback& callback);
  void post(PostedCall& call) noexcept;
  bool set_signal_callback(int signum, Callback* callback);
  void move_to(BaseSelector& next);
  void check_runnable() const;
  void next_turn();
  void take_turn(Timeout limit);
  void run_ready() noexcept;
  void run_ready_observed() noexcept;
  void poll(Timeout limit);
  Found select(Timeout timeout);
  Found wait_or_detect_deadlock(Timeout timeout);
  static void wake_up(Scheduler& self) noexcept;
  void collect_mail() noexcept;
  void fire_timers() noexcept;

  DescriptorTable descriptors_;
  bool owns_selector_;
  bool has_real_time_;                // the clock is the kernel's, which no poll of a selector moves
  bool reads_kernel_events_ = false;  // the selector can
  bool left_events_ = false;          // the last poll took as many as it may: there may be more
  int process_;                       // whose loop it is
  bool stopped_ = false;
  bool woken_ = false;
  bool detect_deadlock_;
  bool dumps_on_sigquit_;
  bool embedded_ = false;  // somebody waits for fileno()
  TimePoint polled_{};     // when the selector was polled last
  Mailbox* mailbox_ = nullptr;
  LoopSignals* signals_ = nullptr;
  LoopObserver* observers_ = nullptr;  // where there are any, turns are taken by run_ready_observed()
  Shuffle* shuffle_ = nullptr;
  TurnMonitor* monitor_ = nullptr;
  LoopCounters counters_;
  ReportHandler report_handler_ = nullptr;
  void* report_argument_ = nullptr;
};

}  // namespace heddle
