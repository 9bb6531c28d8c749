// DescriptorTable: events go to those who wait; what nobody waits for is asked of the selector no more.
// SPDX-License-Identifier: MIT
#include "descriptor_table.hpp"

#include <poll.h>

#include <cerrno>
#include <utility>

#include "../../selector/errors.hpp"
#include "callback.hpp"

namespace heddle::detail {

DescriptorTable::DescriptorTable(Scheduler& loop, BaseSelector& selector, bool real_calls,
                                 OtherEvent other) noexcept
    : loop_(loop), selector_(&selector), other_(other), real_calls_(real_calls) {}

inline void DescriptorTable::dispatch(const Ready& event) noexcept {
  if (!event.key.data.holds<FdWatch*>()) [[unlikely]] {
    if (const int error = other_(loop_, event.key.fd); error != 0) other_error_ = error;
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
void DescriptorTable::dispatch(KernelEvents events) {
  const BaseSelector::Registration* const registrations = selector_->registrations();
  RunQueue& queue = loop_.ready_queue();
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
      if (ready.events) dispatch(ready);
      stray = stray || other_error_ != 0;
      continue;
    }
    FdWatch& watch = *registration.key.data.get<FdWatch*>();
    if ((event.events & KernelEvent::readable) != 0) [[likely]]
      notify(watch.sides[0], queue);
    // Mostly a descriptor can be written to, and each edge says so again.
    if (!watch.sides[1].may_try() && (event.events & KernelEvent::writable) != 0) [[unlikely]]
      notify(watch.sides[1], queue);
  }
  if (stray) [[unlikely]] {
    check_other();
    selector_->purge();
  }
}

void DescriptorTable::dispatch(ReadyList entries) {
  for (const Ready& entry : entries) dispatch(entry);
  check_other();
}

void DescriptorTable::check_other() {
  if (const int error = std::exchange(other_error_, 0); error != 0)
    throw_errno(error, "read of the event loop's wake-up descriptor", -1);
}

[[gnu::noinline]] void DescriptorTable::dispatch_level(FdWatch& watch, EventMask events) noexcept {
  if (events.contains(EVENT_READ)) notify_level(watch, Direction::READ);
  if (events.contains(EVENT_WRITE)) notify_level(watch, Direction::WRITE);
}

void DescriptorTable::notify_level(FdWatch& watch, Direction direction) noexcept {
  FdWatch::Side& side = watch.side(direction);
  side.set_ready();
  if (side.callback != nullptr) side.callback->schedule(loop_);
  DescriptorOperation* const first = side.first();
  if (first != nullptr && first->place_.state != DescriptorOperation::State::PAUSED)
    first->notify(DescriptorOperation::State::WOKEN);
  else if (side.callback == nullptr)
    want_quietly(watch, watch.registered & ~event_of(direction));
}

FdWatch* DescriptorTable::find(int fd) const noexcept {
  const SelectorKey* const key = selector_->find(fd);
  return key != nullptr && key->data.holds<FdWatch*>() ? key->data.get<FdWatch*>() : nullptr;
}

FdWatch& DescriptorTable::watch(int fd) {
  if (FdWatch* const found = find(fd)) return *found;
  auto* const made = new FdWatch(*this, fd);
  watches_.push_front(*made);
  return *made;
}

// By a change that is taken back. epoll refuses it where another file has the number (ENOENT).
bool DescriptorTable::is_current(FdWatch& watch) noexcept {
  if (!watch.registered) return true;
  constexpr EventMask both = EVENT_READ | EVENT_WRITE;
  const EventMask events = watch.registered;
  try {
    selector_->modify(watch.fd, events == both ? EVENT_READ : both, &watch);
    selector_->modify(watch.fd, events, &watch);
    return true;
  } catch (const std::exception&) {
    // It is unregistered now, if there was a refusal; without memory for the change it is as it was.
    return selector_->find(watch.fd) != nullptr;
  }
}

// Its owner still has it, and learns at its next operation that the descriptor is gone.
void DescriptorTable::lose(FdWatch& watch) noexcept {
  for (FdWatch::Side& side : watch.sides) abandon_waiters(side, EBADF);
  const Callbacks callbacks = take_callbacks(watch);
  if (selector_->find(watch.fd) != nullptr) selector_->unregister(watch.fd);
  watch.registered = EventMask(0);
  if (watch.owned) {
    IntrusiveList<FdWatch>::remove(watch);
    watch.table = nullptr;
    watch.set_edge(false);
    for (FdWatch::Side& side : watch.sides) side.lose();
  } else {
    forget(watch);
  }
  abandon(callbacks);
}

FdWatch* DescriptorTable::give_way(int fd, bool to_owner, FdWatch* known) noexcept {
  FdWatch* const found = known != nullptr ? known : find(fd);
  if (found == nullptr || found->table != this) return found;
  for (const FdWatch::Side& side : found->sides)  // it waits for both directions
    if (!found->owned && side.first() != nullptr && side.first()->task_ == current.task) return found;
  if (to_owner ? !found->owned && is_current(*found) : is_current(*found)) return found;
  lose(*found);
  return nullptr;
}

bool DescriptorTable::adopt(FdWatch& watch) noexcept {
  if (watch.table != nullptr || find(watch.fd) != nullptr) return false;
  watch.table = this;
  watches_.push_front(watch);
  return true;
}

void DescriptorTable::arm(FdWatch& watch, Direction direction, bool owned) {
  const EventMask event = event_of(direction);
  if (!watch.registered && owned && selector_->capabilities().has(Capability::EDGE_TRIGGER)) {
    selector_->register_(watch.fd, EVENT_READ | EVENT_WRITE, &watch, Trigger::EDGE);
    watch.registered = EVENT_READ | EVENT_WRITE;
    watch.set_edge(true);
  } else if (!watch.registered.contains(event)) {
    // A selector without a kernel object doesn't notice yet that the descriptor is closed.
    if (selector_->descriptor() < 0 && (loop_.system().poll_now(watch.fd, 0) & POLLNVAL) != 0)
      throw_errno(EBADF, "waiting", watch.fd);
    want(watch, watch.registered | event);
  }
  if (owned) watch.owned = true;
}

bool DescriptorTable::expect_drained(FdWatch& watch) noexcept {
  if (watch.table != this || watch.more_may_follow) return false;
  if (!watch.edge()) return true;  // its selector reports again what is left
  return real_calls_ ? second_look_.note(watch) : !readable_now(watch.fd);
}

bool DescriptorTable::readable_now(int fd) const noexcept {
  return (loop_.system().poll_now(fd, POLLIN) & POLLIN) != 0;
}

// `events` of a level-triggered watch, or none of any.
void DescriptorTable::want(FdWatch& watch, EventMask events) {
  if (events == watch.registered) return;
  try {
    if (!events)
      selector_->unregister(watch.fd);
    else if (!watch.registered)
      selector_->register_(watch.fd, events, &watch);
    else
      selector_->modify(watch.fd, events, &watch);
    watch.registered = events;
  } catch (...) {
    // What the selector refuses before it has asked the kernel stays as it was, and may be somebody else's.
    const SelectorKey* const key = selector_->find(watch.fd);
    watch.registered = key != nullptr && find(watch.fd) == &watch ? key->events : EventMask(0);
    throw;
  }
}

// Wanting less fails only if somebody has closed the descriptor, and then there is nothing to take back.
void DescriptorTable::want_quietly(FdWatch& watch, EventMask events) noexcept {
  try {
    want(watch, events);
  } catch (const std::exception&) {
  }
}

EventMask DescriptorTable::needed_by(FdWatch& watch) noexcept {
  EventMask needed(0);
  for (const Direction direction : {Direction::READ, Direction::WRITE}) {
    const FdWatch::Side& side = watch.side(direction);
    if (side.first() != nullptr || side.callback != nullptr) needed |= event_of(direction);
  }
  return needed;
}

void DescriptorTable::disarm_if_idle(FdWatch& watch) noexcept {
  const EventMask needed = needed_by(watch);
  want_quietly(watch, needed);
  if (!needed) forget(watch);
}

void DescriptorTable::forget(FdWatch& watch) noexcept {
  IntrusiveList<FdWatch>::remove(watch);
  delete &watch;
}

void DescriptorTable::abandon_waiters(FdWatch::Side& side, int error) noexcept {
  while (DescriptorOperation* const waiter = side.first()) {
    side.promote();
    waiter->abandon(error);
  }
}

// A callback's end is the user's code, which may close descriptors and remove callbacks: so it comes last,
// when the watch is done with.
DescriptorTable::Callbacks DescriptorTable::take_callbacks(FdWatch& watch) noexcept {
  return {std::exchange(watch.sides[0].callback, nullptr), std::exchange(watch.sides[1].callback, nullptr)};
}

void DescriptorTable::abandon(const Callbacks& callbacks) noexcept {
  for (Callback* const callback : {callbacks.reader, callbacks.writer})
    if (callback != nullptr) callback->abandon();
}

void DescriptorTable::release(FdWatch& watch) noexcept {
  if (watch.table != nullptr) watch.table->loop_.use("the end of a stream or another descriptor's owner");
  for (FdWatch::Side& side : watch.sides) abandon_waiters(side, ECANCELED);
  const Callbacks callbacks = take_callbacks(watch);
  if (watch.table == nullptr) {
    delete &watch;
  } else {
    watch.table->want_quietly(watch, EventMask(0));
    watch.table->forget(watch);
  }
  abandon(callbacks);
}

bool DescriptorTable::fail_closed() noexcept {
  bool any = false;
  for (FdWatch& watch : watches_) {
    if (!watch.registered || (loop_.system().poll_now(watch.fd, 0) & POLLNVAL) == 0) continue;
    any = true;
    selector_->unregister(watch.fd);
    watch.registered = EventMask(0);
    watch.set_edge(false);
    for (FdWatch::Side& side : watch.sides) {
      side.set_ready();  // whoever comes now learns it from the kernel
      abandon_waiters(side, EBADF);
    }
    if (!watch.owned && watch.idle()) forget(watch);
  }
  return any;
}

void DescriptorTable::fail_all(int error) noexcept {
  for (FdWatch& watch : watches_) {
    for (FdWatch::Side& side : watch.sides) abandon_waiters(side, error);
    if (!watch.owned && watch.idle()) disarm_if_idle(watch);
  }
}

bool DescriptorTable::set_callback(int fd, Direction direction, Callback* callback) {
  FdWatch* watch = find(fd);
  if (callback == nullptr) {
    if (watch == nullptr || watch->side(direction).callback == nullptr) return false;
    Callback* const before = std::exchange(watch->side(direction).callback, nullptr);
    if (!watch->owned) disarm_if_idle(*watch);
    before->abandon();  // the user's code: last
    return true;
  }
  callback->set_repeats();
  bool replaced = false;
  try {
    if (fd < 0) throw ValueError("a callback for a negative descriptor");
    if (watch != nullptr) watch = give_way(fd, false, watch);
    if (watch == nullptr) watch = &this->watch(fd);
    if (watch->edge()) {  // a callback is called as long as the descriptor is ready
      selector_->unregister(fd);
      watch->registered = EventMask(0);
      watch->set_edge(false);
      want(*watch, EVENT_READ | EVENT_WRITE);
    }
    arm(*watch, direction, false);
  } catch (...) {
    if (watch != nullptr && !watch->owned) disarm_if_idle(*watch);
    callback->abandon();
    throw;
  }
  if (Callback* const before = std::exchange(watch->side(direction).callback, callback)) {
    before->abandon();
    replaced = true;
  }
  return replaced;
}

void DescriptorTable::notify_unread() noexcept {
  for (FdWatch& watch : watches_) {
    if (loop_.system().unread(watch.fd) == 0) continue;
    if (watch.edge())
      notify(watch.sides[0]);
    else
      notify_level(watch, Direction::READ);
  }
}

bool DescriptorTable::anyone_waits() const noexcept {
  for (const FdWatch& watch : watches_)
    if (!watch.idle()) return true;
  return false;
}

void DescriptorTable::move_to(BaseSelector& next) {
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
  try {
    for (FdWatch& watch : watches_) {
      if (const Wanted wanted = wanted_of(watch); wanted.events)
        next.register_(watch.fd, wanted.events, &watch, wanted.edge ? Trigger::EDGE : Trigger::LEVEL);
      ++moved;
    }
  } catch (...) {
    for (FdWatch& watch : watches_) {
      if (moved-- == 0) break;
      if (wanted_of(watch).events) next.unregister(watch.fd);
    }
    throw;
  }
  for (FdWatch& watch : watches_) {
    const Wanted wanted = wanted_of(watch);
    watch.registered = wanted.events;
    watch.set_edge(wanted.edge);
  }
  selector_ = &next;
}

void DescriptorTable::close() noexcept {
  while (!watches_.empty()) {
    FdWatch& watch = watches_.front();
    const Callbacks callbacks = take_callbacks(watch);
    if (!watch.owned) {
      disarm_if_idle(watch);
    } else {
      want_quietly(watch, EventMask(0));
      IntrusiveList<FdWatch>::remove(watch);
      watch.table = nullptr;
      watch.set_edge(false);
    }
    abandon(callbacks);
  }
}

}  // namespace heddle::detail
