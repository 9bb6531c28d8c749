// TaskState: the part of a spawned task that outlives its coroutine: schedule, cancellation, result, joiners.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <coroutine>
#include <cstdint>
#include <exception>
#include <new>
#include <source_location>
#include <span>
#include <string_view>

#include "async_frame.hpp"
#include "current.hpp"
#include "runnable.hpp"
#include "stop_requests.hpp"
#include "task_owner.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

class Operation;
struct TaskExtras;
struct TaskLocals;

/// A spawned task: from its beginning a child of its owner, and in the loop's queue, so it never runs inside
/// of the call that spawns it. Counted references: one is held by the running coroutine, one by the
/// JoinHandle that is made with it.
class HEDDLE_EXPORT TaskState : public Runnable {
 public:
  /// Requests the task to stop: the co_await it is suspended at, or else its next one, throws Cancelled. A
  /// task that hasn't started never will. Returns false, and does nothing, if the task is done. The requests
  /// are counted (cancel_requests), but those that come before the Cancelled is thrown make one Cancelled
  /// together.
  bool cancel() noexcept { return cancel_inside(0); }
  /// The same for a part of the task (a timeout, a group) that came to be inside of `shields` shields: only
  /// those that were raised since hold its request off.
  bool cancel_inside(unsigned shields) noexcept;
  /// cancel() for `first` and its siblings, but for `spared`. Who joins another of them, or one that is asked
  /// by them, passes nothing on, so each task is asked once.
  static void cancel_all(TaskState* first, const TaskState* spared = nullptr) noexcept;
  /// What tells a request that cancel_inside(shields) makes now from others, for take_back().
  StopRequests::Count mark_request(unsigned shields) const noexcept {
    return requests_.mark(shields, innermost_shield());
  }
  /// Takes back a request with that mark. No Cancelled is due any more if all that are left have made one; of
  /// these there were `delivered_before` when the part of the task began that had made the request.
  void take_back(StopRequests::Count mark, StopRequests::Count delivered_before) noexcept;
  /// Takes one request back, whosever, and returns how many are left.
  unsigned uncancel() noexcept;
  /// All that were made and not taken back.
  unsigned cancel_requests() const noexcept { return requests_.all(innermost_shield()); }
  /// Those of them that no shield holds off.
  unsigned requests_in_force() const noexcept { return requests_.in_force(); }
  /// Of these, those that have made a Cancelled.
  unsigned requests_delivered() const noexcept { return requests_.delivered(); }

  bool done() const noexcept { return outcome_ != Outcome::PENDING; }
  Outcome outcome() const noexcept { return outcome_; }
  /// The exception the task failed with; null for a value and for a task that was cancelled.
  std::exception_ptr error() const noexcept {
    return outcome_ == Outcome::ERROR ? error_ : std::exception_ptr();
  }

  std::uint64_t id() const noexcept { return id_; }
  /// Of the number of the task that spawned it the lower half; its own, if none did.
  std::uint32_t spawned_by() const noexcept { return spawned_by_; }
  std::string_view name() const noexcept;
  void set_name(std::string_view name);
  /// The way that the exception took with which the task failed.
  std::span<const std::source_location> trace() const noexcept;
  TaskOwner* owner() const noexcept { return owner_; }
  TaskState* next_sibling() const noexcept { return next_sibling_; }
  /// The innermost suspended coroutine, nullptr while the task runs or hasn't started.
  const AsyncFrame* leaf() const noexcept {
    if (waiting_ == nullptr || leaf_offset_ == 0) return nullptr;
    return reinterpret_cast<const AsyncFrame*>(static_cast<const char*>(resume_.address()) +
                                               leaf_offset_ * leaf_unit);
  }
  /// What spawned it.
  std::source_location where() const noexcept { return where_; }

