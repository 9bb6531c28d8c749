// The load of bytes: one connection that only sends, or only receives; then it says how it went, as JSON.
// SPDX-License-Identifier: MIT
//
// usage: stream_load ADDRESS [option value]...      ADDRESS is HOST:PORT or the path of a Unix socket
//   --receive 1        what the server sends; else it sends to the server
//   --seconds S        measure for S seconds, after
//   --warm S           that many (0)
//   --pid P            of the server, whose time on a core is measured too
//   --repeat 1         say so when it is connected, and measure once for each line of stdin
#define _GNU_SOURCE
#include <unistd.h>

#include "load.h"

enum { BLOCK = 256 * 1024 };

static long receives, pid, repeat;
static double seconds, warm;
static int stream;
static char block[BLOCK];

static void open_stream(void) {
  stream = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (stream < 0 || connect(stream, is_unix ? (struct sockaddr*)&local : (struct sockaddr*)&tcp,
                            is_unix ? sizeof local : sizeof tcp) < 0)
    peer_die("stream_load: connect");
}

static void measure(void) {
  const long long begin = now();
  long long start = 0, cpu = 0, bytes = 0;
  for (;;) {
    const ssize_t moved = receives ? recv(stream, block, BLOCK, 0) : send(stream, block, BLOCK, MSG_NOSIGNAL);
    if (moved <= 0) peer_die("stream_load: the server closed");
    bytes += moved;
    const long long time = now();
    if (start == 0 && time >= begin + (long long)(warm * 1e9)) {
      start = time;
      cpu = server_cpu(pid);
      bytes = 0;
    } else if (start != 0 && time >= start + (long long)(seconds * 1e9)) {
      cpu = server_cpu(pid) - cpu;
      printf("{\"bytes\": %lld, \"seconds\": %.6f, \"gb_per_second\": %.4f, \"cpu_ms_per_gb\": %.4f}\n",
             bytes, (double)(time - start) / 1e9, (double)bytes / (double)(time - start),
             (double)cpu / 1e6 / ((double)bytes / 1e9));
      fflush(stdout);
      return;
    }
  }
}

static int set_option(const char* name, const char* value) {
  if (strcmp(name, "--receive") == 0) return receives = atol(value), 1;
  if (strcmp(name, "--pid") == 0) return pid = atol(value), 1;
  if (strcmp(name, "--repeat") == 0) return repeat = atol(value), 1;
  if (strcmp(name, "--seconds") == 0) return seconds = atof(value), 1;
  if (strcmp(name, "--warm") == 0) return warm = atof(value), 1;
  return 0;
}

int main(int argc, char** argv) {
  int understood = argc >= 2 && argc % 2 == 0;
  for (int i = 2; understood && i + 1 < argc; i += 2) understood = set_option(argv[i], argv[i + 1]);
  if (!understood) {
    fprintf(stderr, "stream_load: see the head of bench/stream_load.c for the arguments\n");
    return 2;
  }
  set_address(argv[1]);
  alarm(1800);  // nothing runs for ever
  open_stream();
  if (!repeat) return measure(), 0;
  char line[8];
  printf("ready\n");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin) != NULL) measure();
  return 0;
}
