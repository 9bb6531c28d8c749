// What the servers of datagrams share: the command line, and the socket. C, so that both can include it.
// SPDX-License-Identifier: MIT
#pragma once

#include "peer.h"

enum {
  UDP_BATCH = 64,          // datagrams of a call
  UDP_ROOM = 2048,         // for each
  UDP_OFFLOAD_BATCH = 16,  // of those that the kernel has put together
  UDP_OFFLOAD_ROOM = 65536
};

struct udp_peer {
  int fd;
  int details;  // congestion bits and addresses, received and sent
  int offload;  // and segments
};

// --port P, and --mode plain, details or offload. The socket is bound, and does not block, when this returns.
static inline struct udp_peer udp_peer_start(int argc, char** argv) {
  struct udp_peer peer = {-1, 0, 0};
  struct sockaddr_in address;
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (int i = 1; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--port") == 0) address.sin_port = htons((unsigned short)atoi(argv[i + 1]));
    if (strcmp(argv[i], "--mode") == 0) {
      peer.offload = strcmp(argv[i + 1], "offload") == 0;
      peer.details = peer.offload || strcmp(argv[i + 1], "details") == 0;
    }
  }
  const int room = 1 << 20;
  socklen_t length = sizeof address;
  peer.fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  setsockopt(peer.fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  setsockopt(peer.fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  if (bind(peer.fd, (struct sockaddr*)&address, length) < 0) peer_die("bind");
  if (getsockname(peer.fd, (struct sockaddr*)&address, &length) < 0) peer_die("getsockname");
  printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
  fflush(stdout);
  return peer;
}
