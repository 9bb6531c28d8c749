// The floor of streams: --mode sink receives and forgets, --mode source sends, each as much as the socket
// takes.
// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "peer.h"

enum { BLOCK = 65536 };

static volatile sig_atomic_t stopped;
static char block[BLOCK];

static void stop(int number) {
  (void)number;
  stopped = 1;
}

// Less than a block: nothing more is there for now.
static ssize_t receive_all(int fd) {
  ssize_t count;
  while ((count = recv(fd, block, BLOCK, 0)) == BLOCK) {
  }
  return count;
}

// Block by block, each to its end.
static ssize_t send_all(int fd, size_t* sent) {
  ssize_t count;
  while ((count = send(fd, block + *sent, BLOCK - *sent, MSG_NOSIGNAL)) > 0)
    if ((*sent += (size_t)count) == BLOCK) *sent = 0;
  return count;
}

int main(int argc, char** argv) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = stop;
  sigaction(SIGINT, &action, NULL);

  const struct peer peer = peer_start(argc, argv);
  const int sends = strcmp(peer.mode, "source") == 0, listener = peer.listener;
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[64];
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
  static size_t sent[1024];  // by descriptor

  while (!stopped) {
    int ready = epoll_wait(epoll, events, 64, -1);
    for (int i = 0; i < ready; i++) {
      int fd = events[i].data.fd;
      if (fd == listener) {
        int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client < 0 || client >= 1024) continue;
        event = (struct epoll_event){.events = (sends ? EPOLLOUT : EPOLLIN) | EPOLLET, .data.fd = client};
        sent[client] = 0;
        epoll_ctl(epoll, EPOLL_CTL_ADD, client, &event);
        continue;
      }
      if ((sends ? send_all(fd, &sent[fd]) : receive_all(fd)) == 0) close(fd);
    }
  }
  return 0;
}
