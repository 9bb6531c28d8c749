// UringSelector: readiness from io_uring(7) through liburing. Built without liburing, the constructor throws.
// SPDX-License-Identifier: MIT
#include "uring_selector.hpp"

#include <cerrno>
#include <utility>

#if defined(HEDDLE_HAVE_URING)

#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <time.h>

#include "poll_events.hpp"

namespace heddle {

using namespace detail;
namespace {

constexpr unsigned SUBMISSIONS = 1024;
constexpr unsigned COMPLETIONS = 8192;
constexpr int MOST_REFUSALS = 4;  // of a submission, before the wait is refused, and repeated in a while
constexpr std::uint64_t NO_POLL = ~std::uint64_t{0};  // user data of cancel requests

std::uint64_t tag(int fd, std::uint32_t arming) noexcept {
  return static_cast<std::uint64_t>(arming) << 32 | static_cast<std::uint32_t>(fd);
}

}  // namespace

// A descriptor and its poll request, which is queued (to be submitted), then armed (in the kernel), and done
// when its completion was seen.
struct UringSelector::Watch {
  std::uint32_t generation;
  std::uint32_t arming;  // the number of the request, in its user data: tells its completion from older ones'
  short events;
  bool registered;
  bool queued;
  bool armed;
  bool multishot;  // see drain()
};

UringSelector::UringSelector() : BaseSelector("io_uring_enter", "io_uring_enter") {
  ring_.reserve(1);
  io_uring_params params{};
  params.flags = IORING_SETUP_CQSIZE;
  params.cq_entries = COMPLETIONS;
  int error = -::io_uring_queue_init_params(SUBMISSIONS, &ring_[0], &params);
  if (error == 0 && (params.features & IORING_FEAT_EXT_ARG) == 0) {
    ::io_uring_queue_exit(&ring_[0]);
    error = ENOSYS;  // before Linux 5.11 a timeout would have to be a request of its own
  }
  if (error == EPERM || error == EACCES || error == ENOSYS) {
    throw_errno(error, "io_uring_setup (denied by the kernel, kernel.io_uring_disabled or a sandbox)", -1);
  }
  if (error != 0) throw_errno(error, "io_uring_setup", -1);
}

UringSelector::UringSelector(UringSelector&& other) noexcept
    : BaseSelector(std::move(other)),
      ring_(std::move(other.ring_)),
      watches_(std::move(other.watches_)),
      queue_(std::move(other.queue_)),
      queued_(std::exchange(other.queued_, 0)),
      lost_(other.lost_),
      nested_(other.nested_) {}

UringSelector::~UringSelector() { close(); }

int UringSelector::descriptor() const noexcept { return closed() ? -1 : ring_[0].ring_fd; }

int UringSelector::fileno() const {
  if (closed()) throw SelectorClosed("io_uring selector is closed");
  nested_ = true;
  if (queued_ > 0) const_cast<UringSelector*>(this)->set_nested(true);
  return ring_[0].ring_fd;
}

void UringSelector::set_nested(bool nested) noexcept {
  nested_ = nested;
  // What has been registered so far. If it fails now, the next select() does it, or throws.
  if (nested && !closed() && is_in_its_process()) arm_queued();
}

int UringSelector::do_register(const SelectorKey& key, std::uint32_t generation, Trigger) {
  // The request is submitted by the next select(), but a closed descriptor is to be refused now.
  if (::fcntl(key.fd, F_GETFD) < 0) return errno;
  const auto index = static_cast<std::size_t>(key.fd);
  watches_.reserve(index + 1);
  queue_.reserve(watches_.capacity());
  Watch& watch = watches_[index];
  watch.generation = generation;
  watch.events = to_poll(key.events);
  watch.registered = true;
  watch.multishot = false;
  queue(key.fd);
  if (!nested_) return 0;
  const int error = arm_queued();
  if (error != 0) abandon(key.fd);
  return error;
}

int UringSelector::do_modify(const SelectorKey& key, EventMask, std::uint32_t generation, Trigger trigger) {
  Watch& watch = watches_[static_cast<std::size_t>(key.fd)];
  watch.registered = false;
  if (!watch.armed) return do_register(key, generation, trigger);
  // One call cancels the old request and submits the new one, whose completion says if the descriptor is
  // closed.
  int error = cancel(key.fd);
  if (error != 0) return error;
  watch.generation = generation;
  watch.events = to_poll(key.events);
  watch.registered = true;
  watch.multishot = false;
  error = push_poll(key.fd);
  if (error == 0) error = submit();
  drain([&](int fd, int result) {
    if (fd == key.fd && result == -EBADF) error = EBADF;
  });
  if (error != 0) abandon(key.fd);
  return error;
}

void UringSelector::do_unregister(const SelectorKey& key, std::uint32_t) noexcept {
  abandon(key.fd);
  drain();
}

// Cancelled at once, because a request in the kernel keeps the file open.
void UringSelector::abandon(int fd) noexcept {
  Watch& watch = watches_[static_cast<std::size_t>(fd)];
  watch.registered = false;
  if (!watch.armed) return;
  if (cancel(fd) == 0)
    submit();
  else
    queue(fd);  // the next select() cancels it
}

int UringSelector::do_wait(Timeout timeout) {
  // A completion from before this call may be out of date, because the user may have read the data since: it
  // only means that the request has to be submitted again. The kernel checks a file when the request is
  // submitted, so what completes from here on is so now.
  drain();
  int error = arm_queued();
  if (error != 0) return error;
  if (timeout.only_polls()) {
    error = -::io_uring_get_events(&ring_[0]);
  } else if (io_uring_cq_ready(&ring_[0]) == 0) {
    // Not in one call with the submission, which would return the number submitted when a signal comes, and
    // no EINTR.
    const auto ns = timeout.duration().count();
    __kernel_timespec until{ns / 1'000'000'000, ns % 1'000'000'000};
    io_uring_cqe* first = nullptr;
    error = -::io_uring_wait_cqes(&ring_[0], &first, 1, timeout.forever() ? nullptr : &until, nullptr);
  }
  if (error == EBADR) rearm_all();
  if (error > 0 && error != ETIME && error != EBADR) return failed(error);
  drain([this](int fd, int result) {
    if (result == -ECANCELED) return;  // the thread that submitted it has ended: submitted again next time
    // An error such as EBADF is reported as ready, as poll(2) does with POLLNVAL.
    const int revents = result < 0 ? POLLNVAL : result;
    const std::uint32_t generation = watches_[static_cast<std::size_t>(fd)].generation;
    report(fd, generation, from_poll(revents), is_hangup(revents));
  });
  return nested_ ? arm_queued() : 0;
}

void UringSelector::do_close() noexcept {
  // The kernel takes the ring down in the background, and until then its requests would keep files open. The
  // child of a fork() leaves them alone: they are its parent's.
  if (is_in_its_process()) {
    int error = 0;
    for (std::size_t i = 0; i < watches_.capacity() && error == 0; ++i) {
      if (watches_[i].armed) error = cancel(static_cast<int>(i));
    }
    if (error == 0) submit();
  }
  if (lost_ && ::io_uring_get_events(&ring_[0]) < 0) ring_[0].ring_fd = -1;
  ::io_uring_queue_exit(&ring_[0]);
}

// That the descriptor is none, or no ring, can only be because somebody else has closed it: then its number
// isn't ours to close.
int UringSelector::failed(int error) noexcept {
  if (error == EBADF || error == EOPNOTSUPP) lost_ = true;
  return error;
}

// Takes all completions off the ring. The requests of those that belong to current registrations are queued
// to be submitted again, and `visit(fd, result)` is called for them.
template <class Visit>
void UringSelector::drain(Visit&& visit) noexcept {
  for (;;) {
    unsigned head = 0;
    unsigned count = 0;
    io_uring_cqe* cqe = nullptr;
    io_uring_for_each_cqe(&ring_[0], head, cqe) {
      ++count;
      const auto fd = static_cast<std::uint32_t>(cqe->user_data);
      if (fd >= watches_.capacity()) continue;
      Watch& watch = watches_[fd];
      if (!watch.armed || watch.arming != cqe->user_data >> 32) continue;
      watch.armed = (cqe->flags & IORING_CQE_F_MORE) != 0;
      if (watch.armed && watch.queued) continue;  // a multishot request that has completed before
      const int result = cqe->res;
      const bool asked = result < 0 || is_hangup(result) || (result & watch.events) != 0;
      if (!asked) {
        // io_uring adds POLLRDHUP to what is asked for: once the peer has shut down its side, a one-shot
        // request for POLLOUT would complete at once, again and again. A multishot one completes once for
        // that, and again when there is room to write.
        watch.multishot = true;
        if (watch.armed) continue;
      }
      queue(static_cast<int>(fd));
      if (asked && watch.registered) visit(static_cast<int>(fd), result);
    }
    io_uring_cq_advance(&ring_[0], count);
    // Completions that the ring had no room for wait in the kernel.
    if (!io_uring_cq_has_overflow(&ring_[0]) || ::io_uring_get_events(&ring_[0]) < 0) return;
  }
}

void UringSelector::drain() noexcept {
  drain([](int, int) {});
}

// Never allocates: the queue has room for each descriptor, and none is in it twice.
void UringSelector::queue(int fd) noexcept {
  Watch& watch = watches_[static_cast<std::size_t>(fd)];
  if (watch.queued) return;
  watch.queued = true;
  queue_[queued_++] = fd;
}

int UringSelector::arm_queued() noexcept {
  // More than once only if submit() has taken completions off the ring: these want to be armed again, too.
  for (int rounds = 0; rounds < MOST_REFUSALS; ++rounds) {
    while (queued_ > 0) {
      const int fd = queue_[--queued_];
      Watch& watch = watches_[static_cast<std::size_t>(fd)];
      watch.queued = false;
      int error = watch.armed ? cancel(fd) : 0;
      if (error == 0 && watch.registered) error = push_poll(fd);
      if (error != 0) {
        queue(fd);
        return error;
      }
    }
    const int error = submit();
    if (error != 0 || queued_ == 0) return error;
  }
  return EAGAIN;
}

// Completions were lost: the kernel had no memory to keep those that the ring had no room for.
void UringSelector::rearm_all() noexcept {
  for (std::size_t i = 0; i < watches_.capacity(); ++i) {
    if (watches_[i].armed) queue(static_cast<int>(i));
  }
}

int UringSelector::push_poll(int fd) noexcept {
  const int error = make_room();
  if (error != 0) return error;
  io_uring_sqe* const sqe = ::io_uring_get_sqe(&ring_[0]);
  Watch& watch = watches_[static_cast<std::size_t>(fd)];
  io_uring_prep_poll_add(sqe, fd, static_cast<unsigned short>(watch.events));
  if (watch.multishot) sqe->len = IORING_POLL_ADD_MULTI;
  io_uring_sqe_set_data64(sqe, tag(fd, ++watch.arming));
  watch.armed = true;
  return 0;
}

// Its completion, should it come still, is nobody's.
int UringSelector::cancel(int fd) noexcept {
  const int error = make_room();
  if (error != 0) return error;
  Watch& watch = watches_[static_cast<std::size_t>(fd)];
  io_uring_sqe* const sqe = ::io_uring_get_sqe(&ring_[0]);
  io_uring_prep_poll_remove(sqe, tag(fd, watch.arming));
  io_uring_sqe_set_data64(sqe, NO_POLL);
  watch.armed = false;
  return 0;
}

int UringSelector::make_room() noexcept { return io_uring_sq_space_left(&ring_[0]) > 0 ? 0 : submit(); }

// Where the kernel is short of memory, or of room for completions, it is asked again: completions are taken
// off the ring first, which may be what it waits for.
int UringSelector::submit() noexcept {
  for (int refusals = 0; io_uring_sq_ready(&ring_[0]) > 0;) {
    const int result = ::io_uring_submit(&ring_[0]);
    if (result > 0 || result == -EINTR) continue;
    const bool passes_by = result == 0 || result == -EAGAIN || result == -EBUSY || result == -ENOMEM;
    if (!passes_by) return failed(-result);
    if (refusals == MOST_REFUSALS) return result == 0 ? EAGAIN : -result;
    drain();
    if (refusals++ == 0) continue;
    const timespec time{0, 1'000'000};
    ::nanosleep(&time, nullptr);
  }
  return 0;
}

}  // namespace heddle

#else

namespace heddle {

struct UringSelector::Watch {};

UringSelector::UringSelector() : BaseSelector("io_uring_enter", "io_uring_enter") {
  throw_errno(ENOSYS, "io_uring_setup (heddle was built without liburing)", -1);
}
UringSelector::UringSelector(UringSelector&& other) noexcept : BaseSelector(std::move(other)) {}
UringSelector::~UringSelector() = default;
int UringSelector::descriptor() const noexcept { return -1; }
int UringSelector::fileno() const { return -1; }
void UringSelector::set_nested(bool) noexcept {}
int UringSelector::do_register(const SelectorKey&, std::uint32_t, Trigger) { return ENOSYS; }
int UringSelector::do_modify(const SelectorKey&, EventMask, std::uint32_t, Trigger) { return ENOSYS; }
void UringSelector::do_unregister(const SelectorKey&, std::uint32_t) noexcept {}
int UringSelector::do_wait(Timeout) { return ENOSYS; }
void UringSelector::do_close() noexcept {}

}  // namespace heddle

#endif
