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

struct ThreadPool::State {
  mutable std::mutex mutex;
  std::condition_variable available;
  std::vector<std::thread> threads;
  IntrusiveList<ThreadJob> queue;
  std::size_t queued = 0;  // in the queue
  std::size_t idle = 0;
  std::size_t most_threads = 0;
  std::size_t queue_limit = 0;
  bool shutdown = false;
  char name[16] = {};
  ProcessMark process;
};

// In the child of a fork() the threads aren't there, and one may have held the mutex or waited for work: the
// whole state is left as it is, and the pool begins anew.
ThreadPool::State& ThreadPool::state() const {
  State* state = std::atomic_ref(state_).load(std::memory_order_acquire);
  if (state->process.is_here()) return *state;
  auto* const fresh = new State;
  fresh->most_threads = state->most_threads;
  fresh->queue_limit = state->queue_limit;
  fresh->shutdown = state->shutdown;
  std::copy(std::begin(state->name), std::end(state->name), fresh->name);
  if (std::atomic_ref(state_).compare_exchange_strong(state, fresh)) return *fresh;
  delete fresh;
  return *state;
}

ThreadPool::ThreadPool(std::size_t threads, std::size_t queue_limit, std::string_view name)
    : state_(new State) {
  state_->most_threads =
      threads != 0 ? threads : std::min<std::size_t>(32, std::thread::hardware_concurrency() + 4);
  state_->queue_limit = queue_limit;
  name.copy(state_->name, sizeof state_->name - 1);
}

ThreadPool::~ThreadPool() {
  if (!state_->process.is_here()) return;
  shutdown();
  delete state_;
}

namespace {

std::atomic<ThreadPool*> shared_pool{nullptr};

}  // namespace

// Leaked, so that threads which outlive main() find it.
ThreadPool& ThreadPool::shared() {
  ThreadPool* pool = shared_pool.load(std::memory_order_acquire);
  if (pool != nullptr) return *pool;
  // Of the parent's pool the child of a fork() has everything but the threads.
  static const int registered =
      ::pthread_atfork(nullptr, nullptr, [] { shared_pool.store(nullptr, std::memory_order_relaxed); });
  static_cast<void>(registered);
  auto* const made = new ThreadPool;
  if (shared_pool.compare_exchange_strong(pool, made)) return *made;
  delete made;
  return *pool;
}

void ThreadPool::submit(ThreadJob& job) {
  State& state = this->state();
  std::unique_lock lock(state.mutex);
  if (state.shutdown) throw std::logic_error("a call was given to a ThreadPool that was shut down");
  if (state.queued >= state.idle) {  // nobody is free
    if (state.threads.size() < state.most_threads) {
      try {
        add_thread();
      } catch (const std::system_error&) {
        if (state.threads.empty()) throw;
      }
    } else if (state.queued - state.idle >= state.queue_limit) {
      throw ThreadPoolFull("all " + std::to_string(state.threads.size()) +
                           " threads of a ThreadPool are busy, and " + std::to_string(state.queued) +
                           " calls wait for one");
    }
  }
  job.state_ = ThreadJob::State::QUEUED;
  state.queue.push_back(job);
  ++state.queued;
  lock.unlock();  // or who is woken would have to wait for it
  state.available.notify_one();
}

void ThreadPool::add_thread() {
  std::vector<std::thread>& threads = state_->threads;
  threads.emplace_back();  // first, or the memory for a thread that runs already might be missing
  try {
    threads.back() = start_thread(&ThreadPool::serve, this);
  } catch (...) {
    threads.pop_back();
    throw;
  }
}

void ThreadPool::serve() noexcept {
  State& state = *state_;
#ifdef __linux__
  ::pthread_setname_np(::pthread_self(), state.name);
#endif
  std::unique_lock lock(state.mutex);
  for (;;) {
    ++state.idle;
    state.available.wait(lock, [&] { return !state.queue.empty() || state.shutdown; });
    --state.idle;
    if (state.queue.empty()) return;
    ThreadJob& job = state.queue.pop_front();
    --state.queued;
    std::atomic_ref(job.state_).store(ThreadJob::State::RUNNING, std::memory_order_relaxed);
    lock.unlock();
    job.perform();
    lock.lock();
  }
}

void ThreadPool::shutdown() noexcept {
  std::vector<std::thread> threads;
  {
    State& state = this->state();
    const std::lock_guard lock(state.mutex);
    state.shutdown = true;
    threads.swap(state.threads);
    state.available.notify_all();
  }
  for (std::thread& thread : threads) thread.join();
}

std::size_t ThreadPool::threads() const noexcept {
  const State& state = this->state();
  const std::lock_guard lock(state.mutex);
  return state.threads.size();
}

std::size_t ThreadPool::queued() const noexcept {
  const State& state = this->state();
  const std::lock_guard lock(state.mutex);
  return state.queued;
}

// A job.

ThreadJob::ThreadJob(bool stoppable) noexcept : Runnable(&deliver), stoppable_(stoppable) {}

ThreadJob::~ThreadJob() { release_locals(locals_); }

void ThreadJob::submit(ThreadPool& pool, ThreadJobWaiter& waiter) {
  if (pool_ != nullptr)
    throw std::logic_error("what to_thread() and ThreadPool::run() return can be awaited once");
  pool_ = &pool;
  waiter_ = &waiter;
  process_.move_here();
  mailbox_ = Ref<Mailbox>(EventLoop::running().mailbox());
  locals_ = share_locals(current_locals());
  add_reference();
  try {
    pool.submit(*this);
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
  {
    ThreadPool::State& pool = *pool_->state_;
    const std::lock_guard lock(pool.mutex);
    if (std::atomic_ref(state_).load(std::memory_order_relaxed) == State::QUEUED) {
      IntrusiveList<ThreadJob>::remove(*this);
      --pool.queued;
      state_ = State::DONE;
      waiter_ = nullptr;
      mailbox_.reset();
      release();
      return Withdrawal::NEVER_BEGUN;
    }
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
