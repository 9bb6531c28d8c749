// UringQueue: the calls of liburing, and what their results mean.
// SPDX-License-Identifier: MIT
#if defined(HEDDLE_HAVE_URING)

#include "uring_queue.hpp"

#include <time.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "../errors.hpp"
#include "../under_tsan.hpp"
#include "wait_coalescing.hpp"

namespace heddle::detail {

namespace {

constexpr unsigned submissions = 1024;
constexpr unsigned completions = 8192;
constexpr int most_refusals = 4;  // of a submission, before it is left for the next time

}  // namespace

// Completions never interrupt the thread. Deferred ones, which the kernel knows since Linux 6.1, are worked
// on when this thread waits for them; cooperative ones whenever it returns from a system call.
UringQueue::UringQueue(bool one_thread) {
  constexpr unsigned always = IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_TASKRUN_FLAG;
  io_uring_params params{};
  int error = EINVAL;
  for (const unsigned flags :
       {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_COOP_TASKRUN}) {
    if (flags != IORING_SETUP_COOP_TASKRUN && !one_thread) continue;
    params = {};
    params.flags = always | flags;
    params.cq_entries = completions;
    error = -::io_uring_queue_init_params(submissions, &ring_, &params);
    if (error != EINVAL) break;
  }
  if (error == 0 && (params.features & IORING_FEAT_EXT_ARG) == 0) {
    ::io_uring_queue_exit(&ring_);
    error = ENOSYS;  // before Linux 5.11 a timeout would have to be a request of its own
  }
  if (error == EPERM || error == EACCES || error == ENOSYS)
    throw_errno(error, "io_uring_setup (denied by the kernel, kernel.io_uring_disabled or a sandbox)", -1);
  if (error != 0) throw_errno(error, "io_uring_setup", -1);
}

void UringQueue::close() noexcept {
  if (std::exchange(closed_, true)) return;
  if (lost_ && ::io_uring_get_events(&ring_) < 0) ring_.ring_fd = -1;
  ::io_uring_queue_exit(&ring_);
}

io_uring_sqe* UringQueue::next() noexcept {
  if (io_uring_sq_space_left(&ring_) == 0 && submit() != 0) return nullptr;
  return ::io_uring_get_sqe(&ring_);
}

// That the descriptor is none, or no ring, can only be because somebody else has closed it: then its number
// isn't ours to close.
int UringQueue::outcome(int result) noexcept {
  const int error = result < 0 ? -result : 0;
  if (error == EBADF || error == EOPNOTSUPP) lost_ = true;
  return error;
}

int UringQueue::submit() noexcept {
  for (int refusals = 0; io_uring_sq_ready(&ring_) > 0;) {
    ++enters_;
    const int result = ::io_uring_submit(&ring_);
    if (result > 0 || result == -EINTR) continue;
    const bool passes_by = result == 0 || result == -EAGAIN || result == -EBUSY || result == -ENOMEM;
    if (!passes_by) return outcome(result);
    if (refusals++ == most_refusals) return result == 0 ? EAGAIN : -result;
    const timespec time{0, 1'000'000};
    if (refusals > 1) ::nanosleep(&time, nullptr);
  }
  return 0;
}

// Completions that are ready, but not on the ring: those the ring had no room for, and those that wait for
// this thread to enter the kernel.
bool UringQueue::must_collect() noexcept {
  constexpr unsigned waiting = IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN;
  return (__atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED) & waiting) != 0;
}

int UringQueue::wait(Timeout timeout, unsigned share) noexcept {
  // liburing goes on with a wait that a signal has ended after something was submitted, unless it has a
  // timeout.
  if (under_tsan && timeout.forever()) timeout = std::chrono::hours(1);
  const auto ns = timeout.duration().count();
  __kernel_timespec until{ns / 1'000'000'000, ns % 1'000'000'000};
  io_uring_cqe* first = nullptr;
  ++enters_;
  return ::io_uring_submit_and_wait_timeout(&ring_, &first, share, timeout.forever() ? nullptr : &until,
                                            nullptr);
}

int UringQueue::enter(Timeout timeout, unsigned share) noexcept {
  int result = 0;
  if (timeout.only_polls() || ready() > 0) {
    if (!has_unsubmitted() && !must_collect()) return 0;
    ++enters_;
    result = ::io_uring_submit_and_get_events(&ring_);
  } else {
    constexpr Duration delay = WaitCoalescing::most_delay;
    const bool coalesces = share > 1 && (timeout.forever() || timeout.duration() > delay);
    if (coalesces) result = wait(delay, share);
    if (!coalesces || (ready() == 0 && (result >= 0 || result == -ETIME)))
      result = wait(coalesces && !timeout.forever() ? Timeout(timeout.duration() - delay) : timeout, 1);
    if (under_tsan && timeout.forever() && (result >= 0 || result == -ETIME) && ready() == 0) return EINTR;
  }
  // What wasn't submitted now is so the next time; a full completion queue is emptied first.
  if (result >= 0 || result == -ETIME || result == -EBUSY || result == -EAGAIN || result == -ENOMEM) return 0;
  return outcome(result);
}

}  // namespace heddle::detail

#endif
