// LoopSignals, SignalStream: the signal handler of the process, and its way to callbacks and streams.
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

using namespace detail;

namespace {

constexpr std::uint64_t bit_of(int signum) noexcept { return std::uint64_t{1} << (signum - 1); }

// Read by the signal handler, which can't take a lock. The list is changed under the mutex below; a
// LoopSignals that was taken off it waits until no handler runs any more that might have reached it before.
std::atomic<LoopSignals*> loops{nullptr};
std::atomic<int> handlers_running{0};
std::atomic<int> installed_by[LoopSignals::most + 1];  // the process that installed our handler, 0: none
struct sigaction before[LoopSignals::most + 1];
static_assert(std::atomic<LoopSignals*>::is_always_lock_free && std::atomic<int>::is_always_lock_free &&
              std::atomic<std::uint64_t>::is_always_lock_free);

std::mutex mutex;
unsigned loops_catching[LoopSignals::most + 1];

// In the child of a fork() the other threads don't exist: a mutex that one of them held would stay locked,
// and a handler that one of them ran would count as running for ever.
[[maybe_unused]] const int fork_handlers = ::pthread_atfork([] { mutex.lock(); }, [] { mutex.unlock(); },
                                                            [] {
                                                              handlers_running.store(0);
                                                              // Nobody catches anything here, until a loop is
                                                              // made or goes on.
                                                              for (unsigned& count : loops_catching)
                                                                count = 0;
                                                              mutex.unlock();
                                                            });

void check_can_be_caught(int signum) {
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
    // In the child of a fork() the list still has the parent's loops.
    if ((each->caught_.load() & bit_of(signum)) == 0 || each->process_.load() != process) continue;
    ours = true;
    each->counts_[signum].fetch_add(1);
    each->pending_.store(true);
    each->mailbox_.wake();
  }
  handlers_running.fetch_sub(1);
  if (!ours && installed_by[signum].load() != process) pass_on(signum);
  errno = saved;
}

// In the child of a fork() that doesn't go on with its parent's loop, the signal does what it did before it
// was caught.
void LoopSignals::pass_on(int signum) noexcept {
  ::sigaction(signum, &before[signum], nullptr);
  ::raise(signum);  // as soon as this handler has returned
}

// Changing what is caught.

LoopSignals::LoopSignals(EventLoop& loop) : loop_(loop), mailbox_(loop.mailbox()), process_(::getpid()) {
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

int LoopSignals::install(int signum) noexcept {
  struct sigaction action = {};
  action.sa_handler = &on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  struct sigaction now = {};
  // In the child of a fork() our handler may be there already, and what was before it is known.
  if (::sigaction(signum, nullptr, &now) == 0 && now.sa_handler != &on_signal) before[signum] = now;
  installed_by[signum].store(::getpid());
  return ::sigaction(signum, &action, nullptr) != 0 ? errno : 0;
}

void LoopSignals::start_catching(int signum) {
  if (users_[signum] == 0) {
    const std::lock_guard lock(mutex);
    counts_[signum].store(0);
    caught_.fetch_or(bit_of(signum));
    if (loops_catching[signum] == 0) {
      if (const int error = install(signum); error != 0) {
        caught_.fetch_and(~bit_of(signum));
        throw_errno(error, "sigaction", -1);
      }
    }
    ++loops_catching[signum];
  }
  ++users_[signum];
}

void LoopSignals::stop_catching(int signum) noexcept {
  if (--users_[signum] != 0) return;
  const std::lock_guard lock(mutex);
  // (In the child of a fork() a loop that is the parent's still doesn't count.)
  if (loop_.is_in_its_process() && --loops_catching[signum] == 0) {
    struct sigaction now = {};
    // The program may have installed another handler since.
    if (::sigaction(signum, nullptr, &now) == 0 && now.sa_handler == &on_signal)
      ::sigaction(signum, &before[signum], nullptr);
  }
  caught_.fetch_and(~bit_of(signum));
}

void LoopSignals::adopt() noexcept {
  const std::lock_guard lock(mutex);
  // What came before the fork() is for the parent.
  pending_.store(false);
  for (int signum = 1; signum <= most; ++signum) {
    counts_[signum].store(0);
    if (users_[signum] == 0) continue;
    ++loops_catching[signum];
    installed_by[signum].store(::getpid());
    // A signal since the fork() has put back what was before, which pass_on() does.
    struct sigaction now = {};
    if (::sigaction(signum, nullptr, &now) == 0 && now.sa_handler == before[signum].sa_handler)
      install(signum);
  }
  process_.store(::getpid());
}

bool LoopSignals::can_wake_anybody() const noexcept {
  for (int signum = 1; signum <= most; ++signum)
    if (users_[signum] > (signum == passive_ ? 1U : 0U)) return true;
  return false;
}

bool LoopSignals::set_callback(int signum, Callback* callback) {
  if (callback != nullptr) start_catching(signum);
  if (signum == passive_) passive_ = 0;
  Callback* const replaced = std::exchange(callbacks_[signum], callback);
  if (replaced == nullptr) return false;
  stop_catching(signum);
  replaced->abandon();
  return true;
}

void LoopSignals::add(SignalStream& stream) {
  for (int signum = 1; signum <= most; ++signum) {
    if (!stream.set_.contains(signum)) continue;
    try {
      start_catching(signum);
    } catch (...) {
      while (--signum > 0)
        if (stream.set_.contains(signum)) stop_catching(signum);
      throw;
    }
  }
  stream.signals_ = this;
  streams_.push_front(stream);
}

void LoopSignals::remove(SignalStream& stream) noexcept {
  IntrusiveList<SignalStream>::remove(stream);
  for (int signum = 1; signum <= most; ++signum)
    if (stream.set_.contains(signum)) stop_catching(signum);
}

void LoopSignals::deliver() noexcept {
  if (!pending_.exchange(false)) return;
  for (int signum = 1; signum <= most; ++signum) {
    const std::uint32_t count = counts_[signum].exchange(0);
    if (count == 0) continue;
    if (callbacks_[signum] != nullptr) callbacks_[signum]->schedule(loop_);
    for (SignalStream& stream : streams_)
      if (stream.set_.contains(signum)) stream.deliver(signum, count);
  }
}

// What EventLoop has of them.

LoopSignals& EventLoop::signals() {
  check_open();
  check_process();
  if (signals_ == nullptr) signals_ = new LoopSignals(*this);
  return *signals_;
}

bool EventLoop::set_signal_callback(int signum, Callback* callback) {
  use("EventLoop.add_signal_handler()");
  if (callback == nullptr) {
    check_can_be_caught(signum);
    return signals_ != nullptr && signals_->set_callback(signum, nullptr);
  }
  callback->set_repeats();
  try {
    check_can_be_caught(signum);
    return signals().set_callback(signum, callback);
  } catch (...) {
    callback->abandon();
    throw;
  }
}

// Streams.

void SignalSet::add(int signum) {
  check_can_be_caught(signum);
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
  grant_waiters();
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

void SignalStream::grant_waiters() noexcept {
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
