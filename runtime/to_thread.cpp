// The process's thread pool, and the way of a job to it and back to its loop.
// SPDX-License-Identifier: MIT
#include "to_thread.hpp"

#include <signal.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <thread>

#include "event_loop.hpp"
#include "mailbox.hpp"

namespace heddle {

namespace {

// Threads are started as they are needed and then wait for more. They are never joined: a getaddrinfo() that
// hangs must not keep the process from ending.
class ThreadPool {
 public:
  // Leaked, so that threads which outlive main() find it.
  static ThreadPool& shared() {
    static ThreadPool& pool = *new ThreadPool;
    return pool;
  }

  void submit(ThreadJob& job) {
    const std::lock_guard lock(mutex_);
    if (idle_ <= waiting_ && threads_ < limit_) {
      try {
        start_thread();
        ++threads_;
      } catch (const std::system_error&) {
        if (threads_ == 0) throw;
      }
    }
    *last_ = &job;
    last_ = &job.next_job;
    ++waiting_;
    available_.notify_one();
  }

 private:
  void start_thread() {
    // Signals are for the loops.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      std::thread(&ThreadPool::serve, this).detach();
    } catch (...) {
      ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
      throw;
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  void serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
      ++idle_;
      available_.wait(lock, [this] { return first_ != nullptr; });
      --idle_;
      ThreadJob& job = *first_;
      first_ = job.next_job;
      if (first_ == nullptr) last_ = &first_;
      --waiting_;
      lock.unlock();
      job.perform();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable available_;
  ThreadJob* first_ = nullptr;
  ThreadJob** last_ = &first_;
  std::size_t waiting_ = 0;
  std::size_t idle_ = 0;
  std::size_t threads_ = 0;
  const std::size_t limit_ = std::min<std::size_t>(32, std::thread::hardware_concurrency() + 4);
};

}  // namespace

ThreadJob::~ThreadJob() = default;

void ThreadJob::submit(ThreadJobWaiter& waiter) {
  if (mailbox_ != nullptr) throw std::logic_error("what to_thread() returns can be awaited once");
  waiter_ = &waiter;
  mailbox_ = &current.loop->mailbox();
  mailbox_->add_reference();
  current.loop->expect_outside_work();
  std::atomic_ref(references_).fetch_add(1, std::memory_order_relaxed);
  try {
    ThreadPool::shared().submit(*this);
  } catch (...) {
    std::exchange(mailbox_, nullptr)->release();
    current.loop->end_outside_work();
    release();
    throw;
  }
}

void ThreadJob::perform() noexcept {
  if (!std::atomic_ref(abandoned_).load(std::memory_order_relaxed)) try {
      work();
    } catch (...) {
      error_ = std::current_exception();
    }
  Mailbox& mailbox = *mailbox_;
  if (!mailbox.post(*this)) release();
  mailbox.release();
}

void ThreadJob::deliver(Runnable& runnable) noexcept {
  auto& self = static_cast<ThreadJob&>(runnable);
  current.loop->end_outside_work();
  if (self.waiter_ != nullptr) self.waiter_->job_done();
  self.release();
}

void ThreadJob::abandon() noexcept {
  waiter_ = nullptr;
  std::atomic_ref(abandoned_).store(true, std::memory_order_relaxed);
}

void ThreadJob::release() noexcept {
  if (std::atomic_ref(references_).fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

void ThreadJobWaiter::job_done() noexcept {
  done_ = true;
  wake();
}

WaitInfo ThreadJobWaiter::describe() const noexcept {
  WaitInfo info;
  info.what = "a call on another thread";
  return info;
}

Operation::Stop ThreadJobWaiter::cancel() noexcept {
  if (done_) return Stop::TOO_LATE;
  job_->abandon();
  stopped_ = true;
  return Stop::STOPPED;
}

}  // namespace heddle
