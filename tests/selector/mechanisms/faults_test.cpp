// Each call that a mechanism makes, failing with each errno that its man page lists: the selector throws
// that, or tries again; its table stays right, it works on afterwards, and leaves nothing watched or open.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <initializer_list>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include "../contract.hpp"
#include "kernel_faults.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

struct Row {
  const char* kind;  // of selector
  const char* call;
  std::vector<int> errors;
};

// 0: it fails and doesn't say why.
const Row ROWS[] = {
    {"epoll", "epoll_ctl", {EBADF, EEXIST, EINVAL, ELOOP, ENOENT, ENOMEM, ENOSPC, EPERM, 0}},
    {"epoll", "epoll_wait", {EBADF, EFAULT, EINTR, EINVAL, 0}},
    {"epoll", "epoll_pwait2", {EBADF, EFAULT, EINTR, EINVAL, ENOSYS, EPERM, 0}},
    {"poll", "poll", {EAGAIN, EFAULT, EINTR, EINVAL, ENOMEM, 0}},
    {"poll", "ppoll", {EAGAIN, EFAULT, EINTR, EINVAL, ENOMEM, 0}},
    {"select", "pselect", {EBADF, EINTR, EINVAL, ENOMEM, 0}},
    {"kqueue", "kevent", {EACCES, EBADF, EFAULT, EINTR, EINVAL, ENOENT, ENOMEM, ESRCH, 0}},
    {"devpoll", "devpoll_double_write", {EACCES, EBADF, EINTR, EIO, ENOMEM, ENXIO, 0}},
    {"devpoll", "devpoll_double_ioctl", {EACCES, EBADF, EFAULT, EINTR, EINVAL, EIO, 0}},
    {"io_uring",
     "io_uring_submit",
     {EAGAIN, EBADF, EBADFD, EBADR, EBUSY, EEXIST, EFAULT, EINTR, EINVAL, ENOMEM, ENXIO, EOPNOTSUPP,
      EOWNERDEAD, EPERM}},
    {"io_uring", "io_uring_get_events", {EAGAIN, EBADF, EBADFD, EBADR, EBUSY, EINTR, EINVAL, ENOMEM, ENXIO}},
    {"io_uring",
     "io_uring_wait_cqes",
     {EAGAIN, EBADF, EBADFD, EBADR, EBUSY, EFAULT, EINTR, EINVAL, ENOMEM, ENXIO, EOPNOTSUPP, ETIME}},
};

bool passes_by(int error) {
  return error == EAGAIN || error == EBUSY || error == ENOMEM || error == EINTR || error == ETIME;
}
bool waits(std::string_view call) {
  return call != "epoll_ctl" && call != "kevent" && call != "devpoll_double_write";
}

const Subject* find_subject(std::string_view name) {
  for (const Subject& subject : subjects())
    if (subject.name == name) return &subject;
  return nullptr;
}

// A small life of a selector, step by step, with a model of its table.
class Life {
 public:
  explicit Life(BaseSelector& selector, bool nested) : selector_(selector) {
    if (nested) selector.set_nested(true);
  }

  /// Every step. Returns what was thrown.
  std::vector<int> live() {
    put(one_, EVENT_READ);
    put(two_, BOTH);
    look(Duration(0));
    change(two_, EVENT_READ);
    change(two_, BOTH);
    one_.b.write("x");
    look(1s);
    look(1'500us);
    one_.a.read();
    look(Duration(0));
    take(one_);
    put(one_, EVENT_READ);
    take(two_);
    look(100us);  // nothing is ready
    look(2ms);
    return std::move(thrown_);
  }

  /// It works as if nothing had happened.
  void check_well() {
    check_table();
    for (Pair* pair : {&one_, &two_}) {
      if (!model_.contains(pair->a.fileno())) put(*pair, EVENT_READ);
      pair->b.write("y");
    }
    CHECK(thrown_.empty());
    std::set<int> seen;
    for (int i = 0; i < 10 && seen.size() < 2; ++i)
      for (const auto& [key, events] : selector_.select(1s))
        if (events.contains(EVENT_READ)) seen.insert(key.fd);
    CHECK(seen.size() == 2);
    for (Pair* pair : {&one_, &two_}) pair->a.read();
    for (const auto& [key, events] : selector_.select(0s)) CHECK(events == EVENT_WRITE);
    for (Pair* pair : {&one_, &two_}) {
      take(*pair);
      pair->a.close();
      CHECK(pair->b.at_end());  // nothing keeps it open
    }
    check_table();
  }

 private:
  template <class Step>
  bool attempt(Step step) {
    try {
      step();
      return true;
    } catch (const std::system_error& error) {
      thrown_.push_back(error.code().value());
      return false;
    }
  }
  void put(Pair& pair, EventMask events) {
    const int fd = pair.a.fileno();
    if (model_.contains(fd)) return;
    if (attempt([&] { selector_.register_(fd, events, fd); })) model_.insert(fd);
    check_table();
  }
  void change(Pair& pair, EventMask events) {
    const int fd = pair.a.fileno();
    if (!model_.contains(fd) || selector_.get_key(fd).events == events) return;
    if (!attempt([&] { selector_.modify(fd, events, fd); })) model_.erase(fd);
    check_table();
  }
  void take(Pair& pair) {
    if (model_.erase(pair.a.fileno()) != 0) selector_.unregister(pair.a.fileno());
    check_table();
  }
  void look(Timeout timeout) {
    attempt([&] {
      for (const auto& [key, events] : selector_.select(timeout)) {
        CHECK(model_.contains(key.fd));
        CHECK(key.data.get<int>() == key.fd);
        CHECK(events.valid());
      }
    });
    check_table();
  }
  void check_table() {
    std::set<int> now;
    for (const SelectorKey& key : selector_.get_map()) now.insert(key.fd);
    CHECK(now == model_);
  }

  BaseSelector& selector_;
  Pair one_ = Pair::sockets();
  Pair two_ = Pair::sockets();
  std::set<int> model_;
  std::vector<int> thrown_;
};

// The n-th call fails. Returns whether there were so many.
bool live_with_fault(const Subject& subject, const Row& row, int error, int n, bool nested) {
  const int before = open_descriptors(256);
  bool failed = false;
  {
    const auto selector = subject.make();
    Life life(*selector, nested);
    std::vector<int> thrown;
    {
      const KernelFault fault(row.call, error, n);
      thrown = life.live();
      failed = fault.has_failed();
    }
    CHECK(thrown.size() <= 1);
    for (const int code : thrown) {
      // An EEXIST is answered by a change, for which the kernel then says that there is nothing to change.
      CHECK((code == (error != 0 ? error : EIO) || (error == EEXIST && code == ENOENT)));
      CHECK_FALSE((waits(row.call) && passes_by(error)));
    }
    // (What unregister() can't submit goes with the next wait.)
    const bool may_be_quiet = nested || std::string_view(row.call) == "io_uring_submit";
    if (failed && waits(row.call) && (error == EFAULT || error == 0) && !may_be_quiet)
      CHECK(thrown.size() == 1);
    life.check_well();
  }
  CHECK(open_descriptors(256) == before);
  return failed;
}

}  // namespace

