// A test double of kqueue(2) on epoll(7), written after the man page: two filters a descriptor, EV_CLEAR,
// EV_EOF, filters that go with their descriptor, changes that stop at the first failure. epoll, not poll,
// because it knows edges.
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/event.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <iterator>
#include <map>
#include <vector>

namespace {

struct Filter {
  unsigned short flags = 0;
  void* udata = nullptr;
};

struct Descriptor {
  std::map<short, Filter> filters;
  bool regular = false;
};

using Queue = std::map<int, Descriptor>;  // by watched descriptor
std::map<int, Queue> queues;              // by kqueue descriptor

epoll_event wanted(int fd, const Descriptor& descriptor) {
  epoll_event event{};
  event.data.fd = fd;
  for (const auto& [kind, filter] : descriptor.filters) {
    event.events |= kind == EVFILT_READ ? EPOLLIN | EPOLLRDHUP : EPOLLOUT;
    if ((filter.flags & EV_CLEAR) != 0) event.events |= EPOLLET;
  }
  return event;
}

// Forgets what was closed since: the real one does that as the descriptor is closed, whoever else has the
// file open.
void forget_closed(int kq, Queue& queue) {
  bool lost = false;
  for (auto it = queue.begin(); it != queue.end();) {
    epoll_event event{};
    bool gone = false;
    if (it->second.regular) {
      gone = ::fcntl(it->first, F_GETFD) < 0;
    } else if (::epoll_ctl(kq, EPOLL_CTL_ADD, it->first, &event) == 0) {
      ::epoll_ctl(kq, EPOLL_CTL_DEL, it->first, &event);  // another file has the number
      gone = true;
    } else {
      gone = errno != EEXIST;
    }
    lost = lost || gone;
    it = gone ? queue.erase(it) : std::next(it);
  }
  if (!lost) return;
  // A duplicate may keep a closed file in the epoll set: a fresh one takes its place.
  const int fresh = ::epoll_create1(0);
  for (const auto& [fd, descriptor] : queue) {
    epoll_event event = wanted(fd, descriptor);
    if (!descriptor.regular) ::epoll_ctl(fresh, EPOLL_CTL_ADD, fd, &event);
  }
  const int flags = ::fcntl(kq, F_GETFD);
  ::dup2(fresh, kq);
  ::fcntl(kq, F_SETFD, flags);
  ::close(fresh);
}

int apply(int kq, Queue& queue, const struct kevent& change) {
  const int fd = static_cast<int>(change.ident);
  if (::fcntl(fd, F_GETFD) < 0) return EBADF;
  const auto known = queue.find(fd);
  const bool present = known != queue.end() && known->second.filters.contains(change.filter);
  if ((change.flags & EV_DELETE) != 0) {
    if (!present) return ENOENT;
    known->second.filters.erase(change.filter);
    epoll_event event = wanted(fd, known->second);
    const bool last = known->second.filters.empty();
    if (!known->second.regular) ::epoll_ctl(kq, last ? EPOLL_CTL_DEL : EPOLL_CTL_MOD, fd, &event);
    if (last) queue.erase(known);
    return 0;
  }
  Descriptor changed;
  if (known != queue.end()) changed = known->second;
  changed.filters[change.filter] = {change.flags, change.udata};
  struct stat status{};
  ::fstat(fd, &status);
  changed.regular = S_ISREG(status.st_mode);
  epoll_event event = wanted(fd, changed);
  if (!changed.regular &&
      ::epoll_ctl(kq, known == queue.end() ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event) != 0) {
    return errno;
  }
  queue[fd] = changed;
  return 0;
}

class Answer {
 public:
  Answer(struct kevent* events, int room) : events_(events), room_(room) {}
  void add(int fd, short kind, const Filter& filter, bool eof) {
    if (count_ == room_) return;
    events_[count_++] = {static_cast<std::uintptr_t>(fd),
                         kind,
                         static_cast<unsigned short>(eof ? EV_EOF : 0),
                         0,
                         0,
                         filter.udata};
  }
  [[nodiscard]] int count() const { return count_; }

 private:
  struct kevent* events_;
  int room_;
  int count_ = 0;
};

}  // namespace

int kqueue() {
  const int kq = ::epoll_create1(0);
  if (kq >= 0) queues[kq].clear();
  return kq;
}

int kevent(int kq, const struct kevent* changes, int change_count, struct kevent* events, int event_count,
           const struct timespec* timeout) {
  Queue& queue = queues[kq];
  forget_closed(kq, queue);
  for (int i = 0; i < change_count; ++i) {
    const int error = apply(kq, queue, changes[i]);
    if (error == 0) continue;
    errno = error;
    return -1;
  }
  if (event_count == 0) return 0;

  Answer answer(events, event_count);
  for (const auto& [fd, descriptor] : queue) {
    if (!descriptor.regular) continue;
    struct stat status{};
    ::fstat(fd, &status);
    for (const auto& [kind, filter] : descriptor.filters) {
      if (kind == EVFILT_WRITE || ::lseek(fd, 0, SEEK_CUR) < status.st_size)
        answer.add(fd, kind, filter, false);
    }
  }
  const timespec at_once{};
  std::vector<epoll_event> ready(static_cast<std::size_t>(event_count));
  const int count =
      ::epoll_pwait2(kq, ready.data(), event_count, answer.count() > 0 ? &at_once : timeout, nullptr);
  if (count < 0) return -1;
  ready.resize(static_cast<std::size_t>(count));
  for (const epoll_event& event : ready) {
    const int fd = event.data.fd;
    const unsigned got = event.events;
    const bool over = (got & (EPOLLHUP | EPOLLERR)) != 0;
    for (const auto& [kind, filter] : queue[fd].filters) {
      const bool eof = over || (kind == EVFILT_READ && (got & EPOLLRDHUP) != 0);
      if (eof || (got & (kind == EVFILT_READ ? EPOLLIN : EPOLLOUT)) != 0) answer.add(fd, kind, filter, eof);
    }
  }
  return answer.count();
}
