// What every peer shares: the command line and the line that says where it listens. C, so that all can
// include it.
// SPDX-License-Identifier: MIT
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

// --host H --port P; --selector is accepted and ignored, a peer has the one that it has.
static inline struct sockaddr_in peer_address(int argc, char** argv) {
  struct sockaddr_in address;
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  for (int i = 1; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--host") == 0) inet_pton(AF_INET, argv[i + 1], &address.sin_addr);
    if (strcmp(argv[i], "--port") == 0) address.sin_port = htons((unsigned short)atoi(argv[i + 1]));
  }
  return address;
}

static inline void peer_die(const char* what) {
  perror(what);
  exit(1);
}

static inline void peer_announce(int listener) {
  struct sockaddr_in address;
  socklen_t length = sizeof address;
  char text[INET_ADDRSTRLEN];
  if (getsockname(listener, (struct sockaddr*)&address, &length) < 0) peer_die("getsockname");
  inet_ntop(AF_INET, &address.sin_addr, text, sizeof text);
  printf("listening on %s:%d (selector epoll)\n", text, ntohs(address.sin_port));
  fflush(stdout);
}