TEST_CASE("each call that a selector makes may fail once with any errno, and the selector works on") {
  for (const Row& row : ROWS) {
    const Subject* const subject = find_subject(row.kind);
    if (subject == nullptr) continue;
    DYNAMIC_SECTION(row.call) {
      for (const int error : row.errors) {
        CAPTURE(error);
        int n = 0;
        for (; live_with_fault(*subject, row, error, n, false); ++n) {
        }
        CHECK(n > 0);
        for (n = 0; live_with_fault(*subject, row, error, n, true); ++n) {
        }
      }
    }
  }
}

TEST_CASE("what a selector is made of may be refused, and that is said") {
  struct Maker {
    const char* kind;
    const char* call;
    std::vector<int> errors;
  };
  const Maker makers[] = {
      {"epoll", "epoll_create1", {EINVAL, EMFILE, ENFILE, ENOMEM, 0}},
      {"kqueue", "kqueue", {EMFILE, ENFILE, ENOMEM, 0}},
      {"devpoll", "devpoll_double_open", {EACCES, EMFILE, ENOENT, ENXIO, 0}},
      {"io_uring", "io_uring_queue_init_params", {EFAULT, EINVAL, EMFILE, ENFILE, ENOMEM, EPERM}},
  };
  for (const Maker& maker : makers) {
    const Subject* const subject = find_subject(maker.kind);
    if (subject == nullptr) continue;
    const int before = open_descriptors(256);
    for (const int error : maker.errors) {
      CAPTURE(maker.call, error);
      const KernelFault fault(maker.call, error, 0);
      int code = 0;
      try {
        static_cast<void>(subject->make());
      } catch (const std::system_error& refused) {
        code = refused.code().value();
      }
      CHECK(code == (error != 0 ? error : EIO));
    }
    CHECK(open_descriptors(256) == before);
  }
}

TEST_CASE("a kernel that stays short of resources is asked for a while, then the error comes out") {
  const Row rows[] = {
      {"poll", "poll", {EAGAIN, ENOMEM}},
      {"select", "pselect", {ENOMEM}},
      {"io_uring", "io_uring_submit", {EAGAIN, EBUSY, ENOMEM}},
      {"io_uring", "io_uring_get_events", {EAGAIN, EBUSY, ENOMEM}},
  };
  for (const Row& row : rows) {
    const Subject* const subject = find_subject(row.kind);
    if (subject == nullptr) continue;
    for (const int error : row.errors) {
      CAPTURE(row.call, error);
      const auto selector = subject->make();
      const Pair pair = Pair::sockets();
      selector->register_(pair.a, EVENT_READ);
      pair.b.write("x");
      int code = 0;
      int calls = 0;
      {
        const KernelFault fault(row.call, error, 0, KernelFault::always);
        try {
          selector->select(0s);
        } catch (const std::system_error& refused) {
          code = refused.code().value();
        }
        calls = fault.made();
      }
      CHECK(code == error);
      CHECK(calls > 3);
      CHECK(calls < 100);
      CHECK(soon(*selector, pair.a.fileno()) == EVENT_READ);
    }
  }
}
