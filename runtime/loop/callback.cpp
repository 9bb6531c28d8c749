// Callback: how a loop comes to call a function, and how that is called off.
// SPDX-License-Identifier: MIT
#include "callback.hpp"

#include <exception>

#include "../core/report.hpp"
#include "../core/scheduler.hpp"

namespace heddle {

using namespace detail;

namespace {

void report_failure(Scheduler& loop) noexcept {
  loop.report(Report{"an exception left a callback", std::current_exception(), {}, {}, 0, {}});
}

}  // namespace

Callback::Callback() noexcept : Runnable(&run_callback), Timer(&fire_callback) {}

Callback::~Callback() = default;

void Callback::schedule(Scheduler& loop) noexcept {
  loop_ = &loop;
  if (queued_) return;
  queued_ = true;
  if (repeats_) add_reference();  // it may be removed before its turn comes
  loop.schedule(*this);
}

void Callback::schedule_at(Scheduler& loop, TimePoint when) {
  loop_ = &loop;
  when_ = when;
  loop.timers().add(*this, when);
}

void Callback::cancel() noexcept {
  cancelled_ = true;
  if (loop_ != nullptr && (armed() || queued_)) loop_->use("CallHandle.cancel()");
  if (!armed()) return;
  loop_->timers().remove(*this);
  release();
}

void Callback::run_callback(Runnable& runnable) noexcept {
  auto& self = static_cast<Callback&>(runnable);
  self.queued_ = false;
  Scheduler::leave_tasks();
  if (!self.cancelled_ && !self.loop_->closed()) try {
      self.call();
    } catch (...) {
      report_failure(*self.loop_);
    }
  self.release();
}

void Callback::fire_callback(Timer& timer) noexcept {
  auto& self = static_cast<Callback&>(timer);
  self.schedule(*self.loop_);
}

PostedCall::~PostedCall() = default;

// It learns only here which loop runs it.
void PostedCall::run_posted(Runnable& runnable) noexcept {
  auto& self = static_cast<PostedCall&>(runnable);
  Scheduler::leave_tasks();
  Scheduler& loop = *current.loop;
  if (!loop.closed()) try {
      self.call();
    } catch (...) {
      report_failure(loop);
    }
  delete &self;
}

void CallHandle::cancel() noexcept {
  if (callback_ != nullptr) callback_->cancel();
}

}  // namespace heddle
