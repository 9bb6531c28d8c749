// DescriptorOperation: trying, queueing for readiness, being woken, leaving. The order of the waiters is kept
// here.
// SPDX-License-Identifier: MIT
#include "fd_watch.hpp"

#include <cerrno>
#include <stdexcept>
#include <string>

#include "descriptor_table.hpp"

namespace heddle::detail {

constinit FdWatch FdWatch::none;

namespace {

[[noreturn]] void throw_other_loop(int fd) {
  throw std::logic_error("fd " + std::to_string(fd) + " is in use on another event loop");
}

}  // namespace

void DescriptorOperation::wait() {
  if (done()) {  // the budget is spent
    wake();
    return;
  }
  DescriptorTable& table = *current.descriptors;
  if (watch_ != nullptr && watch_->lost()) {
    finish();
    fail(EBADF);
    wake();
    return;
  }
  bool is_new = watch_ == nullptr;
  if (is_new || !owned()) watch_ = table.give_way(fd_, owned(), watch_);
  if (watch_ == nullptr) {
    watch_ = &table.watch(fd_);
    is_new = true;
  } else if (watch_->table != &table && !table.adopt(*watch_)) {
    throw_other_loop(fd_);
  }
  if (is_new) watch_->side(direction()).set_drained();
  FdWatch::Side& side = watch_->side(direction());
  if (side.first() == nullptr)
    side.enter(*this);
  else
    append(side.others, *this);
  if (!watch_->edge()) [[unlikely]] {
    try {
      table.arm(*watch_, direction(), owned());
    } catch (...) {
      leave();
      throw;
    }
    if (owned()) slot_->watch = watch_;
  }
  place_.state = State::WAITING;
}

// Callbacks have no budget.
bool DescriptorOperation::may_begin_now() {
  static_cast<void>(running_loop());
  current.budget = no_budget;
  return current.task == nullptr;
}

bool DescriptorOperation::may_try_now(const FdWatch& watch, Direction direction) {
  if (watch.lost()) return false;
  // (A watch whose loop has closed may be tried for; who waits for it adopts it.)
  if (watch.table != nullptr && watch.table != current.descriptors) throw_other_loop(watch.fd);
  // While nobody waits a level-triggered selector isn't asked, and what it said once is out of date.
  const FdWatch::Side& side = watch.side(direction);
  if (watch.edge() && !side.ready()) return false;
  if (side.first() == nullptr) return true;
  if (side.front().takes()) return false;
  for (const DescriptorOperation* other = side.others; other != nullptr; other = other->next_)
    if (other->takes()) return false;
  return true;
}

WaitInfo DescriptorOperation::describe() const noexcept {
  WaitInfo info;
  if (!waiting()) return info;
  info.fd = watch_->fd;
  info.events = event_of(direction());
  return info;
}

void FdWatch::Side::promote() noexcept {
  if (others == nullptr) return clear();
  first_ = others;
  DescriptorOperation::remove(others, *others);
}

void DescriptorOperation::append(DescriptorOperation*& list, DescriptorOperation& last) noexcept {
  last.next_ = nullptr;
  if (list == nullptr) {
    list = &last;
  } else {
    last.previous_ = list->previous_;
    last.previous_->next_ = &last;
  }
  list->previous_ = &last;
}

void DescriptorOperation::remove(DescriptorOperation*& list, DescriptorOperation& member) noexcept {
  DescriptorOperation* const last = list->previous_;
  if (&member == list)
    list = member.next_;
  else
    member.previous_->next_ = member.next_;
  if (list == nullptr) return;
  if (&member == last)
    list->previous_ = member.previous_;
  else
    member.next_->previous_ = member.previous_;
}

void DescriptorOperation::leave() noexcept {
  FdWatch::Side& side = watch_->side(direction());
  if (side.first() != this)
    remove(side.others, *this);
  else
    side.promote();
  leaving(false);
  if (DescriptorOperation* const next = side.first()) {
    // A level-triggered selector reports again what is left; an edge that was not used up is passed on here.
    if (watch_->edge() && side.ready()) next->notify(State::PASSED_ON);
  } else if (!watch_->owned) {
    watch_->table->disarm_if_idle(*watch_);
  }
}

Operation::Stop DescriptorOperation::cancel() noexcept {
  if (done() && !place_.abandoned) return Stop::TOO_LATE;
  if (!done()) leave();
  fail(ECANCELED);  // so that the result alone shows that there is something to throw
  place_.state = State::STOPPED;
  return Stop::STOPPED;
}

void DescriptorOperation::leaving(bool) noexcept {}

void DescriptorOperation::unpause() noexcept {
  place_.state = State::WAITING;
  if (!watch_->edge()) try {
      watch_->table->arm(*watch_, direction(), owned());
    } catch (const std::exception&) {
      // The operation that is woken now learns it from its own call.
    }
  notify(State::WOKEN);
}

void DescriptorOperation::abandon(int error) noexcept {
  leaving(true);
  fd_ = watch_->fd;
  finish();
  place_.abandoned = error == ECANCELED && !watch_->reset;
  fail(error);
  if (task_->is_suspended_at(*this)) task_->end_wait();
  wake();
}

}  // namespace heddle::detail
