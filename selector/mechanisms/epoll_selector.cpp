// EpollSelector: readiness from Linux epoll(7). One epoll_ctl a change, one epoll_wait a wait.
// SPDX-License-Identifier: MIT
#include "epoll_selector.hpp"

#if defined(__linux__)

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <ctime>
#include <utility>

#include "last_error.hpp"

namespace heddle {

using namespace detail;
namespace {

// The user data is descriptor and generation, by which an event of an earlier registration of the number is
// recognised.
epoll_event wanted(const SelectorKey& key, std::uint32_t generation, Trigger trigger) noexcept {
  epoll_event event{};
  if (key.events.contains(EVENT_READ)) event.events |= EPOLLIN;
  if (key.events.contains(EVENT_WRITE)) event.events |= EPOLLOUT;
  if (trigger == Trigger::EDGE) event.events |= EPOLLRDHUP | EPOLLPRI | EPOLLET;
  event.data.u64 = static_cast<std::uint64_t>(generation) << 32 | static_cast<std::uint32_t>(key.fd);
  return event;
}

// The EventMask for the lower five bits of epoll's events, as a table: EPOLLIN (1) is READ and EPOLLOUT (4)
// is WRITE, an error (8) or a hang-up (16) is both, and urgent data (EPOLLPRI, 2) is READ.
constexpr std::array<std::uint8_t, 32> EVENTS = [] {
  std::array<std::uint8_t, 32> table{};
  for (unsigned got = 0; got < table.size(); ++got) {
    const bool over = (got & (EPOLLERR | EPOLLHUP)) != 0;
    table[got] =
        static_cast<std::uint8_t>(over ? 3 : (got & EPOLLIN) | (got & EPOLLPRI) >> 1 | (got & EPOLLOUT) >> 1);
  }
  return table;
}();
static_assert(EPOLLIN == 1 && EPOLLPRI == 2 && EPOLLOUT == 4 && EPOLLERR == 8 && EPOLLHUP == 16);

static_assert(KernelEvent::readable == EPOLLIN && KernelEvent::writable == EPOLLOUT);
static_assert(sizeof(KernelEvent) == sizeof(epoll_event) &&
              offsetof(KernelEvent, events) == offsetof(epoll_event, events) &&
              offsetof(KernelEvent, tag) == offsetof(epoll_event, data));

EventMask events_of(std::uint32_t got) noexcept { return EventMask(EVENTS[got & 31]); }
bool is_hangup(std::uint32_t got) noexcept {
  return (got & (EPOLLERR | EPOLLHUP | EPOLLRDHUP | EPOLLPRI)) != 0;
}

}  // namespace

EpollSelector::EpollSelector() : BaseSelector("epoll_ctl", "epoll_wait") {
  events_.reserve(1);  // epoll_wait wants room for one event even when nothing is registered
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) throw_errno(last_error(), "epoll_create1", -1);
}

EpollSelector::EpollSelector(EpollSelector&& other) noexcept
    : BaseSelector(std::move(other)),
      epoll_(std::exchange(other.epoll_, -1)),
      has_pwait2_(other.has_pwait2_),
      lost_(other.lost_),
      events_(std::move(other.events_)) {}

EpollSelector::~EpollSelector() { close(); }

int EpollSelector::fileno() const {
  if (closed()) throw SelectorClosed("epoll selector is closed");
  return epoll_;
}

int EpollSelector::do_register(const SelectorKey& key, std::uint32_t generation, Trigger trigger) {
  events_.reserve(size() + 1);
  epoll_event event = wanted(key, generation, trigger);
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, key.fd, &event) == 0) return 0;
  if (errno != EEXIST) return last_error();
  // This descriptor was closed while registered and a duplicate kept the file open, which has been duplicated
  // back to the same number: the set still has it.
  return ::epoll_ctl(epoll_, EPOLL_CTL_MOD, key.fd, &event) == 0 ? 0 : last_error();
}

int EpollSelector::do_modify(const SelectorKey& key, EventMask, std::uint32_t generation, Trigger trigger) {
  epoll_event event = wanted(key, generation, trigger);
  if (::epoll_ctl(epoll_, EPOLL_CTL_MOD, key.fd, &event) == 0) return 0;
  const int error = last_error();
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, key.fd, &event);
  return error;
}

