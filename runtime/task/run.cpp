// drive_main: SIGINT as asyncio.run() treats it.
// SPDX-License-Identifier: MIT
#include "run.hpp"

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <stdexcept>

#include "../core/trace.hpp"
#include "../loop/mailbox.hpp"

namespace heddle::detail {

namespace {

// The one run() of the process that takes SIGINT, and whether one came.
std::atomic<Mailbox*> interrupt_mailbox{nullptr};
std::atomic<bool> interrupt_came{false};
static_assert(std::atomic<Mailbox*>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

// How many handlers run: whoever has stored null into interrupt_mailbox waits for them.
std::atomic<int> interrupt_handlers{0};

// In the child of a fork() those that other threads ran would count as running for ever.
[[maybe_unused]] const int fork_handlers =
    ::pthread_atfork(nullptr, nullptr, [] { interrupt_handlers.store(0); });

void on_sigint(int) {
  interrupt_handlers.fetch_add(1);
  Mailbox* const mailbox = interrupt_mailbox.load();
  if (mailbox != nullptr && mailbox->is_in_its_process()) {
    interrupt_came.store(true);
    mailbox->interrupt();
  } else {  // put back by somebody after its run() had ended; or the run() is the parent's of this process
    ::signal(SIGINT, SIG_DFL);
    ::raise(SIGINT);
  }
  interrupt_handlers.fetch_sub(1);
}

// Takes SIGINT if its disposition is the default one, and puts that back.
class InterruptGuard {
 public:
  explicit InterruptGuard(Mailbox& mailbox) noexcept {
    struct sigaction before = {};
    if (::sigaction(SIGINT, nullptr, &before) != 0 || (before.sa_flags & SA_SIGINFO) != 0) return;
    // In the child of a fork() the parent's run() has left its handler.
    Mailbox* other = interrupt_mailbox.load();
    const bool inherited = other != nullptr && !other->is_in_its_process();
    if (before.sa_handler != SIG_DFL && !(inherited && before.sa_handler == &on_sigint)) return;
    if (!inherited) other = nullptr;
    if (!interrupt_mailbox.compare_exchange_strong(other, &mailbox)) return;
    mailbox_ = &mailbox;
    interrupt_came.store(false);
    struct sigaction action = {};
    action.sa_handler = &on_sigint;
    action.sa_flags = static_cast<int>(SA_RESETHAND);  // the second one ends the process
    sigemptyset(&action.sa_mask);
    installed_ = ::sigaction(SIGINT, &action, nullptr) == 0;
  }
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  ~InterruptGuard() {
    if (interrupt_mailbox.load() != mailbox_ || mailbox_ == nullptr) return;
    struct sigaction now = {};
    if (::sigaction(SIGINT, nullptr, &now) == 0 && now.sa_handler == &on_sigint) {
      now.sa_handler = SIG_DFL;
      now.sa_flags = 0;
      ::sigaction(SIGINT, &now, nullptr);
    }
    interrupt_mailbox.store(nullptr);
    while (interrupt_handlers.load() > 0) {  // on other threads, for some instructions
    }
  }

  bool came() const noexcept { return installed_ && interrupt_came.load(); }

 private:
  Mailbox* mailbox_ = nullptr;  // where this takes SIGINT; another run() may have, in the child of a fork()
  bool installed_ = false;
};

}  // namespace

void ClosesLoop::task_done(TaskState&) noexcept { loop_.begin_close(spared_); }

void check_no_loop_runs() {
  if (current.loop != nullptr)
    throw std::logic_error(
        "heddle::run() was called from a running event loop: co_await or spawn() the task instead");
}

bool drive_main(EventLoop& loop, TaskState& main) {
  const InterruptGuard guard(loop.mailbox());
  const ClosesLoop closes(main);
  bool interrupted = false;
  while (!main.done()) {
    loop.run_until_complete(main);
    if (!interrupted && guard.came()) {
      interrupted = true;
      main.cancel();
    }
  }
  loop.close();
  if (main.outcome() == Outcome::ERROR) trace_at_terminate();
  return interrupted;
}

}  // namespace heddle::detail
