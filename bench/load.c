// The load: connections that send messages and wait for the answers; then it says how it went, as JSON.
// SPDX-License-Identifier: MIT
//
// usage: load ADDRESS [option value]...      ADDRESS is HOST:PORT or the path of a Unix socket
//   --connections N    that send (1)
//   --idle N           more, which are only opened (0)
//   --size B           of a message, in bytes (64)
//   --depth D          messages in flight on each connection (1)
//   --apart 1          each message by a call of its own; else those that are due go together
//   --messages M       stop after M messages, or
//   --seconds S        measure for S seconds, after
//   --warm S           that many (0)
//   --pid P            of the server, whose time on a core is measured too
//   --churn 1          one message a connection, then another connection
//   --repeat 1         open the connections, say so, and measure once for each line of stdin
//   --hold 1           open the connections, say so, and wait for the end of stdin
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "load.h"

enum { MOST = 65536, BUCKETS = 64 * 64 };

struct connection {
  int fd;
  size_t received;       // of the message that is answered now
  unsigned answered;     // messages, modulo depth
  long long sent_at[1];  // of depth
};

static long connections = 1, idle, size = 64, depth = 1, apart, messages, pid, churn, repeat, hold;
static double seconds, warm;

static char message[MOST], answer[MOST];
static long buckets[BUCKETS];  // of round trips, 64 to each power of two nanoseconds

static void record(long long ns) {
  int power = 63 - __builtin_clzll((unsigned long long)ns | 64);
  buckets[(power - 6) * 64 + (int)((ns >> (power - 6)) & 63)]++;
}

static double percentile(double share) {
  long total = 0, seen = 0;
  for (int i = 0; i < BUCKETS; i++) total += buckets[i];
  for (int i = 0; i < BUCKETS; i++)
    if ((seen += buckets[i]) > (long)(share * (double)total))
      return (double)((64LL + i % 64) << (i / 64)) / 1e3;
  return 0;
}

// Blocks. Loopback sources take turns, else a churn would run out of ports, which rest for a minute.
static int open_connection(void) {
  static unsigned opened;
  const int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
  if (fd < 0) peer_die("load: socket");
  if (!is_unix) {
    struct sockaddr_in source = {.sin_family = AF_INET};
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + opened++ % 200);
    setsockopt(fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &yes, sizeof yes);
    if ((ntohl(tcp.sin_addr.s_addr) >> 24) == 127 && bind(fd, (struct sockaddr*)&source, sizeof source) < 0)
      peer_die("load: bind");
  }
  if (connect(fd, is_unix ? (struct sockaddr*)&local : (struct sockaddr*)&tcp,
              is_unix ? sizeof local : sizeof tcp) < 0)
    peer_die("load: connect");
  if (!is_unix) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  return fd;
}

static void send_bytes(int fd, size_t left) {
  while (left > 0) {
    const ssize_t count = send(fd, message, left, MSG_NOSIGNAL);
    if (count < 0) peer_die("load: send");
    left -= (size_t)count;
  }
}

// The next `count` messages. Their times go round in sent_at.
static void ask(struct connection* connection, long count) {
  const long long sent_at = now();
  for (long i = 0; i < count; i++)
    connection->sent_at[(connection->answered + (unsigned long)(depth - count + i)) % (unsigned long)depth] =
        sent_at;
  for (long i = 0; apart && i < count; i++) send_bytes(connection->fd, (size_t)size);
  if (!apart) send_bytes(connection->fd, (size_t)(count * size));
}

static void exchange_one(int fd) {
  send_bytes(fd, (size_t)size);
  for (size_t received = 0; received < (size_t)size;) {
    const ssize_t count = recv(fd, answer, (size_t)size - received, 0);
    if (count <= 0) peer_die("load: the server closed");
    received += (size_t)count;
  }
}

// Takes what came; returns how many messages that completed.
static long take(struct connection* connection, long long* when) {
  const ssize_t count = recv(connection->fd, answer, sizeof answer, MSG_DONTWAIT);
  if (count < 0 && errno == EAGAIN) return 0;
  if (count <= 0) peer_die("load: the server closed");
  connection->received += (size_t)count;
  const long done = (long)connection->received / size;
  connection->received %= (size_t)size;
  *when = now();
  for (long i = 0; i < done; i++) {
    record(*when - connection->sent_at[connection->answered]);
    connection->answered = (connection->answered + 1) % (unsigned)depth;
  }
  return done;
}

struct window {  // what is measured
  long long start, end, cpu;
  long count;
};

// True when it is over. `count` is what was done so far.
static int is_over(struct window* window, long long start, long long time, long count) {
  if (window->start == 0) {
    if (time < start + (long long)(warm * 1e9)) return 0;
    memset(buckets, 0, sizeof buckets);
    *window = (struct window){time, 0, server_cpu(pid), count};
    return 0;
  }
  if (messages != 0 ? count < messages : time < window->start + (long long)(seconds * 1e9)) return 0;
  window->end = time;
  window->count = count - window->count;
  window->cpu = server_cpu(pid) - window->cpu;
  return 1;
}

static struct connection** all;  // that send
static int epoll;