  /// When the task was suspended, by the loop's clock as it was read last; or, where an operation takes many
  /// steps before it is done (a long write, to a peer that reads slowly), when the last of them was taken.
  TimePoint suspended_since() const noexcept { return since_; }
  /// The operation that it is suspended at, nullptr while it runs or hasn't started.
  const Operation* waits_at() const noexcept { return waiting_; }
  bool started() const noexcept;
  /// It is in the loop's queue.
  bool queued() const noexcept { return queued_; }
  /// The groups that live in this task, innermost first.
  void add_group(TaskOwner& group);
  void remove_group(TaskOwner& group) noexcept;
  const TaskOwner* first_group() const noexcept;
  static const TaskOwner* next_group(const TaskOwner& group) noexcept { return group.next_group_; }
  TaskExtras* extras() const noexcept {
    return (extras_or_observer_ & has_extras) != 0
               ? reinterpret_cast<TaskExtras*>(extras_or_observer_ & ~(has_extras | has_locals))
               : nullptr;
  }
  /// Throws std::bad_alloc.
  TaskExtras& make_extras();
  /// The place of its locals; none yet, mostly. Throws std::bad_alloc.
  TaskLocals*& make_locals();

  /// Somebody has taken note of the exception: it is not reported when the task goes.
  void mark_retrieved() noexcept { retrieved_ = true; }

  void add_reference() noexcept { ++references_; }
  void release() noexcept {
    if (--references_ == 0) destroy();
  }

  /// The task must not be done. They are notified in the order in which they were added.
  void add_observer(TaskObserver& observer) noexcept;
  /// Nothing when it isn't on the list. However many there are, it takes the same few steps.
  void remove_observer(TaskObserver& observer) noexcept;

  // What leaf operations call.

  /// Queues the task, once, on its loop.
  void schedule() noexcept;
  /// The same for a suspended task and the queue of its loop.
  void schedule_on(RunQueue& queue) noexcept {
    if (queued_) return;
    queued_ = true;
    queue.push(*this);
  }
  /// The same for the running task, which is suspended and doesn't wait for anything.
  void requeue() noexcept {
    queued_ = true;
    current.ready->push(*this);
  }
  /// The task is suspended at `operation`. When it is scheduled its turn is `step`, which has to call
  /// begin_turn(), and go_on() once `coroutine` may be resumed.
  /// Without a frame the coroutine isn't heddle's: another task is suspended, made for it. Returns which one.
  TaskState& suspend(Operation& operation, void (*step)(Runnable&), std::coroutine_handle<> coroutine,
                     AsyncFrame* frame) noexcept {
    if (frame == nullptr) [[unlikely]]
      return suspend_guest(operation, step, coroutine);
    run = step;
    waiting_ = &operation;
    resume_ = coroutine;
    since_ = current.now;
    // The innermost coroutine's frame is where the coroutine is, but for some bytes: mostly for 16.
    const std::ptrdiff_t apart =
        reinterpret_cast<const char*>(frame) - static_cast<const char*>(coroutine.address());
    leaf_offset_ = apart <= 255 * leaf_unit ? static_cast<std::uint8_t>(apart / leaf_unit) : std::uint8_t{0};
    return *this;
  }
  /// What suspend() has done is undone: the operation hasn't waited.
  void resume_at_once() noexcept { waiting_ = nullptr; }

  // Of many tasks most have left the caches when their turn comes: what it needs is fetched ahead. (Inlined
  // always: GCC takes a function that only fetches for one without an effect, and drops its calls.)

  /// Of a suspended task: the coroutine that goes on.
  [[gnu::always_inline]] void fetch_coroutine() const noexcept {
    const auto* const frame = static_cast<const char*>(resume_.address());
    __builtin_prefetch(frame, 1);
    __builtin_prefetch(frame + line_size, 1);
  }
  /// While its turn begins: for the next task's, if that is a `step`, too; and the task after that one.
  [[gnu::always_inline]] void fetch_next(void (*step)(Runnable&)) const noexcept {
    if (next == nullptr || next->run != step) return;
    const auto& task = static_cast<const TaskState&>(*next);
    const auto* const operation = reinterpret_cast<const char*>(task.waiting_);
    task.fetch_coroutine();
    __builtin_prefetch(operation, 1);
    __builtin_prefetch(operation + line_size - 1, 1);
    __builtin_prefetch(task.next, 1);
  }
  /// Its siblings, to whom its end has to write.
  [[gnu::always_inline]] void fetch_siblings() const noexcept {
    __builtin_prefetch(link_, 1);
    if (next_sibling_ != nullptr) __builtin_prefetch(&next_sibling_->link_, 1);
  }

