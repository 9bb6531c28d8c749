// A test double of /dev/poll on poll(2), written after the man page: written pollfds are added up until
// POLLREMOVE, DP_POLL waits. An epoll descriptor stands for the device, so that another selector can watch
// it.
// SPDX-License-Identifier: MIT
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <vector>

#include "sys/devpoll.h"
#undef open
#undef write
#undef ioctl

namespace {

using Device = std::map<int, short>;  // what is polled for, by descriptor
std::map<int, Device> devices;

}  // namespace

int devpoll_double_open(const char* path, int flags) {
  if (std::strcmp(path, "/dev/poll") != 0) {
    errno = ENOENT;
    return -1;
  }
  const int device = ::epoll_create1((flags & O_CLOEXEC) != 0 ? EPOLL_CLOEXEC : 0);
  if (device >= 0) devices[device].clear();
  return device;
}

ssize_t devpoll_double_write(int device, const void* bytes, size_t size) {
  std::vector<pollfd> changes(size / sizeof(pollfd));
  std::memcpy(changes.data(), bytes, size);
  Device& polled = devices[device];
  for (const pollfd& change : changes) {
    const bool known = polled.contains(change.fd);
    epoll_event event{};
    event.data.fd = change.fd;
    if (change.events == POLLREMOVE) {
      polled.erase(change.fd);
      ::epoll_ctl(device, EPOLL_CTL_DEL, change.fd, &event);
      continue;
    }
    polled[change.fd] = static_cast<short>(polled[change.fd] | change.events);
    event.events =
        static_cast<unsigned short>(polled[change.fd]);  // POLLIN and EPOLLIN are the same bit, and so on
    ::epoll_ctl(device, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, change.fd, &event);
  }
  return static_cast<ssize_t>(size);
}

int devpoll_double_ioctl(int device, unsigned long request, struct dvpoll* argument) {
  if (request != DP_POLL || argument->dp_fds == nullptr || argument->dp_nfds == 0) {
    errno = EINVAL;
    return -1;
  }
  std::vector<pollfd> polled;
  for (const auto& [fd, events] : devices[device]) polled.push_back({fd, events, 0});
  if (::poll(polled.data(), polled.size(), argument->dp_timeout) < 0) return -1;
  nfds_t count = 0;
  for (const pollfd& one : polled) {
    if (one.revents != 0 && count < argument->dp_nfds) argument->dp_fds[count++] = one;
  }
  return static_cast<int>(count);
}
