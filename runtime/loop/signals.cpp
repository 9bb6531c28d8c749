// The process's signal handler, which loops it wakes, and what they make of it.
// SPDX-License-Identifier: MIT
#include "signals.hpp"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>

#include "../../selector/errors.hpp"
#include "event_loop.hpp"
#include "loop_signals.hpp"
#include "mailbox.hpp"

namespace heddle {

namespace {

constexpr std::uint64_t bit_of(int signum) noexcept { return std::uint64_t{1} << (signum - 1); }

// What the handler reads, and may therefore not be locked. The list is changed under the mutex; who takes
// something out waits until no handler can be looking at it.
std::atomic<LoopSignals*> loops{nullptr};
std::atomic<int> handlers_running{0};
std::atomic<int> installed_by[LoopSignals::most + 1];  // the process, 0 when it isn't
struct sigaction before[LoopSignals::most + 1];
static_assert(std::atomic<LoopSignals*>::is_always_lock_free && std::atomic<int>::is_always_lock_free &&
              std::atomic<std::uint64_t>::is_always_lock_free);

std::mutex mutex;
unsigned loops_that_want[LoopSignals::most + 1];

// What other threads held or did when the process was forked would stay so in the child for ever.
void survive_fork() {
  static const int registered = ::pthread_atfork([] { mutex.lock(); }, [] { mutex.unlock(); },
                                                 [] {
                                                   handlers_running.store(0);
                                                   mutex.unlock();
                                                 });
  static_cast<void>(registered);
}

void check(int signum) {
  switch (signum) {
    case SIGKILL:
    case SIGSTOP:
      throw ValueError("signal " + std::to_string(signum) + " can't be caught");
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
      throw ValueError("signal " + std::to_string(signum) +
                       " is not for an event loop: what caused it would only happen again");
    default:
      if (signum < 1 || signum > LoopSignals::most || signum >= NSIG)
        throw ValueError(std::to_string(signum) + " is not the number of a signal");
  }
}

}  // namespace

// The handler.

void LoopSignals::on_signal(int signum) {
  const int saved = errno;
  const int process = ::getpid();
  bool ours = false;
  handlers_running.fetch_add(1);
  for (LoopSignals* each = loops.load(); each != nullptr; each = each->next_.load()) {
    // The parent's loops are not this process's, though their memory is here too.
    if ((each->wanted_.load() & bit_of(signum)) == 0 || each->process_.load() != process) continue;
    ours = true;
    each->counts_[signum].fetch_add(1);
    each->came_.store(true);
    each->mailbox_.wake();
  }
  handlers_running.fetch_sub(1);
  if (!ours && installed_by[signum].load() != process) pass_on(signum);
  errno = saved;
}

// In the child of a fork() that doesn't go on with the loop the signal does what it did before.
void LoopSignals::pass_on(int signum) noexcept {
  ::sigaction(signum, &before[signum], nullptr);
  ::raise(signum);  // as soon as this handler has returned
}

// Changing what is caught.

LoopSignals::LoopSignals(EventLoop& loop) : loop_(loop), mailbox_(loop.mailbox()), process_(::getpid()) {
  survive_fork();
  const std::lock_guard lock(mutex);
  next_.store(loops.load());
  loops.store(this);
}

LoopSignals::~LoopSignals() {
  for (SignalStream& stream : streams_) {
    remove(stream);
    stream.signals_ = nullptr;
  }
  for (int signum = 1; signum <= most; ++signum)
    if (callbacks_[signum] != nullptr) set_callback(signum, nullptr);
  {
    const std::lock_guard lock(mutex);
    std::atomic<LoopSignals*>* link = &loops;
    while (link->load() != this) link = &link->load()->next_;
    link->store(next_.load());
  }
  while (handlers_running.load() != 0) ::sched_yield();
}

void LoopSignals::want(int signum) {
  if (users_[signum] == 0) {
    const std::lock_guard lock(mutex);
    counts_[signum].store(0);
    wanted_.fetch_or(bit_of(signum));
    if (loops_that_want[signum] == 0) {
      struct sigaction action = {};
      action.sa_handler = &on_signal;
      action.sa_flags = SA_RESTART;
      sigemptyset(&action.sa_mask);
      ::sigaction(signum, nullptr, &before[signum]);
      installed_by[signum].store(::getpid());
      if (::sigaction(signum, &action, nullptr) != 0) {
        const int error = errno;
        wanted_.fetch_and(~bit_of(signum));
        throw_errno(error, "sigaction", -1);
      }
    }
    ++loops_that_want[signum];
  }
  ++users_[signum];
}

void LoopSignals::unwant(int signum) noexcept {
  if (--users_[signum] != 0) return;
  const std::lock_guard lock(mutex);
  if (--loops_that_want[signum] == 0) {
    struct sigaction now = {};
    // Somebody else may have taken it since.
    if (::sigaction(signum, nullptr, &now) == 0 && now.sa_handler == &on_signal)
      ::sigaction(signum, &before[signum], nullptr);
  }
  wanted_.fetch_and(~bit_of(signum));
}

void LoopSignals::adopt() noexcept {
  process_.store(::getpid());
  for (int signum = 1; signum <= most; ++signum)
    if (users_[signum] != 0) installed_by[signum].store(::getpid());
}

bool LoopSignals::set_callback(int signum, Callback* callback) {
  if (callback != nullptr) want(signum);
  Callback* const replaced = std::exchange(callbacks_[signum], callback);
  if (replaced == nullptr) return false;
  unwant(signum);
  replaced->abandon();
  return true;
}

void LoopSignals::add(SignalStream& stream) {
  for (int signum = 1; signum <= most; ++signum) {
    if (!stream.set_.contains(signum)) continue;
    try {
      want(signum);
    } catch (...) {
      while (--signum > 0)
        if (stream.set_.contains(signum)) unwant(signum);
      throw;
    }
  }
  stream.signals_ = this;
  streams_.push_front(stream);
}

void LoopSignals::remove(SignalStream& stream) noexcept {
  IntrusiveList<SignalStream>::remove(stream);
  for (int signum = 1; signum <= most; ++signum)
    if (stream.set_.contains(signum)) unwant(signum);
}

void LoopSignals::deliver() noexcept {
  if (!came_.exchange(false)) return;
  for (int signum = 1; signum <= most; ++signum) {
    const std::uint32_t count = counts_[signum].exchange(0);
    if (count == 0) continue;
    if (callbacks_[signum] != nullptr) callbacks_[signum]->schedule(loop_);
    for (SignalStream& stream : streams_)
      if (stream.set_.contains(signum)) stream.deliver(signum, count);
  }
}

// The loop's door to them.

LoopSignals& EventLoop::signals() {
  if (closed_) throw std::logic_error("the event loop is closed");
  if (signals_ == nullptr) signals_ = new LoopSignals(*this);
  return *signals_;
}

bool EventLoop::set_signal_callback(int signum, Callback* callback) {
  if (callback == nullptr) {
    check(signum);
    return signals_ != nullptr && signals_->set_callback(signum, nullptr);
  }
  callback->set_repeats();
  try {
    check(signum);
    return signals().set_callback(signum, callback);
  } catch (...) {
    callback->abandon();
    throw;
  }
}

// Streams.

void SignalSet::add(int signum) {
  check(signum);
  bits_ |= bit_of(signum);
}

SignalStream::SignalStream(const SignalSet& signals) : set_(signals) {
  EventLoop::running().signals().add(*this);
}

SignalStream::~SignalStream() {
  if (signals_ != nullptr) signals_->remove(*this);
}

void SignalStream::deliver(int signum, std::uint32_t count) noexcept {
  counts_[signum - 1] += count;
  hand_out();
}

int SignalStream::try_next() noexcept {
  constexpr int all = LoopSignals::most;
  for (int i = 0; i < all; ++i) {
    const int index = (last_ + i) % all;  // last_ counts from one, so this is the one after it
    if (counts_[index] == 0) continue;
    --counts_[index];
    return last_ = index + 1;
  }
  return 0;
}

void SignalStream::hand_out() noexcept {
  while (!waiters_.empty()) {
    const int signum = try_next();
    if (signum == 0) return;
    static_cast<Next&>(waiters_.first()).signum_ = signum;
    waiters_.grant_first();
  }
}

bool SignalStream::Next::await_ready() {
  check_can_begin();
  signum_ = stream_.waiters_.empty() ? stream_.try_next() : 0;
  if (signum_ == 0 && stream_.signals_ == nullptr)
    throw std::logic_error("waiting for a signal on an event loop that has closed");
  return attempt(signum_ != 0);
}

Task<int> first_signal(SignalSet signals) {
  SignalStream stream(signals);
  co_return co_await stream.next();
}

}  // namespace heddle