void EpollSelector::do_unregister(const SelectorKey& key, std::uint32_t) noexcept {
  // Fails if the descriptor was closed (EBADF), or its number belongs to another file now (ENOENT): then the
  // kernel has removed it already.
  epoll_event event{};
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, key.fd, &event);
}

int EpollSelector::do_wait(Timeout timeout) {
  const int count = wait_once(timeout, room());
  if (count < 0) [[unlikely]]
    return failed_wait();
  Reports reports(*this);
  const KernelEvent* const end = events_.data() + count;
  for (const KernelEvent* event = events_.data(); event != end; ++event)
    reports.add(event->fd(), event->generation(), events_of(event->events), is_hangup(event->events));
  return 0;
}

int EpollSelector::do_wait_raw(Timeout timeout, int most, KernelEvents& events) {
  const int count = wait_once(timeout, std::min(room(), most));
  if (count < 0) [[unlikely]]
    return failed_wait();
  events = KernelEvents(events_.data(), static_cast<std::size_t>(count));
  return 0;
}

void EpollSelector::do_read(const KernelEvent& event, Ready& ready) const noexcept {
  ready.events = events_of(event.events);
  ready.hangup = is_hangup(event.events);
}

int EpollSelector::wait_once(Timeout timeout, int most) noexcept {
  auto* const events = reinterpret_cast<epoll_event*>(events_.data());
  return timeout.forever() || timeout.only_polls()
             ? ::epoll_wait(epoll_, events, most, timeout.forever() ? -1 : 0)
             : wait_until(timeout, most);
}

// That the descriptor is none, or no epoll set, can only be because somebody else has closed it.
int EpollSelector::failed_wait() noexcept {
  const int error = last_error();
  if (error == EBADF || error == EINVAL) lost_ = true;
  return error;
}

int EpollSelector::wait_until(Timeout timeout, int most) noexcept {
  auto* const events = reinterpret_cast<epoll_event*>(events_.data());
#if defined(__GLIBC__) && (__GLIBC__ > 2 || (__GLIBC__ == 2 && __GLIBC_MINOR__ >= 35))
  const auto ns = timeout.duration().count();
  if (ns % 1'000'000 != 0 && has_pwait2_) {
    const timespec exactly{static_cast<std::time_t>(ns / 1'000'000'000),
                           static_cast<long>(ns % 1'000'000'000)};
    const int count = ::epoll_pwait2(epoll_, events, most, &exactly, nullptr);
    if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return count;
    has_pwait2_ = false;  // before Linux 5.11, in a sandbox, or under valgrind
  }
#endif
  return ::epoll_wait(epoll_, events, most, timeout.milliseconds());
}

// A file whose registered descriptor was closed while a duplicate keeps it open stays in the epoll set, and
// no call can remove it without that descriptor. So a new set is made of what is registered, and takes over
// the old one's number.
int EpollSelector::do_purge() {
  const int fresh = ::epoll_create1(EPOLL_CLOEXEC);
  if (fresh < 0) return last_error();
  for (int fd = next(-1); fd >= 0; fd = next(fd)) {
    epoll_event event = wanted(*find(fd), generation(fd), trigger(fd));
    // If the old set doesn't have the descriptor, its number belongs to another file by now, which was never
    // registered.
    if (::epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event) != 0) continue;
    if (::epoll_ctl(fresh, EPOLL_CTL_ADD, fd, &event) == 0) continue;
    const int error = last_error();
    ::close(fresh);
    return error;
  }
  const int error = ::dup3(fresh, epoll_, O_CLOEXEC) < 0 ? last_error() : 0;
  ::close(fresh);
  return error;
}

void EpollSelector::do_close() noexcept {
  const int set = std::exchange(epoll_, -1);
  epoll_event event{};
  if (set >= 0 && (!lost_ || ::epoll_wait(set, &event, 1, 0) >= 0)) ::close(set);
}

}  // namespace heddle

#endif
