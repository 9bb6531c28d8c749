// drive_threads: a loop for each thread, and one end for all.
// SPDX-License-Identifier: MIT
#include "run_on_threads.hpp"

#ifdef __linux__
#include <sched.h>
#endif

#include <algorithm>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "../../selector/errors.hpp"
#include "../core/all_done.hpp"
#include "../core/pinned_thread.hpp"
#include "../core/ref.hpp"
#include "../core/trace.hpp"
#include "../loop/mailbox.hpp"
#include "../task/task_group.hpp"
#include "remote_task.hpp"

namespace heddle::detail {

namespace {

std::size_t processors() noexcept {
#ifdef __linux__
  cpu_set_t set;  // what taskset and cpusets leave to this process
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return static_cast<std::size_t>(CPU_COUNT(&set));
#endif
  return std::max(1U, std::thread::hardware_concurrency());
}

// Where each thread is to run; none: anywhere.
struct Cores {
  CoreSet allowed;
  std::vector<std::size_t> numbers;

  explicit Cores(bool pin) {
    if (!pin) return;
    allowed = CoreSet::of_this_thread();
    numbers = allowed.numbers();
    if (numbers.empty()) throw ValueError("run_on_threads(): this system pins no threads to cores");
  }
  void pin(std::optional<PinnedThread>& thread, std::size_t index) const {
    if (!numbers.empty()) thread.emplace(allowed, numbers[index % numbers.size()]);
  }
};

// State shared by the threads. The first one starts the others and waits for them: its loop has SIGINT, and
// gets a message from each other thread when that ends.
class Threads {
 public:
  Threads(std::size_t count, const Cores& cores, ThreadMain& function, const LoopOptions& options)
      : function_(function), options_(options), cores_(cores), tasks_(count), ends_(count, End(*this)) {
    traces_.reserve(2 * count + 1);
    options_.one_thread = true;
    errors_.reserve(2 * count + 1);  // a task and its loop; and a thread that can't be started
  }

  void run() {
    std::optional<PinnedThread> pinned;
    cores_.pin(pinned, 0);  // before the loop takes memory
    {
      EventLoop loop(options_);
      mailbox_ = Ref<Mailbox>(loop.mailbox());
      JoinHandle<void> first = spawn_for(static_cast<TaskOwner&>(loop), body(0), std::source_location());
      first.set_name("main 0");
      JoinHandle<void> leader = spawn_for(static_cast<TaskOwner&>(loop), lead(first), std::source_location());
      leader.set_name("run_on_threads");
      const ClosesLoop closes(first.state(), &leader.state());
      const FirstEnd first_end(*this, first.state());
      try {
        drive_main(loop, leader.state());
      } catch (...) {
        fail();  // the loop itself
      }
    }
    for (std::thread& thread : threads_) thread.join();
    if (errors_.empty()) return;
    trace_at_terminate();
    throw ExceptionGroup(std::move(errors_), std::move(traces_), "run_on_threads()");
  }

 private:
  // The message to the first thread's loop that a thread has ended.
  struct End final : Runnable {
    explicit End(Threads& all) noexcept : Runnable(&on_end), threads(all) {}
    End(const End& other) noexcept : Runnable(&on_end), threads(other.threads) {}
    Threads& threads;
    static void on_end(Runnable& runnable) noexcept { static_cast<End&>(runnable).threads.one_ended(); }
  };
  // The same of the first thread's own task.
  class FirstEnd final : TaskObserver {
   public:
    FirstEnd(Threads& all, TaskState& first) noexcept : threads_(all), first_(first) {
      ++all.alive_;
      first.add_observer(*this);
    }
    ~FirstEnd() {
      if (!first_.done()) first_.remove_observer(*this);
    }

   private:
    void task_done(TaskState&) noexcept override { threads_.one_ended(); }
    Threads& threads_;
    TaskState& first_;
  };

  // On the leader's thread.

  // Doesn't end before all have: they use this object.
  Task<void> lead(JoinHandle<void>& first) {
    // The others may call this loop, or send something to its tasks.
    Scheduler& loop = *current.loop;
    loop.allow_for_outside_work();
    try {
      register_task(0, first);
      threads_.reserve(tasks_.size());
      for (std::size_t index = 1; index < tasks_.size(); ++index) {
        threads_.emplace_back([this, index] { work(index); });
        ++alive_;
      }
    } catch (...) {
      fail();
    }
    while (alive_ > 0) {
      try {
        co_await AllDone(waiting_, false, "the other threads", true);
      } catch (const Cancelled&) {
        stop_all();
      }
    }
    loop.end_possible_outside_work();
  }

  void one_ended() noexcept {
    --alive_;
    if (alive_ == 0) AllDone::notify(waiting_);
  }

  // On each of the others.

  void work(std::size_t index) noexcept {
    try {
      std::optional<PinnedThread> pinned;
      cores_.pin(pinned, index);
      EventLoop loop(options_);
      JoinHandle<void> handle = spawn_for(static_cast<TaskOwner&>(loop), body(index), std::source_location());
      handle.set_name("main " + std::to_string(index));
      register_task(index, handle);
      const ClosesLoop closes(handle.state());
      while (!handle.done()) loop.run_until_complete(handle.state());
    } catch (...) {
      fail();
    }
    mailbox_->post(ends_[index]);
  }

  // On all.

  Task<void> body(std::size_t index) {
    try {
      co_await function_(index);
    } catch (const Cancelled&) {
    } catch (...) {
      fail();
    }
  }

  void register_task(std::size_t index, const JoinHandle<void>& handle) {
    RemoteHandle task(handle);
    const std::lock_guard lock(mutex_);
    if (stopping_) task.cancel();
    tasks_[index] = std::move(task);
  }

  // The exception that is being handled, and the end for all.
  void fail() noexcept {
    {
      const std::lock_guard lock(mutex_);
      errors_.push_back(std::current_exception());
      traces_.push_back(trace_in_flight(errors_.back()));
    }
    stop_all();
  }

  void stop_all() noexcept {
    const std::lock_guard lock(mutex_);
    if (std::exchange(stopping_, true)) return;
    for (const RemoteHandle& task : tasks_) task.cancel();
  }

  ThreadMain& function_;
  LoopOptions options_;
  const Cores& cores_;
  std::mutex mutex_;
  std::vector<RemoteHandle> tasks_;
  std::vector<std::exception_ptr> errors_;
  std::vector<AsyncTrace> traces_;  // theirs
  bool stopping_ = false;

  Ref<Mailbox> mailbox_;  // kept until no thread can be at it any more
  std::vector<End> ends_;
  std::vector<std::thread> threads_;
  std::size_t alive_ = 0;  // of the tasks
  AllDone* waiting_ = nullptr;
};

}  // namespace

std::size_t number_of(const ThreadsOptions& threads) noexcept {
  return threads.threads != 0 ? threads.threads : processors();
}

void drive_threads(const ThreadsOptions& threads, ThreadMain& function, const LoopOptions& options) {
  check_no_loop_runs();
  const std::size_t count = number_of(threads);
  if (count > 1 && options.custom_selector != nullptr)
    throw ValueError("run_on_threads() on several threads can't use one custom_selector");
  const Cores cores(threads.pin);
  Threads(count, cores, function, options).run();
}

}  // namespace heddle::detail
