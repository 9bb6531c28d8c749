// KernelFault: each call of a selector, and the kernel's, which the linker calls __real_NAME.
// SPDX-License-Identifier: MIT
#include "kernel_faults.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/types.h>

#include <cerrno>

// A function and a struct of one name, as in the real one.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#include "../../support/doubles/sys/event.h"
#pragma GCC diagnostic pop

struct io_uring;
struct io_uring_cqe;
struct io_uring_params;
struct __kernel_timespec;
struct dvpoll;

namespace heddle::test {

namespace {

KernelFault* standing = nullptr;

}  // namespace

KernelFault::KernelFault(std::string_view call, int error, int n, int times)
    : call_(call), error_(error), first_(n), times_(times) {
  standing = this;
}

KernelFault::~KernelFault() { standing = nullptr; }

bool KernelFault::fails(std::string_view call, int& error) {
  if (standing == nullptr || standing->call_ != call) return false;
  const int index = standing->made_++;
  error = standing->error_;
  return index >= standing->first_ && index - standing->first_ < standing->times_;
}

}  // namespace heddle::test

using heddle::test::KernelFault;

#define HEDDLE_FAULTY(result, name, parameters, arguments)                 \
  extern "C" result __real_##name parameters;                              \
  extern "C" result __wrap_##name parameters;                              \
  extern "C" result __wrap_##name parameters {                             \
    int error = 0;                                                         \
    if (!KernelFault::fails(#name, error)) return __real_##name arguments; \
    errno = error;                                                         \
    return -1;                                                             \
  }
// liburing returns the errno.
#define HEDDLE_FAULTY_RING(name, parameters, arguments)                         \
  extern "C" int __real_##name parameters;                                      \
  extern "C" int __wrap_##name parameters;                                      \
  extern "C" int __wrap_##name parameters {                                     \
    int error = 0;                                                              \
    return KernelFault::fails(#name, error) ? -error : __real_##name arguments; \
  }

HEDDLE_FAULTY(int, epoll_create1, (int flags), (flags))
HEDDLE_FAULTY(int, epoll_ctl, (int set, int operation, int fd, epoll_event* event),
              (set, operation, fd, event))
HEDDLE_FAULTY(int, epoll_wait, (int set, epoll_event* events, int room, int ms), (set, events, room, ms))
HEDDLE_FAULTY(int, epoll_pwait2,
              (int set, epoll_event* events, int room, const timespec* time, const sigset_t* mask),
              (set, events, room, time, mask))
HEDDLE_FAULTY(int, dup3, (int from, int to, int flags), (from, to, flags))
HEDDLE_FAULTY(int, poll, (pollfd * fds, nfds_t count, int ms), (fds, count, ms))
HEDDLE_FAULTY(int, ppoll, (pollfd * fds, nfds_t count, const timespec* time, const sigset_t* mask),
              (fds, count, time, mask))
HEDDLE_FAULTY(int, pselect,
              (int count, fd_set* reads, fd_set* writes, fd_set* others, const timespec* time,
               const sigset_t* mask),
              (count, reads, writes, others, time, mask))
HEDDLE_FAULTY_RING(io_uring_queue_init_params, (unsigned entries, io_uring* ring, io_uring_params* params),
                   (entries, ring, params))
HEDDLE_FAULTY_RING(io_uring_submit, (io_uring * ring), (ring))
HEDDLE_FAULTY_RING(io_uring_get_events, (io_uring * ring), (ring))
HEDDLE_FAULTY_RING(io_uring_wait_cqes,
                   (io_uring * ring, io_uring_cqe** entry, unsigned count, __kernel_timespec* time,
                    sigset_t* mask),
                   (ring, entry, count, time, mask))
HEDDLE_FAULTY(int, kqueue, (), ())
HEDDLE_FAULTY(int, kevent,
              (int queue, const struct kevent* changes, int change_count, struct kevent* events,
               int event_count, const timespec* time),
              (queue, changes, change_count, events, event_count, time))
HEDDLE_FAULTY(int, devpoll_double_open, (const char* path, int flags), (path, flags))
HEDDLE_FAULTY(ssize_t, devpoll_double_write, (int device, const void* bytes, size_t size),
              (device, bytes, size))
HEDDLE_FAULTY(int, devpoll_double_ioctl, (int device, unsigned long request, dvpoll* argument),
              (device, request, argument))
