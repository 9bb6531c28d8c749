// The floor of datagrams: an echo that is nothing but recvmmsg(2), sendmmsg(2) and epoll_wait(2).
// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/udp.h>
#include <signal.h>
#include <sys/epoll.h>

#include "udp_peer.h"

enum { CONTROL = 128 };

static volatile sig_atomic_t stopped;

static void stop(int number) {
  (void)number;
  stopped = 1;
}

static struct mmsghdr messages[UDP_BATCH];
static struct iovec pieces[UDP_BATCH];
static struct sockaddr_in addresses[UDP_BATCH];
static _Alignas(struct cmsghdr) char controls[UDP_BATCH][CONTROL];

static struct cmsghdr* add(struct msghdr* message, int level, int type, const void* value, size_t size) {
  struct cmsghdr* const header = (struct cmsghdr*)((char*)message->msg_control + message->msg_controllen);
  header->cmsg_level = level;
  header->cmsg_type = type;
  header->cmsg_len = CMSG_LEN(size);
  memcpy(CMSG_DATA(header), value, size);
  message->msg_controllen += CMSG_SPACE(size);
  return header;
}

// From what came with a datagram to what goes with its answer.
static void answer_details(struct msghdr* message) {
  int class = 0, segment = 0, has_source = 0;
  struct in_pktinfo source;
  for (struct cmsghdr* header = CMSG_FIRSTHDR(message); header != NULL;
       header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_TOS) class = *CMSG_DATA(header);
    if (header->cmsg_level == IPPROTO_UDP && header->cmsg_type == UDP_GRO)
      memcpy(&segment, CMSG_DATA(header), sizeof segment);
    if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_PKTINFO) {
      memcpy(&source, CMSG_DATA(header), sizeof source);
      has_source = 1;
    }
  }
  message->msg_controllen = 0;
  if (class != 0) add(message, IPPROTO_IP, IP_TOS, &class, sizeof class);
  if (has_source) {
    source.ipi_spec_dst = source.ipi_addr;
    add(message, IPPROTO_IP, IP_PKTINFO, &source, sizeof source);
  }
  const unsigned short size = (unsigned short)segment;
  if (segment != 0 && (size_t)segment < message->msg_iov->iov_len)
    add(message, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof size);
}

static void wait_for(int epoll, int fd, unsigned events) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  if (events != EPOLLIN) epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);
  epoll_wait(epoll, &event, 1, -1);
  event.events = EPOLLIN;
  if (events != EPOLLIN) epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);
}

int main(int argc, char** argv) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = stop;
  sigaction(SIGINT, &action, NULL);

  const struct udp_peer peer = udp_peer_start(argc, argv);
  const int yes = 1, fd = peer.fd, batch = peer.offload ? UDP_OFFLOAD_BATCH : UDP_BATCH;
  const size_t room = peer.offload ? UDP_OFFLOAD_ROOM : UDP_ROOM;
  if (peer.details) {
    setsockopt(fd, IPPROTO_IP, IP_RECVTOS, &yes, sizeof yes);
    setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &yes, sizeof yes);
  }
  if (peer.offload && setsockopt(fd, IPPROTO_UDP, UDP_GRO, &yes, sizeof yes) < 0) peer_die("UDP_GRO");
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  char* const bytes = malloc((size_t)batch * room);
  for (int i = 0; i < batch; i++) {
    pieces[i].iov_base = bytes + (size_t)i * room;
    messages[i].msg_hdr.msg_iov = &pieces[i];
    messages[i].msg_hdr.msg_iovlen = 1;
    messages[i].msg_hdr.msg_name = &addresses[i];
    if (peer.details) messages[i].msg_hdr.msg_control = controls[i];
  }

  int used = batch;
  while (!stopped) {
    for (int i = 0; i < used; i++) {
      pieces[i].iov_len = room;
      messages[i].msg_hdr.msg_namelen = sizeof addresses[i];
      if (peer.details) messages[i].msg_hdr.msg_controllen = CONTROL;
    }
    const int count = recvmmsg(fd, messages, (unsigned)batch, 0, NULL);
    used = count > 0 ? count : 0;
    if (count < 0) {
      if (errno == EAGAIN) wait_for(epoll, fd, EPOLLIN);
      continue;
    }
    for (int i = 0; i < count; i++) {
      pieces[i].iov_len = messages[i].msg_len;
      if (peer.details) answer_details(&messages[i].msg_hdr);
    }
    for (int sent = 0; sent < count && !stopped;) {
      const int now = sendmmsg(fd, messages + sent, (unsigned)(count - sent), 0);
      if (now > 0)
        sent += now;
      else if (errno == EAGAIN)
        wait_for(epoll, fd, EPOLLOUT);
      else
        break;
    }
  }
  return 0;
}