  Operation& waiting_for() const noexcept { return *waiting_; }
  /// The operation has taken a step, and waits for the next.
  void waits_on() noexcept { since_ = current.now; }
  void begin_turn() noexcept {
    queued_ = false;
    current.task = this;
    current.budget = budget_;
  }
  /// The operation has ended while it waited: the next turn goes on, whatever the operation's own turn is.
  void end_wait() noexcept { run = &run_ended; }
  bool is_suspended_at(const Operation& operation) const noexcept { return waiting_ == &operation; }
  void go_on() {
    waiting_ = nullptr;
    resume_.resume();
  }
  /// The loop's, after a turn that has called it.
  static void end_turn() noexcept;
  /// A request to stop is pending: the next co_await has to throw.
  bool cancel_due() const noexcept { return budget_ < 0; }
  /// The Cancelled of all that are pending is about to be thrown.
  void take_cancel() noexcept;
  /// A Cancelled that was thrown is put off to the next co_await; nothing if there was no request behind it.
  void defer_cancel() noexcept;

  /// While a shield is up, requests to stop wait until it is down again. The task must have extras.
  void raise_shield(Shield& shield) noexcept;
  /// Lowers the innermost.
  void lower_shield() noexcept;
  unsigned shields() const noexcept {
    const Shield* const innermost = innermost_shield();
    return innermost != nullptr ? innermost->level() : 0;
  }

 protected:
  TaskState(std::coroutine_handle<> root, TaskOwner& owner, std::source_location spawned_at) noexcept;
  /// Of a guest (see foreign.cpp), which has no coroutine of its own and isn't queued.
  explicit TaskState(TaskOwner& owner) noexcept;
  /// What a task takes over from where it was spawned; the last thing in its making.
  void inherit() noexcept;
  ~TaskState() override {}  // destroy() has done it all

  /// Throws what the task ended with, if that is no value.
  [[noreturn]] void throw_outcome() const;
  /// The value is about to be taken; it is given once. Throws std::logic_error.
  void begin_taking() {
    if (taken_) [[unlikely]]
      throw_value_taken();
    taken_ = true;
  }
  /// Moving it has thrown: it is still there.
  void end_taking() noexcept { taken_ = false; }
  /// Moves the outcome out of the coroutine's promise; an exception by keep_error().
  virtual Outcome settle() noexcept = 0;
  Outcome keep_error(const std::exception_ptr& error) noexcept;
  std::coroutine_handle<> root() const noexcept { return root_; }
  bool is_guest() const noexcept { return root_ == nullptr && !done(); }
  /// After each turn of a guest, which is done when it is suspended no more.
  void end_guest_turn() noexcept;

 private:
  TaskState& suspend_guest(Operation& operation, void (*step)(Runnable&),
                           std::coroutine_handle<> coroutine) noexcept;
  virtual void guest_done() noexcept;
  static void go_to_targets() noexcept;
  friend class FinishedTasks;

  // In the lower bits of extras_or_observer_; set once, and never cleared.
  static constexpr std::uintptr_t has_extras = 1;  // it points to TaskExtras, else to the last observer
  static constexpr std::uintptr_t has_locals = 2;  // of its own or its parent's, in its extras
  static constexpr std::ptrdiff_t leaf_unit = 8;
  static constexpr std::size_t line_size = 64;  // of a cache

