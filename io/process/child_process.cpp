// ChildProcess: reaping, and the thread that reaps children for which no task waits.
// SPDX-License-Identifier: MIT
#include "child_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "../../runtime/core/start_thread.hpp"
#include "../../selector/errors.hpp"

namespace heddle::detail {

int ChildProcess::try_reap() noexcept {
  if (reaped_) return error_ != 0 ? -error_ : 1;
  if (ended_ && keeps_pid_) return 1;
  if (thread_waits_) {
    // Not before the thread has seen the end: it waits by the pid, which may be reused once the child is
    // reaped.
    pollfd entry{exit_.fileno(), POLLIN, 0};
    if (::poll(&entry, 1, 0) <= 0) return 0;
  }
  siginfo_t info = {};
  if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | (keeps_pid_ ? WNOWAIT : 0)) < 0) {
    if (errno == EINTR) return 0;
    error_ = errno;
    reaped_ = true;
    return -error_;
  }
  if (info.si_pid == 0) return 0;
  ended_ = true;
  reaped_ = !keeps_pid_;
  if (info.si_code == CLD_EXITED)
    status_.code = info.si_status;
  else
    status_ = ExitStatus{-1, info.si_status};
  return 1;
}

bool ChildProcess::reap() {
  const int result = try_reap();
  if (result < 0)
    throw std::system_error(-result, std::generic_category(), "wait for process " + std::to_string(pid_));
  return result > 0;
}

int ChildProcess::kill(int signal) const noexcept {
  // In the child of a fork() it is the parent's process.
  if (reaped_ || (ended_ && !group_) || !process_.is_here()) return -ESRCH;
  return ::kill(group_ ? -pid_ : pid_, signal) < 0 ? -errno : 0;
}

// Owns the children for which no task waits. Its thread lives as long as there are any.
class Reaper {
 public:
  // Leaked: its thread may outlive main(). Of the parent's the child of a fork() has everything but the
  // thread, and no children to reap: it gets one of its own.
  static Reaper& shared() {
    Reaper* reaper = shared_reaper.load(std::memory_order_acquire);
    if (reaper != nullptr) return *reaper;
    auto* const made = new Reaper;
    if (shared_reaper.compare_exchange_strong(reaper, made)) return *made;
    delete made;
    return *reaper;
  }

  void adopt(ChildProcess& child) noexcept {
    const std::lock_guard lock(mutex_);
    if (child.try_reap() != 0) {
      delete &child;
      return;
    }
    child.next_ = std::exchange(first_, &child);
    wake();
  }

  // Reaps those that have ended, and starts the thread if wake() could not.
  void check() noexcept {
    const std::lock_guard lock(mutex_);
    if (first_ == nullptr) return;
    reap_all();
    if (first_ != nullptr && !running_) wake();
  }

 private:
  void reap_all() noexcept {
    for (ChildProcess** link = &first_; *link != nullptr;) {
      ChildProcess& child = **link;
      if (child.try_reap() == 0) {
        link = &child.next_;
      } else {
        *link = child.next_;
        delete &child;
      }
    }
  }

  // If there is no descriptor or thread for it, the children have to wait for the next check().
  void wake() noexcept {
    if (running_) {
      (void)!::write(wake_[1], "", 1);
      return;
    }
#ifdef __linux__
    if (::pipe2(wake_, O_NONBLOCK | O_CLOEXEC) < 0) return;
#else
    if (::pipe(wake_) < 0) return;
    for (const int fd : wake_) {
      ::fcntl(fd, F_SETFL, O_NONBLOCK);
      ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
#endif
    try {
      start_thread([this] { serve(); }).detach();
      running_ = true;
    } catch (const std::exception&) {
      close_wake();
    }
  }

  void close_wake() noexcept {
    ::close(wake_[0]);
    ::close(wake_[1]);
  }

  void serve() noexcept {
    std::vector<pollfd> entries;
    for (;;) {
      int limit = -1;
      {
        const std::lock_guard lock(mutex_);
        char drained[64];
        while (::read(wake_[0], drained, sizeof drained) > 0) {
        }
        reap_all();
        if (first_ == nullptr) {
          running_ = false;
          close_wake();
          return;
        }
        entries.clear();
        try {
          entries.push_back({wake_[0], POLLIN, 0});
          for (const ChildProcess* child = first_; child != nullptr; child = child->next_)
            entries.push_back({child->exit_.fileno(), POLLIN, 0});
        } catch (const std::bad_alloc&) {
          limit = 100;
        }
      }
      ::poll(entries.data(), static_cast<nfds_t>(entries.size()), limit);
    }
  }

  static std::atomic<Reaper*> shared_reaper;
  static const int fork_handler;

  std::mutex mutex_;
  ChildProcess* first_ = nullptr;
  int wake_[2] = {-1, -1};
  bool running_ = false;
};

constinit std::atomic<Reaper*> Reaper::shared_reaper{nullptr};

[[maybe_unused]] const int Reaper::fork_handler =
    ::pthread_atfork(nullptr, nullptr, [] { shared_reaper.store(nullptr, std::memory_order_relaxed); });

void ChildProcess::release() noexcept {
  if (--references_ != 0) return;
  keeps_pid_ = false;  // nobody will send it a signal
  // The reaper's thread outlives the loop: so no loop watches the descriptor, and the loop's System isn't
  // needed to close it.
  exit_ = Fd(exit_.release(), kernel_system());
  Reaper::shared().adopt(*this);
}

void ChildProcess::reap_orphans() noexcept { Reaper::shared().check(); }

void close_at_end_of(int pid, int signal_fd) {
  start_thread([pid, signal_fd] {
    siginfo_t info;
    while (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
    }
    ::close(signal_fd);
  }).detach();
}

}  // namespace heddle::detail
