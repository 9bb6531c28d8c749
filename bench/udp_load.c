// The load of datagrams: keeps a number of them in flight; then it says how it went, as JSON.
// SPDX-License-Identifier: MIT
//
// usage: udp_load HOST:PORT [option value]...
//   --size B           of a datagram, in bytes (64)
//   --segments N       so many leave and come as one, cut by the kernel (1)
//   --batch N          so many, or so many times segments, are sent by one call (32)
//   --flight N         batches in flight (4)
//   --seconds S        measure for S seconds, after
//   --warm S           that many (0)
//   --pid P            of the server, whose time on a core is measured too
//   --repeat 1         say so when it is ready, and measure once for each line of stdin
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/udp.h>
#include <sys/time.h>
#include <unistd.h>

#include "load.h"

enum { MOST = 64, ROOM = 65536 };

static long size = 64, segments = 1, batch = 32, flight = 4, pid, repeat;
static double seconds, warm;
static int udp;
static struct mmsghdr out[MOST], in[MOST];
static struct iovec out_pieces[MOST], in_pieces[MOST];
static char message[ROOM], answers[MOST][ROOM];

static void open_socket(void) {
  const int yes = 1, segment = (int)size, room = 1 << 20;
  const struct timeval patience = {0, 100000};
  udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (udp < 0 || connect(udp, (struct sockaddr*)&tcp, sizeof tcp) < 0) peer_die("udp_load: connect");
  setsockopt(udp, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  setsockopt(udp, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  setsockopt(udp, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (segments > 1 && (setsockopt(udp, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment) < 0 ||
                       setsockopt(udp, IPPROTO_UDP, UDP_GRO, &yes, sizeof yes) < 0))
    peer_die("udp_load: segmentation offload");
  for (int i = 0; i < MOST; i++) {
    out_pieces[i] = (struct iovec){message, (size_t)(size * segments)};
    in_pieces[i] = (struct iovec){answers[i], ROOM};
    out[i].msg_hdr.msg_iov = &out_pieces[i];
    in[i].msg_hdr.msg_iov = &in_pieces[i];
    out[i].msg_hdr.msg_iovlen = in[i].msg_hdr.msg_iovlen = 1;
  }
}

static void ask(long count) {
  for (long sent = 0; sent < count;) {
    const int now_sent = sendmmsg(udp, out, (unsigned)(count - sent < MOST ? count - sent : MOST), 0);
    if (now_sent < 0) peer_die("udp_load: sendmmsg");
    sent += now_sent;
  }
}

// How many bytes came, of whole datagrams; 0 when those in flight are lost.
static long take(void) {
  const int count = recvmmsg(udp, in, (unsigned)batch, MSG_WAITFORONE, NULL);
  if (count < 0 && errno == EAGAIN) return 0;
  if (count < 0) peer_die("udp_load: recvmmsg");
  long bytes = 0;
  for (int i = 0; i < count; i++) bytes += in[i].msg_len;
  return bytes;
}

static void measure(void) {
  const long one = size * segments;
  const long long begin = now();
  long long start = 0, cpu = 0;
  long bytes = 0, due = 0, lost = 0;
  ask(batch * flight);
  long in_flight = batch * flight * one;
  for (;;) {
    const long came = take();
    if (came == 0) {
      lost += in_flight / size;
      ask(batch * flight);
      in_flight = batch * flight * one;
      continue;
    }
    bytes += came;
    due += came;
    in_flight -= came;
    const long long time = now();
    if (start == 0 && time >= begin + (long long)(warm * 1e9)) {
      start = time;
      cpu = server_cpu(pid);
      bytes = lost = 0;
    } else if (start != 0 && time >= start + (long long)(seconds * 1e9)) {
      cpu = server_cpu(pid) - cpu;
      const double took = (double)(time - start) / 1e9, datagrams = (double)bytes / (double)size;
      while (take() != 0) {  // what is still on its way
      }
      printf(
          "{\"messages\": %.0f, \"seconds\": %.6f, \"per_second\": %.1f, \"cpu_us\": %.5f, \"lost\": %ld}\n",
          datagrams, took, datagrams / took, (double)cpu / 1e3 / datagrams, lost);
      fflush(stdout);
      return;
    }
    if (due >= one) {
      ask(due / one);
      in_flight += due / one * one;
      due %= one;
    }
  }
}

static int set_option(const char* name, const char* value) {
  const struct {
    const char* name;
    long* value;
  } numbers[] = {{"--size", &size},     {"--segments", &segments}, {"--batch", &batch},
                 {"--flight", &flight}, {"--pid", &pid},           {"--repeat", &repeat}};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    if (strcmp(name, numbers[i].name) == 0) return *numbers[i].value = atol(value), 1;
  if (strcmp(name, "--seconds") == 0) return seconds = atof(value), 1;
  if (strcmp(name, "--warm") == 0) return warm = atof(value), 1;
  return 0;
}

int main(int argc, char** argv) {
  int understood = argc >= 2 && argc % 2 == 0;
  for (int i = 2; understood && i + 1 < argc; i += 2) understood = set_option(argv[i], argv[i + 1]);
  if (!understood || size < 1 || segments < 1 || size * segments > 65507 || batch < 1 || batch > MOST ||
      flight < 1) {
    fprintf(stderr, "udp_load: see the head of bench/udp_load.c for the arguments\n");
    return 2;
  }
  set_address(argv[1]);
  alarm(1800);  // nothing runs for ever
  open_socket();
  if (!repeat) return measure(), 0;
  char line[8];
  printf("ready\n");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin) != NULL) measure();
  return 0;
}
