// ThreadPool: the threads, their queue, and the way of a job to them and back to its loop.
// SPDX-License-Identifier: MIT
#include "thread_pool.hpp"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "../../selector/process_mark.hpp"
#include "../core/start_thread.hpp"
#include "../core/task_locals.hpp"
#include "../loop/event_loop.hpp"
#include "../loop/mailbox.hpp"

namespace heddle {

using namespace detail;

ThreadPoolFull::~ThreadPoolFull() = default;

bool StopToken::stop_requested() const noexcept {
  return std::atomic_ref(*requested_).load(std::memory_order_relaxed);
}

void StopToken::check() const {
  if (stop_requested()) throw Cancelled();
}

// The pool.

namespace detail {

// Counted references: a job may be withdrawn when its pool is gone.
class ThreadPoolState {
 public:
  ThreadPoolState(std::size_t most, std::size_t limit, std::string_view its_name)
      : most_threads_(most), queue_limit_(limit) {
    its_name.copy(name_, sizeof name_ - 1);
  }
  // With the same limits, and without threads and jobs.
  explicit ThreadPoolState(const ThreadPoolState& parent)
      : most_threads_(parent.most_threads_), queue_limit_(parent.queue_limit_), shutdown_(parent.shutdown_) {
    std::copy(std::begin(parent.name_), std::end(parent.name_), name_);
  }
  ThreadPoolState& operator=(const ThreadPoolState&) = delete;

  void add_reference() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  // False in the child of a fork(), where the threads aren't, and one may have held the mutex.
  bool is_here() const noexcept { return process_.is_here(); }
  void submit(ThreadJob& job);
  // False if it has begun.
  bool withdraw(ThreadJob& job) noexcept;
  void shutdown() noexcept;
  std::size_t threads() noexcept;
  std::size_t queued() noexcept;

 private:
  ~ThreadPoolState() = default;
  void add_thread();
  void serve() noexcept;

  std::mutex mutex_;
  std::condition_variable available_;
  std::vector<std::thread> threads_;
  IntrusiveList<ThreadJob> queue_;
  std::size_t queued_ = 0;  // in the queue
  std::size_t idle_ = 0;
  const std::size_t most_threads_;
  const std::size_t queue_limit_;
  std::atomic<unsigned> references_{1};
  bool shutdown_ = false;
  char name_[16] = {};
  ProcessMark process_;
};

}  // namespace detail

// In the child of a fork() the whole state is left as it is, and the pool begins anew.
ThreadPoolState& ThreadPool::state() const {
  ThreadPoolState* state = std::atomic_ref(state_).load(std::memory_order_acquire);
  if (state->is_here()) return *state;
  auto* const fresh = new ThreadPoolState(*state);
  if (std::atomic_ref(state_).compare_exchange_strong(state, fresh)) return *fresh;
  fresh->release();
  return *state;
}

ThreadPool::ThreadPool(std::size_t threads, std::size_t queue_limit, std::string_view name)
    : state_(new ThreadPoolState(
          threads != 0 ? threads : std::min<std::size_t>(32, std::thread::hardware_concurrency() + 4),
          queue_limit, name)) {}

ThreadPool::~ThreadPool() {
  if (!state_->is_here()) return;
  state_->shutdown();
  state_->release();
}

void ThreadPool::shutdown() noexcept { state().shutdown(); }
std::size_t ThreadPool::threads() const noexcept { return state().threads(); }
std::size_t ThreadPool::queued() const noexcept { return state().queued(); }

namespace {

constinit std::atomic<ThreadPool*> shared_pool{nullptr};

// Of the parent's pool the child of a fork() has everything but the threads.
[[maybe_unused]] const int fork_handlers =
    ::pthread_atfork(nullptr, nullptr, [] { shared_pool.store(nullptr, std::memory_order_relaxed); });

}  // namespace

// Leaked, so that threads which outlive main() find it.
ThreadPool& ThreadPool::shared() {
  ThreadPool* pool = shared_pool.load(std::memory_order_acquire);
  if (pool != nullptr) return *pool;
  auto* const made = new ThreadPool;
  if (shared_pool.compare_exchange_strong(pool, made)) return *made;
  delete made;
  return *pool;
}

void ThreadPoolState::submit(ThreadJob& job) {
  std::unique_lock lock(mutex_);
  if (shutdown_) throw std::logic_error("a call was given to a ThreadPool that was shut down");
  if (queued_ >= idle_) {  // nobody is free
    if (threads_.size() < most_threads_) {
      try {
        add_thread();
      } catch (const std::system_error&) {
        if (threads_.empty()) throw;
      }
    } else if (queued_ - idle_ >= queue_limit_) {
      throw ThreadPoolFull("all " + std::to_string(threads_.size()) +
                           " threads of a ThreadPool are busy, and " + std::to_string(queued_) +
                           " calls wait for one");
    }
  }
  job.state_ = ThreadJob::State::QUEUED;
  queue_.push_back(job);
  ++queued_;
  lock.unlock();  // or who is woken would have to wait for it
  available_.notify_one();
}

void ThreadPoolState::add_thread() {
  threads_.emplace_back();  // first, or the memory for a thread that runs already might be missing
  try {
    threads_.back() = start_thread(&ThreadPoolState::serve, this);
  } catch (...) {
    threads_.pop_back();
    throw;
  }
}

void ThreadPoolState::serve() noexcept {
#ifdef __linux__
  ::pthread_setname_np(::pthread_self(), name_);
#endif
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    available_.wait(lock, [&] { return !queue_.empty() || shutdown_; });
    --idle_;
    if (queue_.empty()) return;
    ThreadJob& job = queue_.pop_front();
    --queued_;
    std::atomic_ref(job.state_).store(ThreadJob::State::RUNNING, std::memory_order_relaxed);
    lock.unlock();
    job.perform();
    lock.lock();
  }
}

