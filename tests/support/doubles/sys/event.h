/* A test double of <sys/event.h>: as much of kqueue(2) as a selector uses, after its man page. */
/* SPDX-License-Identifier: MIT */
#pragma once
/* To be found as a system header: the struct and the function share a name. */

#include <stdint.h>
#include <time.h>

#define EVFILT_READ (-1)
#define EVFILT_WRITE (-2)

#define EV_ADD 0x0001
#define EV_DELETE 0x0002
#define EV_CLEAR 0x0020
#define EV_ERROR 0x4000
#define EV_EOF 0x8000

struct kevent {
  uintptr_t ident;
  short filter;
  unsigned short flags;
  unsigned int fflags;
  intptr_t data;
  void* udata;
};

extern "C" {
int kqueue(void);
int kevent(int queue, const struct kevent* changes, int change_count, struct kevent* events, int event_count,
           const struct timespec* timeout);
}
