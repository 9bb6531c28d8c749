// KqueueSelector: readiness from kqueue(2); the two filters of a descriptor become one entry.
// SPDX-License-Identifier: MIT
#include "kqueue_selector.hpp"

#if defined(HEDDLE_HAVE_KQUEUE)

#include <fcntl.h>
#include <sys/types.h>
// After <sys/types.h>, which older BSDs leave to the caller.
#include <sys/event.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <utility>

#include "last_error.hpp"

namespace heddle {

using namespace detail;
namespace {

using Event = struct kevent;

Event filter(int fd, bool write, int flags, std::uint32_t generation) noexcept {
  Event event{};
  event.ident = static_cast<decltype(event.ident)>(fd);
  event.filter = write ? EVFILT_WRITE : EVFILT_READ;
  event.flags = static_cast<decltype(event.flags)>(flags);
  event.udata =
      (decltype(event.udata))(static_cast<std::uintptr_t>(generation));  // a pointer, or an integer on NetBSD
  return event;
}

}  // namespace

struct KqueueSelector::Found {
  std::uint32_t generation;
  std::uint8_t events;  // 0: reported already
  bool hangup;
};

KqueueSelector::KqueueSelector() : BaseSelector("kevent", "kevent") {
  events_.reserve(2);
  kqueue_ = ::kqueue();
  if (kqueue_ < 0) throw_errno(last_error(), "kqueue", -1);
  ::fcntl(kqueue_, F_SETFD, FD_CLOEXEC);
}

KqueueSelector::KqueueSelector(KqueueSelector&& other) noexcept
    : BaseSelector(std::move(other)),
      kqueue_(std::exchange(other.kqueue_, -1)),
      events_(std::move(other.events_)),
      found_(std::move(other.found_)) {}

KqueueSelector::~KqueueSelector() { close(); }

int KqueueSelector::fileno() const {
  if (closed()) throw SelectorClosed("kqueue selector is closed");
  return kqueue_;
}

int KqueueSelector::change(int fd, EventMask wanted, EventMask unwanted, std::uint32_t generation,
                           Trigger trigger) noexcept {
  Event changes[2];
  int count = 0;
  // Additions first: the kernel stops at the first change that fails, and only an addition fails if the
  // descriptor is closed.
  const int add = EV_ADD | (trigger == Trigger::EDGE ? EV_CLEAR : 0);
  if (wanted.contains(EVENT_READ)) changes[count++] = filter(fd, false, add, generation);
  if (wanted.contains(EVENT_WRITE)) changes[count++] = filter(fd, true, add, generation);
  if (unwanted.contains(EVENT_READ)) changes[count++] = filter(fd, false, EV_DELETE, generation);
  if (unwanted.contains(EVENT_WRITE)) changes[count++] = filter(fd, true, EV_DELETE, generation);
  return ::kevent(kqueue_, changes, count, nullptr, 0, nullptr) < 0 ? last_error() : 0;
}

int KqueueSelector::do_register(const SelectorKey& key, std::uint32_t generation, Trigger trigger) {
  events_.reserve(2 * (size() + 1));
  const int error = change(key.fd, key.events, EventMask(), generation, trigger);
  if (error != 0) {
    if (key.events == (EVENT_READ | EVENT_WRITE))
      change(key.fd, EventMask(), EVENT_READ, generation, trigger);
    return error;
  }
  try {
    reserve_slot(key.fd);
    found_.reserve(static_cast<std::size_t>(key.fd) + 1);
  } catch (...) {
    do_unregister(key, generation);
    throw;
  }
  return 0;
}

int KqueueSelector::do_modify(const SelectorKey& key, EventMask before, std::uint32_t generation,
                              Trigger trigger) {
  const int error = change(key.fd, key.events, before & ~key.events, generation, trigger);
  if (error != 0) do_unregister(key, generation);
  return error;
}

void KqueueSelector::do_unregister(const SelectorKey& key, std::uint32_t generation) noexcept {
  // In two calls, whose errors don't matter: the kernel removes filters when their descriptor is closed.
  change(key.fd, EventMask(), EVENT_READ, generation, Trigger::LEVEL);
  change(key.fd, EventMask(), EVENT_WRITE, generation, Trigger::LEVEL);
}

int KqueueSelector::do_wait(Timeout timeout) {
  const auto ns = timeout.forever() || timeout.only_polls() ? 0 : timeout.duration().count();
  // Some kernels refuse more than 10^8 seconds; a wait that ends too early is repeated by BaseSelector.
  const auto seconds = ns / 1'000'000'000;
  const timespec until{static_cast<std::time_t>(seconds < 100'000'000 ? seconds : 100'000'000),
                       static_cast<long>(ns % 1'000'000'000)};
  const int count = ::kevent(kqueue_, nullptr, 0, events_.data(), static_cast<int>(events_.capacity()),
                             timeout.forever() ? nullptr : &until);
  if (count < 0) return last_error();
  const Event* const end = events_.data() + count;
  for (const Event* event = events_.data(); event != end; ++event) {
    const auto fd = static_cast<int>(event->ident);
    const auto generation = static_cast<std::uint32_t>((std::uintptr_t)(event->udata));
    if (find(fd) == nullptr || generation != this->generation(fd)) {
      // A filter that could not be deleted with its registration. It takes none with it: there is one of a
      // kind for a descriptor.
      change(fd, EventMask(), event->filter == EVFILT_WRITE ? EVENT_WRITE : EVENT_READ, generation,
             Trigger::LEVEL);
      continue;
    }
    Found& found = found_[event->ident];
    if (found.generation != generation) found = {generation, 0, false};
    found.events |= event->filter == EVFILT_WRITE ? 2 : 1;
    found.hangup = found.hangup || (event->flags & (EV_EOF | EV_ERROR)) != 0;
  }
  for (const Event* event = events_.data(); event != end; ++event) {
    Found& found = found_[event->ident];
    if (found.events == 0) continue;
    report(static_cast<int>(event->ident), found.generation, EventMask(found.events), found.hangup);
    found = {};
  }
  return 0;
}

void KqueueSelector::do_close() noexcept {
  const int queue = std::exchange(kqueue_, -1);
  // A child of fork() hasn't inherited it, and its number may be another file's there.
  if (queue >= 0 && is_in_its_process()) ::close(queue);
}

}  // namespace heddle

#endif