  [[noreturn]] static void throw_value_taken();
  void destroy() noexcept;
  void destroy_rare_parts() noexcept;
  void report_unretrieved() noexcept;
  void keep_trace() noexcept;
  TaskObserver* last_observer() const noexcept;
  void set_last_observer(TaskObserver* last) noexcept;
  void schedule_elsewhere() noexcept;
  void inherit_locals(const TaskState& spawner) noexcept;
  static void run_first(Runnable& runnable);
  void end_unstarted() noexcept;
  static void run_ended(Runnable& runnable);
  void finish() noexcept;
  TaskObserver& pop_observer(const TaskObserver& last) noexcept;
  Shield* innermost_shield() const noexcept;
  void update_cancel_due() noexcept;
  TaskState* ask(unsigned shields) noexcept;
  void ask_along(unsigned shields) noexcept;
  void forget_asked() noexcept;
  static void ask_all(TaskState* first, const TaskState* spared = nullptr) noexcept;
  static void forget_all(TaskState* first) noexcept;
  void stop_wait() noexcept;

  /// Whether a request that goes along tasks which join each other has come to this one.
  enum class Asked : unsigned char {
    NO,
    BEFORE,  // from another task that is asked at the same time
    NOW,     // and it goes on from here
  };

  // Two lines of the cache: what a turn needs, and what the beginning and the end do. What suspend() sets
  // lies apart: GCC 12 packs neighbours into a vector register to store them at once, which takes twice as
  // long as to store them one by one. All of it is changed by the loop's thread alone.
  //
  // | member              | meaning                                    | changed by, and when                      |
  // | ------------------- | ------------------------------------------ | ----------------------------------------- |
  // | waiting_            | the operation that it is suspended at      | suspend() sets, go_on() clears            |
  // | resume_             | the coroutine that goes on                 | suspend(), while it isn't done            |
  // | error_              | in its place: what the task failed with    | finish(), if the outcome is ERROR         |
  // | budget_             | of each turn; no_budget: a request to stop | update_cancel_due(), whenever requests_   |
  // |                     | is pending                                 | have changed                              |
  // | queued_             | it is in the loop's queue                  | schedule() sets, begin_turn() clears      |
  // | stopping_           | its operation has answered STOPPED and     | cancel_inside() sets, run_ended() clears  |
  // |                     | will throw: it isn't asked again           |                                           |
  // | asked_              | NO, but within cancel_inside() and         | ask() sets, forget_asked() clears         |
  // |                     | cancel_all()                               |                                           |
  // | outcome_            | PENDING until the task is done             | finish(), once                            |
  // | retrieved_          | somebody has seen the exception            | mark_retrieved(), any time                |
  // | taken_              | somebody has got the value                 | begin_taking(); end_taking() clears                        |
  // | root_               | the outermost coroutine; null: it is done  | finish(), end_unstarted()                 |
  // | owner_              | null: it is done                           | finish()                                  |
  // | extras_or_observer_ | see has_extras and has_locals              | make_extras(), make_locals(), add_ and    |
  // |                     |                                            | remove_observer(), while it isn't done    |
  Operation* waiting_ = nullptr;
  TaskOwner* owner_ = nullptr;
  union {
    std::coroutine_handle<> resume_;
    std::exception_ptr error_;
  };
  std::uint32_t references_ = 2;
  std::uint8_t leaf_offset_ = 0;
  std::int8_t budget_ = task_budget;
  bool queued_ = false;
  Outcome outcome_ : 2 = Outcome::PENDING;
  Asked asked_ : 2 = Asked::NO;
  bool stopping_ : 1 = false;
  bool retrieved_ : 1 = false;
  bool taken_ : 1 = false;
  TimePoint since_;

  StopRequests requests_;
  std::uint32_t spawned_by_;
  std::source_location where_;
  std::coroutine_handle<> root_;
  TaskState* next_sibling_ = nullptr;
  TaskState** link_ = nullptr;  // what points to this task in its owner's list
  std::uintptr_t extras_or_observer_ = 0;
  std::uint64_t id_ = 0;
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