// By edges: epoll puts a level-triggered descriptor that it has reported in front of those that are ready
// since, so the load would serve some connections out of turn and measure that. A receive takes all that can
// be there.
static void open_all(void) {
  epoll = epoll_create1(EPOLL_CLOEXEC);
  all = calloc((size_t)connections, sizeof *all);
  for (long i = 0; i < idle; i++) exchange_one(open_connection());
  for (long i = 0; i < connections; i++) {
    all[i] = calloc(1, sizeof **all + (size_t)depth * sizeof all[i]->sent_at[0]);
    all[i]->fd = open_connection();
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = all[i]};
    epoll_ctl(epoll, EPOLL_CTL_ADD, all[i]->fd, &event);
    exchange_one(all[i]->fd);  // shows that the server has accepted
  }
}

// Returns when all that was asked is answered.
static void run_messages(struct window* window) {
  static struct epoll_event events[1024];
  long asked = 0, answered = 0;
  int over = 0;
  const long long start = now();
  is_over(window, start, start, 0);
  for (long i = 0; i < connections; i++, asked += depth) ask(all[i], depth);
  while (!over || answered < asked) {
    const int ready = epoll_wait(epoll, events, 1024, -1);
    long long time = 0;
    for (int i = 0; i < ready; i++) {
      struct connection* const connection = events[i].data.ptr;
      const long done = take(connection, &time);
      answered += done;
      long next = over ? 0 : done;
      if (messages != 0 && asked + next > messages) next = messages - asked;
      asked += next;
      if (next > 0) ask(connection, next);
    }
    if (!over && time != 0) over = is_over(window, start, time, answered);
  }
}

static void start_visit(struct connection* connection) {
  connection->received = 0;
  connection->sent_at[0] = now();
  connection->fd = open_connection();
  send_bytes(connection->fd, (size_t)size);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
  epoll_ctl(epoll, EPOLL_CTL_ADD, connection->fd, &event);
}

// We end first, so that the ports that rest for a minute are ours: there are 200 addresses of them.
static void run_churn(struct window* window) {
  epoll = epoll_create1(EPOLL_CLOEXEC);
  struct connection* const visitors = calloc((size_t)connections, sizeof *visitors);
  static struct epoll_event events[1024];
  long visits = 0;
  const long long start = now();
  is_over(window, start, start, 0);
  for (long i = 0; i < connections; i++) start_visit(&visitors[i]);
  for (;;) {
    const int ready = epoll_wait(epoll, events, 1024, -1);
    for (int i = 0; i < ready; i++) {
      struct connection* const connection = events[i].data.ptr;
      const ssize_t count = recv(connection->fd, answer, sizeof answer, MSG_DONTWAIT);
      if (count > 0 && (connection->received += (size_t)count) == (size_t)size)
        shutdown(connection->fd, SHUT_WR);
      if (count > 0 || (count < 0 && errno == EAGAIN)) continue;
      if (connection->received != (size_t)size) peer_die("load: the server closed");
      close(connection->fd);
      const long long time = now();
      record(time - connection->sent_at[0]);
      if (is_over(window, start, time, ++visits)) return;
      start_visit(connection);
    }
  }
}

static void say_ready(void) {
  printf("ready\n");
  fflush(stdout);
}

static void run_hold(void) {
  for (long i = 0; i < connections; i++) exchange_one(open_connection());
  say_ready();
  while (read(STDIN_FILENO, answer, sizeof answer) > 0) {
  }
}

static void report(const struct window* window) {
  const double took = (double)(window->end - window->start) / 1e9;
  printf(
      "{\"messages\": %ld, \"seconds\": %.6f, \"per_second\": %.1f, \"cpu_us\": %.4f, \"p50_us\": %.2f, "
      "\"p99_us\": %.2f, \"p999_us\": %.2f}\n",
      window->count, took, (double)window->count / took, (double)window->cpu / 1e3 / (double)window->count,
      percentile(.5), percentile(.99), percentile(.999));
  fflush(stdout);
}

static int set_option(const char* name, const char* value) {
  const struct {
    const char* name;
    long* value;
  } numbers[] = {{"--connections", &connections},
                 {"--idle", &idle},
                 {"--size", &size},
                 {"--depth", &depth},
                 {"--apart", &apart},
                 {"--messages", &messages},
                 {"--pid", &pid},
                 {"--churn", &churn},
                 {"--repeat", &repeat},
                 {"--hold", &hold}};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    if (strcmp(name, numbers[i].name) == 0) return *numbers[i].value = atol(value), 1;
  if (strcmp(name, "--seconds") == 0) return seconds = atof(value), 1;
  if (strcmp(name, "--warm") == 0) return warm = atof(value), 1;
  return 0;
}

int main(int argc, char** argv) {
  int understood = argc >= 2 && argc % 2 == 0;
  for (int i = 2; understood && i + 1 < argc; i += 2) understood = set_option(argv[i], argv[i + 1]);
  if (!understood || connections < 1 || size < 1 || depth < 1 || size * depth > MOST ||
      (messages != 0 && messages < connections * depth)) {
    fprintf(stderr, "load: see the head of bench/load.c for the arguments\n");
    return 2;
  }
  set_address(argv[1]);
  peer_raise_limit();
  memset(message, 'x', sizeof message);
  alarm(1800);  // nothing runs for ever

  if (hold) return run_hold(), 0;
  struct window window = {0, 0, 0, 0};
  if (churn) return run_churn(&window), report(&window), 0;
  open_all();
  if (repeat) {
    char line[8];
    say_ready();
    while (fgets(line, sizeof line, stdin) != NULL) {
      window = (struct window){0, 0, 0, 0};
      run_messages(&window);
      report(&window);
    }
    return 0;
  }
  run_messages(&window);
  report(&window);
  return 0;
}
