// What every C and C++ peer shares: the command line, and the socket that it listens on. C, so that all can
// include it.
// SPDX-License-Identifier: MIT
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

struct peer {
  int listener;
  int is_unix;
  const char* mode;  // what the server does with a message: see bench/README.md
};

static inline void peer_die(const char* what) {
  perror(what);
  exit(1);
}

static inline void peer_raise_limit(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// --port P or --unix PATH, and --mode M. The socket listens, and does not block, when this returns.
// --selector is accepted and, but for heddle, ignored: a peer has the one that it has.
static inline struct peer peer_start(int argc, char** argv) {
  struct peer peer = {-1, 0, "echo"};
  struct sockaddr_in tcp;
  struct sockaddr_un local;
  memset(&tcp, 0, sizeof tcp);
  memset(&local, 0, sizeof local);
  tcp.sin_family = AF_INET;
  tcp.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  local.sun_family = AF_UNIX;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--mode") == 0) peer.mode = argv[i + 1];
    if (strcmp(argv[i], "--port") == 0) tcp.sin_port = htons((unsigned short)atoi(argv[i + 1]));
    if (strcmp(argv[i], "--unix") == 0) {
      peer.is_unix = 1;
      snprintf(local.sun_path, sizeof local.sun_path, "%s", argv[i + 1]);
    }
  }
  peer_raise_limit();
  const int yes = 1;
  socklen_t length = peer.is_unix ? sizeof local : sizeof tcp;
  peer.listener = socket(peer.is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  setsockopt(peer.listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(peer.listener, peer.is_unix ? (struct sockaddr*)&local : (struct sockaddr*)&tcp, length) < 0)
    peer_die("bind");
  if (listen(peer.listener, 4096) < 0) peer_die("listen");
  if (peer.is_unix) {
    printf("listening on %s\n", local.sun_path);
  } else {
    if (getsockname(peer.listener, (struct sockaddr*)&tcp, &length) < 0) peer_die("getsockname");
    printf("listening on 127.0.0.1:%d\n", ntohs(tcp.sin_port));
  }
  fflush(stdout);
  return peer;
}
