// DescriptorTable: which descriptors a loop watches, who waits for them, and what its selector is asked for.
// For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/base_selector.hpp"
#include "../../selector/kernel_event.hpp"
#include "../core/scheduler.hpp"
#include "fd_watch.hpp"
#include "second_look.hpp"

namespace heddle::detail {

/// The loop's side of a selector: a FdWatch for each descriptor that somebody waits for, or that its owner
/// keeps registered. Events that the selector reports go in at dispatch(), and the tasks and callbacks that
/// they make ready come out in the loop's queue.
///
/// What always holds: a watch is on the list of exactly one table, or of none after its loop has closed; it
/// is registered for every direction that somebody waits for; `watch.registered` is what the selector has
/// been asked for. Everything is for the loop's own thread.
class HEDDLE_EXPORT DescriptorTable {
 public:
  /// For an event of `fd`, which isn't a descriptor of this table: the loop's own wake-up, or what somebody
  /// else has registered. Returns 0, or the errno for which the wake-up can't be used any more; then it has
  /// unregistered it.
  using OtherEvent = int (*)(Scheduler& loop, int fd) noexcept;

  /// `real_calls`: the loop's System is the kernel.
  DescriptorTable(Scheduler& loop, BaseSelector& selector, bool real_calls, OtherEvent other) noexcept;
  DescriptorTable(const DescriptorTable&) = delete;
  DescriptorTable& operator=(const DescriptorTable&) = delete;

  Scheduler& loop() const noexcept { return loop_; }
  BaseSelector& selector() const noexcept { return *selector_; }

  // Who waits.

  /// The watch of `fd`, nullptr when there is none.
  FdWatch* find(int fd) const noexcept;
  /// The same, made if need be. Throws std::bad_alloc.
  FdWatch& watch(int fd);
  /// Somebody is about to wait for `fd` who hasn't before; an owner of the descriptor, or of its number
  /// alone. A watch of the same number may be of a file that was closed behind the back of those who wait,
  /// and a selector reports nothing of the one that has the number now. Two owners can't both be right: the
  /// later one is. Otherwise the selector is asked, where it can tell (epoll), and made to watch the present
  /// file (io_uring). Those who are wrong get EBADF. Returns the watch that is left, nullptr if there is
  /// none.
  FdWatch* give_way(int fd, bool to_owner, FdWatch* known) noexcept;
  /// Takes over the watch of an owned descriptor whose loop has closed. False if that has not, or somebody
  /// waits here for the same number.
  bool adopt(FdWatch& watch) noexcept;
  /// Registers what `watch` needs now that somebody waits for `direction`. Throws what the selector throws,
  /// and std::system_error with EBADF if the descriptor is closed; then nothing has changed.
  void arm(FdWatch& watch, Direction direction, bool owned);
  /// Nobody may wait for `watch` any more: drops it, or what it needn't watch.
  void disarm_if_idle(FdWatch& watch) noexcept;
  /// An owner closes its descriptor: everybody who waits gets ECANCELED, and the number is no longer watched.
  /// To be called before the close. Works after the loop has closed.
  static void release(FdWatch& watch) noexcept;
  /// The callback of add_reader and add_writer; null: none. Returns whether there was one. Throws as they do.
  bool set_callback(int fd, Direction direction, Callback* callback);
  /// Somebody waits for a descriptor.
  bool anyone_waits() const noexcept;
  bool has_any() const noexcept { return !watches_.empty(); }

  // Readiness.

  /// What the selector has reported, as kernel events or as entries. Throws std::system_error, after all of
  /// them, if the loop's wake-up has failed or a stray event can't be purged.
  void dispatch(KernelEvents events);
  void dispatch(ReadyList entries);
  /// A direction has become ready: whoever waits there first is queued.
  void notify(FdWatch::Side& side) noexcept { notify(side, loop_.ready_queue()); }
  /// Somebody has read what there was and takes `watch` for drained without asking the kernel again, though
  /// no event would follow if it isn't: see SecondLook. (Where the calls are not the kernel's, it is checked
  /// at once.) False: there is more, or may be.
  bool expect_drained(FdWatch& watch) noexcept;
  bool readable_now(int fd) const noexcept;
  /// A descriptor that the selector watches was closed by others (select(2) says only that there is one):
  /// whoever waits for it gets EBADF. False if there is none.
  bool fail_closed() noexcept;
  /// No selector works any more: whoever waits gets `error`.
  void fail_all(int error) noexcept;

  // The loop's life.

  /// Registers all that is watched with `next` and goes on with that. Throws what `next` throws; then nothing
  /// has changed.
  void move_to(BaseSelector& next);
  /// After a move: wakes the readers of what the System had received in the background.
  void notify_unread() noexcept;
  bool has_second_look_pending() const noexcept { return second_look_.armed(); }
  void stop_second_looks() noexcept { second_look_.stop(); }
  /// Gives up every watch: those of owned descriptors belong to no loop then. Nobody may wait any more.
  void close() noexcept;

 private:
  static void notify(FdWatch::Side& side, RunQueue& queue) noexcept {
    if (!side.set_ready()) return;
    DescriptorOperation& first = side.front();
    first.place_.state = DescriptorOperation::State::WOKEN;
    first.task_->schedule_on(queue);
  }
  struct Callbacks {
    Callback* reader;
    Callback* writer;
  };
  static Callbacks take_callbacks(FdWatch& watch) noexcept;
  static void abandon(const Callbacks& callbacks) noexcept;
  void dispatch(const Ready& ready) noexcept;
  void check_other();
  void dispatch_level(FdWatch& watch, EventMask events) noexcept;
  void notify_level(FdWatch& watch, Direction direction) noexcept;
  static EventMask needed_by(FdWatch& watch) noexcept;
  void want(FdWatch& watch, EventMask events);
  void want_quietly(FdWatch& watch, EventMask events) noexcept;
  void forget(FdWatch& watch) noexcept;
  bool is_current(FdWatch& watch) noexcept;
  void lose(FdWatch& watch) noexcept;
  static void abandon_waiters(FdWatch::Side& side, int error) noexcept;

  Scheduler& loop_;
  BaseSelector* selector_;
  OtherEvent other_;
  bool real_calls_;
  int other_error_ = 0;  // what other_ has returned, until it is thrown
  IntrusiveList<FdWatch> watches_;
  SecondLook second_look_{*this};
};

inline bool DescriptorOperation::perhaps_drained(FdWatch& watch) noexcept {
  return watch.awaits_second_look || current.descriptors->expect_drained(watch);
}

}  // namespace heddle::detail
