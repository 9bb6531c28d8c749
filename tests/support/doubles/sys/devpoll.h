/* A test double of <sys/devpoll.h>: the calls that the file which includes it makes on /dev/poll go to the
 * double. */
/* SPDX-License-Identifier: MIT */
#pragma once
#pragma GCC system_header

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DP_POLL 0xD001

struct dvpoll {
  struct pollfd* dp_fds;
  nfds_t dp_nfds;
  int dp_timeout;
};

extern "C" {
int devpoll_double_open(const char* path, int flags);
ssize_t devpoll_double_write(int device, const void* bytes, size_t size);
int devpoll_double_ioctl(int device, unsigned long request, struct dvpoll* argument);
}

#define open devpoll_double_open
#define write devpoll_double_write
#define ioctl devpoll_double_ioctl
