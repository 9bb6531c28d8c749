// Echo over libevent's events (not bufferevents, which cost more): one persistent read event a connection.
// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <event2/event.h>
#include <event2/event_struct.h>
#include <signal.h>
#include <unistd.h>

#include "peer.h"

static char buffer[65536];
static struct event_base* base;
static struct peer peer;

static void on_readable(evutil_socket_t fd, short what, void* self) {
  (void)what;
  ssize_t count = recv(fd, buffer, sizeof buffer, 0);
  if (count <= 0 || send(fd, buffer, (size_t)count, MSG_NOSIGNAL) < 0) {
    event_del(self);
    free(self);
    close(fd);
  }
}

static void on_connection(evutil_socket_t listener, short what, void* unused) {
  (void)what, (void)unused;
  int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), yes = 1;
  if (client < 0) return;
  if (!peer.is_unix) setsockopt(client, IPPROTO_TCP, 1 /* TCP_NODELAY */, &yes, sizeof yes);
  struct event* event = malloc(sizeof *event);
  event_assign(event, base, client, EV_READ | EV_PERSIST, on_readable, event);
  event_add(event, NULL);
}

static void on_signal(evutil_socket_t number, short what, void* unused) {
  (void)number, (void)what, (void)unused;
  event_base_loopbreak(base);
}

int main(int argc, char** argv) {
  base = event_base_new();
  peer = peer_start(argc, argv);
  struct event accepts, interrupt;
  event_assign(&accepts, base, peer.listener, EV_READ | EV_PERSIST, on_connection, NULL);
  event_assign(&interrupt, base, SIGINT, EV_SIGNAL | EV_PERSIST, on_signal, NULL);
  event_add(&accepts, NULL);
  event_add(&interrupt, NULL);
  event_base_dispatch(base);
  return 0;
}