bool ThreadPoolState::withdraw(ThreadJob& job) noexcept {
  const std::lock_guard lock(mutex_);
  if (std::atomic_ref(job.state_).load(std::memory_order_relaxed) != ThreadJob::State::QUEUED) return false;
  IntrusiveList<ThreadJob>::remove(job);
  --queued_;
  job.state_ = ThreadJob::State::DONE;
  return true;
}

void ThreadPoolState::shutdown() noexcept {
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(mutex_);
    shutdown_ = true;
    threads.swap(threads_);
    available_.notify_all();
  }
  for (std::thread& thread : threads) thread.join();
}

std::size_t ThreadPoolState::threads() noexcept {
  const std::lock_guard lock(mutex_);
  return threads_.size();
}

std::size_t ThreadPoolState::queued() noexcept {
  const std::lock_guard lock(mutex_);
  return queued_;
}

// A job.

ThreadJob::ThreadJob(bool stoppable) noexcept : Runnable(&deliver), stoppable_(stoppable) {}

ThreadJob::~ThreadJob() { release_locals(locals_); }

void ThreadJob::submit(ThreadPool& pool, ThreadJobWaiter& waiter) {
  if (pool_) throw std::logic_error("what to_thread() and ThreadPool::run() return can be awaited once");
  pool_ = Ref<ThreadPoolState>(pool.state());
  waiter_ = &waiter;
  process_.move_here();
  mailbox_ = Ref<Mailbox>(EventLoop::running().mailbox());
  locals_ = share_locals(current_locals());
  add_reference();
  try {
    pool_->submit(*this);
  } catch (...) {
    mailbox_.reset();
    release();
    throw;
  }
  current.loop->expect_outside_work();
}

void ThreadJob::perform() noexcept {
  try {
    const LocalsOnThread seen(locals_);
    work(StopToken(stop_));
  } catch (...) {
    error_ = std::current_exception();
  }
  std::atomic_ref(state_).store(State::DONE, std::memory_order_release);
  // The job may be gone as soon as it is posted.
  const Ref<Mailbox> mailbox = std::move(mailbox_);
  if (!mailbox->post(*this)) release();
}

void ThreadJob::deliver(Runnable& runnable) noexcept {
  auto& self = static_cast<ThreadJob&>(runnable);
  current.loop->end_outside_work();
  if (self.waiter_ != nullptr) std::exchange(self.waiter_, nullptr)->wake();
  self.release();
}

ThreadJob::Withdrawal ThreadJob::withdraw() noexcept {
  if (waiter_ == nullptr) return Withdrawal::DONE;
  if (!process_.is_here()) {
    if (std::atomic_ref(state_).load(std::memory_order_relaxed) == State::DONE) return Withdrawal::DONE;
    waiter_ = nullptr;  // the job stays, as the thread's that isn't here
    return Withdrawal::NEVER_BEGUN;
  }
  if (pool_->withdraw(*this)) {
    waiter_ = nullptr;
    mailbox_.reset();
    release();
    return Withdrawal::NEVER_BEGUN;
  }
  if (std::atomic_ref(state_).load(std::memory_order_acquire) == State::DONE) return Withdrawal::DONE;
  if (stoppable_) {
    std::atomic_ref(stop_).store(true, std::memory_order_relaxed);
    return Withdrawal::STOPPING;
  }
  waiter_ = nullptr;
  return Withdrawal::ABANDONED;
}

bool ThreadJob::was_cancelled() const noexcept {
  if (!error_) return false;
  try {
    std::rethrow_exception(error_);
  } catch (const Cancelled&) {
    return true;
  } catch (...) {
    return false;
  }
}

void ThreadJob::add_reference() noexcept {
  std::atomic_ref(references_).fetch_add(1, std::memory_order_relaxed);
}

void ThreadJob::release() noexcept {
  if (std::atomic_ref(references_).fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

// Who waits for it.

Operation::Stop ThreadJobWaiter::cancel() noexcept {
  switch (job_->withdraw()) {
    case ThreadJob::Withdrawal::DONE:
      return Stop::TOO_LATE;
    case ThreadJob::Withdrawal::STOPPING:
      stopping_ = true;
      return Stop::LATER;
    case ThreadJob::Withdrawal::NEVER_BEGUN:
      task_->owner()->loop().end_outside_work();
      break;
    case ThreadJob::Withdrawal::ABANDONED:
      break;
  }
  stopped_ = true;
  return Stop::STOPPED;
}

WaitInfo ThreadJobWaiter::describe() const noexcept {
  WaitInfo info;
  info.what = "a call on another thread";
  return info;
}

void ThreadJobWaiter::check_cancelled() {
  if (stopped_) throw_cancelled();
  if (stopping_ && !job_->was_cancelled() && task_->requests_in_force() > 0) task_->defer_cancel();
}

}  // namespace heddle
