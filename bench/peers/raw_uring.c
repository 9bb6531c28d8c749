// The mark for a completion path: raw io_uring with multishot accept, multishot recv and provided buffers. No
// error handling worth the name; a short send is not continued.
// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <errno.h>
#include <liburing.h>
#include <signal.h>
#include <unistd.h>

#include "peer.h"

enum { BUFFERS = 4096, SIZE = 16384, GROUP = 0, ENTRIES = 4096 };
enum kind { ACCEPT = 1, RECV, SEND };  // user_data: descriptor | buffer << 32 | kind << 48

static volatile sig_atomic_t stopped;
static struct io_uring ring;

static void stop(int number) {
  (void)number;
  stopped = 1;
}

static unsigned long long tag(enum kind kind, int fd, unsigned buffer) {
  return (unsigned long long)kind << 48 | (unsigned long long)buffer << 32 | (unsigned)fd;
}

static struct io_uring_sqe* next_sqe(void) {
  struct io_uring_sqe* sqe;
  while ((sqe = io_uring_get_sqe(&ring)) == NULL) io_uring_submit(&ring);
  return sqe;
}

static void receive(int fd) {
  struct io_uring_sqe* sqe = next_sqe();
  io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = GROUP;
  sqe->user_data = tag(RECV, fd, 0);
}

static void accept_more(int listener) {
  struct io_uring_sqe* sqe = next_sqe();
  io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
  sqe->user_data = tag(ACCEPT, listener, 0);
}

int main(int argc, char** argv) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = stop;
  sigaction(SIGINT, &action, NULL);

  struct io_uring_params params;
  memset(&params, 0, sizeof params);
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE;
  params.cq_entries = 65536;
  int error = io_uring_queue_init_params(ENTRIES, &ring, &params);
  if (error < 0) errno = -error, peer_die("io_uring_queue_init");

  char* const memory = aligned_alloc(4096, (size_t)BUFFERS * SIZE);
  struct io_uring_buf_ring* const buffers = aligned_alloc(4096, BUFFERS * sizeof(struct io_uring_buf));
  struct io_uring_buf_reg registration = {
      .ring_addr = (unsigned long)buffers, .ring_entries = BUFFERS, .bgid = GROUP};
  error = io_uring_register_buf_ring(&ring, &registration, 0);
  if (error < 0) errno = -error, peer_die("io_uring_register_buf_ring");
  io_uring_buf_ring_init(buffers);
  const int mask = io_uring_buf_ring_mask(BUFFERS);
  for (unsigned i = 0; i < BUFFERS; i++)
    io_uring_buf_ring_add(buffers, memory + (size_t)i * SIZE, SIZE, (unsigned short)i, mask, (int)i);
  io_uring_buf_ring_advance(buffers, BUFFERS);

  const struct peer peer = peer_start(argc, argv);
  const int yes = 1;
  accept_more(peer.listener);
  while (!stopped) {
    if (io_uring_submit_and_wait(&ring, 1) < 0 && !stopped) continue;
    struct io_uring_cqe* cqe;
    unsigned head, seen = 0;
    int given_back = 0;
    io_uring_for_each_cqe(&ring, head, cqe) {
      seen++;
      const enum kind kind = (enum kind)(cqe->user_data >> 48);
      const int fd = (int)(unsigned)cqe->user_data, more = cqe->flags & IORING_CQE_F_MORE;
      const unsigned buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
      if (kind == ACCEPT) {
        if (cqe->res >= 0) {
          if (!peer.is_unix) setsockopt(cqe->res, IPPROTO_TCP, 1 /* TCP_NODELAY */, &yes, sizeof yes);
          receive(cqe->res);
        }
        if (!more) accept_more(fd);
      } else if (kind == RECV && cqe->res > 0) {
        struct io_uring_sqe* sqe = next_sqe();
        io_uring_prep_send(sqe, fd, memory + (size_t)buffer * SIZE, (size_t)cqe->res, MSG_NOSIGNAL);
        sqe->user_data = tag(SEND, fd, buffer);
        if (!more) receive(fd);
      } else if (kind == RECV && cqe->res == -ENOBUFS) {
        receive(fd);
      } else if (kind == RECV) {
        close(fd);
      } else {
        const unsigned used = (unsigned)(cqe->user_data >> 32) & 0xffff;
        io_uring_buf_ring_add(buffers, memory + (size_t)used * SIZE, SIZE, (unsigned short)used, mask,
                              given_back++);
      }
    }
    io_uring_buf_ring_advance(buffers, given_back);
    io_uring_cq_advance(&ring, seen);
  }
  return 0;
}
