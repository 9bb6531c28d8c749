// TurnMonitor: the loop notes what it is about to run; a thread checks now and then whether it still runs
// that.
// SPDX-License-Identifier: MIT
#include "turn_monitor.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>

#include "../../selector/process_mark.hpp"
#include "../core/report.hpp"
#include "../core/start_thread.hpp"
#include "../core/task_state.hpp"

namespace heddle::detail {

namespace {

constexpr Duration between_reports = std::chrono::seconds(1);

Duration real_time() noexcept { return std::chrono::steady_clock::now().time_since_epoch(); }

void print(const SlowTurn& turn, void*) noexcept {
  std::fprintf(stderr, "heddle: ");
  if (turn.task_id == 0)
    std::fprintf(stderr, "a callback");
  else
    std::fprintf(stderr, "task %llu", static_cast<unsigned long long>(turn.task_id));
  if (!turn.task_name.empty())
    std::fprintf(stderr, " \"%.*s\"", static_cast<int>(turn.task_name.size()), turn.task_name.data());
  std::fprintf(stderr, " has blocked its loop for %.3f s", std::chrono::duration<double>(turn.time).count());
  if (turn.not_reported != 0)
    std::fprintf(stderr, " (%llu more were not reported)",
                 static_cast<unsigned long long>(turn.not_reported));
  std::fputs(turn.trace.empty() ? "\n" : ", since it went on\n", stderr);
  print_trace(turn.trace);
}

}  // namespace

// What the loop runs, as it noted it: written by the loop, read by the thread, which reads `serial` before
// and after, so that it never reports a mixture of two turns.
class TurnMonitor::Watcher {
 public:
  Watcher(Duration limit, SlowTurnHandler handler, void* argument)
      : limit_(limit), handler_(handler != nullptr ? handler : &print), argument_(argument) {
    thread_ = start_thread(&Watcher::watch, this);
  }
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;
  ~Watcher() {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }

  bool has_thread() const noexcept { return process_.is_here(); }
  Watcher* successor() const { return new Watcher(limit_, handler_, argument_); }

  void begin(const Runnable& turn) noexcept {
    end();
    const auto* const task = dynamic_cast<const TaskState*>(&turn);
    task_id_.store(task != nullptr ? task->id() : 0, std::memory_order_relaxed);
    std::size_t count = 0;
    if (task != nullptr) {
      for (const AsyncFrame* frame = task->leaf(); frame != nullptr && count < places_.size() - 1;
           frame = frame->parent())
        note(count, frame->where);
      note(count, task->where());
    }
    place_count_.store(count, std::memory_order_relaxed);
    note_name(task != nullptr ? task->name() : std::string_view());
    began_.store(real_time().count(), std::memory_order_relaxed);
    serial_.fetch_add(1, std::memory_order_release);
  }
  // An even serial number: nothing runs.
  void end() noexcept {
    if ((serial_.load(std::memory_order_relaxed) & 1) != 0) serial_.fetch_add(1, std::memory_order_acq_rel);
  }

 private:
  void note(std::size_t& count, std::source_location place) noexcept {
    if (place.line() != 0)
      places_[count++].store(std::bit_cast<SourcePlace>(place), std::memory_order_relaxed);
  }
  void note_name(std::string_view name) noexcept {
    std::array<char, sizeof(Name)> text{};
    const std::size_t size = std::min(name.size(), text.size() - 1);
    name.copy(text.data(), size);
    const auto words = std::bit_cast<Name>(text);
    for (std::size_t i = 0; i < words.size(); ++i) name_[i].store(words[i], std::memory_order_relaxed);
  }

  void watch() {
    const Duration period =
        std::clamp<Duration>(limit_ / 2, std::chrono::milliseconds(1), std::chrono::seconds(1));
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, period, [this] { return ended_; })) check();
  }

  void check() {
    const std::uint64_t serial = serial_.load(std::memory_order_acquire);
    if ((serial & 1) == 0 || serial == seen_) return;
    SlowTurn turn;
    turn.task_id = task_id_.load(std::memory_order_relaxed);
    turn.time = real_time() - Duration(began_.load(std::memory_order_relaxed));
    std::array<std::source_location, 8> trace;
    const std::size_t count = std::min(place_count_.load(std::memory_order_relaxed), trace.size());
    for (std::size_t i = 0; i < count; ++i)
      trace[i] = std::bit_cast<std::source_location>(places_[i].load(std::memory_order_relaxed));
    turn.trace = std::span(trace.data(), count);
    Name words;
    for (std::size_t i = 0; i < words.size(); ++i) words[i] = name_[i].load(std::memory_order_relaxed);
    const auto name = std::bit_cast<std::array<char, sizeof(Name)>>(words);
    turn.task_name = name.data();
    // A read-modify-write comes after the reads above and sees the last value.
    if (turn.time < limit_ || serial_.fetch_add(0, std::memory_order_acq_rel) != serial) return;
    seen_ = serial;
    const Duration now = real_time();
    if (now < next_report_) {
      ++not_reported_;
      return;
    }
    next_report_ = now + between_reports;
    turn.not_reported = std::exchange(not_reported_, 0);
    handler_(turn, argument_);
  }

  using Name = std::array<std::uint64_t, 4>;

  const Duration limit_;
  const SlowTurnHandler handler_;
  void* const argument_;

  std::atomic<std::uint64_t> serial_{0};
  std::atomic<std::uint64_t> task_id_{0};
  std::atomic<std::int64_t> began_{0};
  std::atomic<std::size_t> place_count_{0};
  std::array<std::atomic<SourcePlace>, 8> places_{};
  std::array<std::atomic<std::uint64_t>, 4> name_{};

  std::uint64_t seen_ = 0;
  std::uint64_t not_reported_ = 0;
  Duration next_report_ = Duration(0);
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
  const ProcessMark process_;
  std::thread thread_;
};

TurnMonitor::TurnMonitor(Duration limit, SlowTurnHandler handler, void* argument)
    : watcher_(new Watcher(limit, handler, argument)) {}
// In the child of a fork() the thread can't be joined, and may have held the mutex: so the watcher is left as
// it is.
TurnMonitor::~TurnMonitor() {
  if (watcher_->has_thread()) delete watcher_;
}
void TurnMonitor::renew() {
  if (!watcher_->has_thread()) watcher_ = watcher_->successor();
}
bool TurnMonitor::before_step(Runnable& next) noexcept {
  watcher_->begin(next);
  return true;
}
void TurnMonitor::turn_ended() noexcept { watcher_->end(); }

}  // namespace heddle::detail
