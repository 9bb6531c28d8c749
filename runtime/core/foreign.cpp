// ForeignAwait, GuestTask: where coroutines of heddle's and of others meet.
// SPDX-License-Identifier: MIT
#include "foreign.hpp"

#include <cstdio>
#include <exception>
#include <new>
#include <utility>

#include "scheduler.hpp"
#include "spawned_task.hpp"
#include "task_state.hpp"

namespace heddle::detail {

/// A task without a coroutine of its own: one that is not heddle's is suspended in it, at one operation after
/// the other as long as it goes on in the guest's turn. A child of the loop, so that it is asked to stop at
/// its end.
class GuestTask final : public TaskState, public FrameAllocated {
 public:
  explicit GuestTask(TaskState& host) : TaskState(host.owner()->loop()) { inherit(); }

  void set_step(void (*step)(Runnable&)) noexcept { step_ = step; }
  /// Who awaits the coroutine.
  void serve(ForeignAwait& wait) noexcept {
    wait_ = &wait;
    wait.guest_ = this;
    wait.end_outside_work();
  }
  void end_service() noexcept { wait_ = nullptr; }

  static void take_step(Runnable& runnable) {
    auto& self = static_cast<GuestTask&>(runnable);
    self.step_(self);
    self.end_guest_turn();
  }

 private:
  ~GuestTask() override = default;
  Outcome settle() noexcept override { return Outcome::VALUE; }
  void guest_done() noexcept override {
    if (wait_ == nullptr) return;
    wait_->guest_ = nullptr;
    wait_->expect_outside_work();
  }

  void (*step_)(Runnable&) = nullptr;
  ForeignAwait* wait_ = nullptr;
};

TaskState::TaskState(TaskOwner& owner) noexcept
    : Runnable(&run_ended),
      owner_(&owner),
      resume_(nullptr),
      references_(1),
      root_(nullptr),
      next_sibling_(owner.children_),
      link_(&owner.children_),
      id_(owner.loop().next_task_id()) {
  spawned_by_ = static_cast<std::uint32_t>(current.task != nullptr ? current.task->id_ : id_);
  owner.children_ = this;
  if (next_sibling_ != nullptr) next_sibling_->link_ = &next_sibling_;
}

// A guest may be used again in its own turn. Another task isn't touched: it runs, or waits for the coroutine.
TaskState& TaskState::suspend_guest(Operation& operation, void (*step)(Runnable&),
                                    std::coroutine_handle<> coroutine) noexcept try {
  GuestTask* guest = nullptr;
  if (is_guest() && waiting_ == nullptr) {
    guest = static_cast<GuestTask*>(this);
  } else {
    guest = new GuestTask(*this);
    if (run == &Operation::turn<ForeignAwait>) {
      auto& wait = static_cast<ForeignAwait&>(*waiting_);
      if (wait.guest_ == nullptr) guest->serve(wait);
    }
  }
  guest->set_step(step);
  guest->run = &GuestTask::take_step;
  guest->waiting_ = &operation;
  guest->resume_ = coroutine;
  guest->since_ = current.now;
  guest->leaf_offset_ = 0;
  operation.task_ = guest;
  return *guest;
} catch (const std::bad_alloc&) {
  std::fputs("heddle: no memory for a coroutine that isn't heddle's to wait in\n", stderr);
  std::terminate();
}

void TaskState::end_guest_turn() noexcept {
  go_to_targets();
  if (waiting_ != nullptr || done()) return;
  guest_done();
  finish();
}

void TaskState::guest_done() noexcept {}

ForeignAwait::Signal ForeignAwait::make_signal(ForeignAwait&) { co_return; }

ForeignAwait::Signal ForeignAwait::begin_wait(std::coroutine_handle<> coroutine, AsyncFrame* frame) {
  begin();
  const Signal signal = make_signal(*this);
  suspend(*this, coroutine, frame);
  return signal;
}

void ForeignAwait::wait_on() noexcept {
  if (guest_ == nullptr && !task_->queued()) expect_outside_work();
}

void ForeignAwait::end_at_once(Signal signal) noexcept {
  signal.coroutine.destroy();
  end_wait();
  task_->resume_at_once();
}

void ForeignAwait::resumed() noexcept {
  Scheduler& loop = task_->owner()->loop();
  if (&loop != current.loop) {
    loop.post(message_);
    return;
  }
  end_wait();
  wake();
}

void ForeignAwait::on_resumed(Runnable& message) noexcept {
  auto& self = static_cast<Message&>(message).wait;
  self.end_wait();
  self.wake();
}

void ForeignAwait::end_wait() noexcept {
  if (guest_ != nullptr) std::exchange(guest_, nullptr)->end_service();
  end_outside_work();
}

void ForeignAwait::expect_outside_work() noexcept {
  task_->owner()->loop().expect_outside_work();
  outside_work_ = true;
}

void ForeignAwait::end_outside_work() noexcept {
  if (std::exchange(outside_work_, false)) task_->owner()->loop().end_outside_work();
}

Operation::Stop ForeignAwait::cancel() noexcept {
  return guest_ != nullptr && !task_->queued() ? Stop::PASS_ON : Stop::TOO_LATE;
}

Operation::Joined ForeignAwait::joined() const noexcept {
  Joined joined;
  joined.task = guest_;
  return joined;
}

WaitInfo ForeignAwait::describe() const noexcept {
  WaitInfo info;
  info.what = "an awaitable that isn't heddle's";
  info.task = guest_;
  return info;
}

}  // namespace heddle::detail
