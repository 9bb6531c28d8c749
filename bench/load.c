// The load: CONNECTIONS connections, one message in flight on each, MESSAGES in all; then it says how it
// went, as JSON.
// SPDX-License-Identifier: MIT
//
// usage: load HOST PORT CONNECTIONS MESSAGES [SIZE]
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "peer.h"

enum { MOST = 65536, BUCKETS = 64 * 64 };

struct connection {
  int fd;
  size_t received;  // of the message that is in flight
  long long sent_at;
};

static char message[MOST], answer[MOST];
static long buckets[BUCKETS];  // of round trips, 64 to each power of two nanoseconds

static long long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int bucket(long long ns) {
  int power = 63 - __builtin_clzll((unsigned long long)ns | 64);
  return (power - 6) * 64 + (int)((ns >> (power - 6)) & 63);
}

static double percentile(double share, long total) {
  long wanted = (long)(share * (double)total), seen = 0;
  for (int i = 0; i < BUCKETS; i++)
    if ((seen += buckets[i]) > wanted) return (double)((64LL + i % 64) << (i / 64)) / 1e3;
  return 0;
}

static void ask(struct connection* connection, size_t size) {
  connection->received = 0;
  connection->sent_at = now();
  size_t sent = 0;
  while (sent < size) {
    ssize_t count = send(connection->fd, message + sent, size - sent, MSG_NOSIGNAL);
    if (count < 0) peer_die("load: send");
    sent += (size_t)count;
  }
}

int main(int argc, char** argv) {
  if (argc < 5) {
    fprintf(stderr, "usage: load HOST PORT CONNECTIONS MESSAGES [SIZE]\n");
    return 2;
  }
  struct sockaddr_in address;
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  if (inet_pton(AF_INET, argv[1], &address.sin_addr) != 1) peer_die("load: host");
  address.sin_port = htons((unsigned short)atoi(argv[2]));
  const long connections = atol(argv[3]), messages = atol(argv[4]);
  const size_t size = argc > 5 ? (size_t)atol(argv[5]) : 64;
  if (connections < 1 || messages < connections || size < 1 || size > MOST) peer_die("load: arguments");
  memset(message, 'x', sizeof message);
  alarm(600);  // nothing runs for ever

  struct connection* all = calloc((size_t)connections, sizeof *all);
  int epoll = epoll_create1(EPOLL_CLOEXEC), yes = 1;
  for (long i = 0; i < connections; i++) {
    all[i].fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(all[i].fd, (struct sockaddr*)&address, sizeof address) < 0) peer_die("load: connect");
    setsockopt(all[i].fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
    epoll_ctl(epoll, EPOLL_CTL_ADD, all[i].fd, &event);
    ask(&all[i], size);  // the first round trip only shows that the server has accepted
    size_t received = 0;
    while (received < size) {
      ssize_t count = recv(all[i].fd, answer, size - received, 0);
      if (count <= 0) peer_die("load: the server closed");
      received += (size_t)count;
    }
  }

  struct epoll_event events[1024];
  long asked = 0, answered = 0;
  const long long start = now();
  for (; asked < connections; asked++) ask(&all[asked], size);
  while (answered < messages) {
    int ready = epoll_wait(epoll, events, 1024, -1);
    for (int i = 0; i < ready; i++) {
      struct connection* connection = events[i].data.ptr;
      ssize_t count = recv(connection->fd, answer, size - connection->received, 0);
      if (count <= 0) peer_die("load: the server closed");
      connection->received += (size_t)count;
      if (connection->received < size) continue;
      buckets[bucket(now() - connection->sent_at)]++;
      answered++;
      if (asked < messages) asked++, ask(connection, size);
    }
  }
  const double seconds = (double)(now() - start) / 1e9;
  printf("{\"messages\": %ld, \"seconds\": %.6f, \"p50_us\": %.2f, \"p99_us\": %.2f, \"p999_us\": %.2f}\n",
         messages, seconds, percentile(.5, messages), percentile(.99, messages), percentile(.999, messages));
  return 0;
}
