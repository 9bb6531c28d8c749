// Readiness as a result: single directions, and both at once.
// SPDX-License-Identifier: MIT
#include "ready.hpp"

#include <poll.h>

#include <cerrno>
#include <string>

#include "../../selector/errors.hpp"
#include "descriptor_table.hpp"

namespace heddle::detail {

bool ReadinessOperation::start(std::coroutine_handle<> coroutine, AsyncFrame* frame) {
  find_watch();
  return DescriptorOperation::start(*this, coroutine, frame);
}

// advance() again, for the usual case: an event has come to the only one who waits.
void ReadinessOperation::step(Runnable& runnable) {
  auto& task = static_cast<TaskState&>(runnable);
  task.fetch_next(&step);
  task.begin_turn();
  auto& self = static_cast<ReadinessOperation&>(task.waiting_for());
  const bool usual = self.woken_by_event() && self.watch().side(self.direction()).others == nullptr;
  if (usual) [[likely]] {
    self.watch().side(self.direction()).clear();
    self.finish();
  } else if (!self.advance()) {
    return;
  }
  self.task().go_on();
}

bool ReadinessOperation::advance() noexcept { return DescriptorOperation::advance(*this); }

// A descriptor of somebody else's may be watched already, for another task or for its owner.
void ReadinessOperation::find_watch() noexcept {
  if (owned() || current.descriptors == nullptr) return;
  FdWatch* const found = current.descriptors->find(fd());
  own_.watch = found != nullptr ? found : &FdWatch::none;
}

bool ReadinessOperation::attempt(int fd, FdWatch* watch) noexcept {
  // An event that has just come is the answer. What is only remembered from one may have been used up.
  if (woken_by_event()) return true;
  // Whether a foreign descriptor can be waited for at all is the selector's to say, when it is registered.
  if (!owned() && watch == nullptr) return false;
  if (fd < 0) {  // its owner has closed it before it was awaited
    error_ = EBADF;
    return true;
  }
  const short events = direction() == Direction::READ ? POLLIN : POLLOUT;
  const int found = current.system->poll_now(fd, events);
  if (found < 0 || (found & POLLNVAL) != 0)
    error_ = found < 0 ? -found : EBADF;
  else if (found == 0)
    drained(direction(), watch);
  return found != 0;
}

void ReadinessOperation::fail(int error) noexcept { error_ = error; }

void ReadinessOperation::raise() const {
  check_cancelled();
  throw_errno(error_, direction() == Direction::READ ? "readable" : "writable", fd());
}

ReadyOperation::ReadyOperation(int fd, EventMask events)
    : wanted_(events), read_(fd, Direction::READ), write_(fd, Direction::WRITE) {
  if (!events || !(EVENT_READ | EVENT_WRITE).contains(events))
    throw ValueError("ready() on fd " + std::to_string(fd) +
                     ": the mask must be EVENT_READ, EVENT_WRITE or both");
}

bool ReadyOperation::await_ready() {
  begin();
  fired_ = EventMask(0);
  stopped_ = false;
  for (ReadinessOperation* const side : {&read_, &write_})
    if (wants(*side)) {
      side->error_ = 0;
      side->find_watch();
      ReadinessOperation::try_first(*side);
    }
  return collect() && finished();
}

void ReadyOperation::wait() {
  if (fired_) {  // the budget is spent
    wake();
    return;
  }
  try {
    for (ReadinessOperation* const side : {&read_, &write_})
      if (wants(*side)) {
        side->task_ = task_;
        side->wait();
      }
  } catch (...) {
    withdraw();
    throw;
  }
}

bool ReadyOperation::advance() noexcept {
  for (ReadinessOperation* const side : {&read_, &write_})
    if (wants(*side)) side->advance();
  if (!stopped_ && !collect()) return false;
  withdraw();
  return true;
}

Operation::Stop ReadyOperation::cancel() noexcept {
  if (collect()) return Stop::TOO_LATE;
  withdraw();
  stopped_ = true;
  return Stop::STOPPED;
}

WaitInfo ReadyOperation::describe() const noexcept {
  WaitInfo info;
  info.fd = read_.fd();
  info.events = wanted_;
  return info;
}

bool ReadyOperation::wants(const ReadinessOperation& side) const noexcept {
  return wanted_.contains(event_of(side.direction()));
}

bool ReadyOperation::collect() noexcept {
  for (const ReadinessOperation* const side : {&read_, &write_})
    if (side->done()) fired_ |= event_of(side->direction());
  return static_cast<bool>(fired_);
}

void ReadyOperation::withdraw() noexcept {
  for (ReadinessOperation* const side : {&read_, &write_})
    if (side->waiting()) side->cancel();
}

EventMask ReadyOperation::await_resume() const {
  if (stopped_) throw_cancelled();
  if (fired_.contains(EVENT_READ)) read_.check();
  if (fired_.contains(EVENT_WRITE)) write_.check();
  return fired_;
}

}  // namespace heddle::detail
