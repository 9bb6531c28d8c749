// drive_main: SIGINT as asyncio.run() treats it.
// SPDX-License-Identifier: MIT
#include "run.hpp"

#include <signal.h>

#include <atomic>
#include <stdexcept>

#include "../loop/mailbox.hpp"

namespace heddle::detail {

namespace {

// The one run() of the process that takes SIGINT, and whether one came.
std::atomic<Mailbox*> interrupt_mailbox{nullptr};
std::atomic<bool> interrupt_came{false};
static_assert(std::atomic<Mailbox*>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

// How many handlers run: whoever has stored null into interrupt_mailbox waits for them.
std::atomic<int> interrupt_handlers{0};

void on_sigint(int) {
  interrupt_handlers.fetch_add(1);
  if (Mailbox* const mailbox = interrupt_mailbox.load()) {
    interrupt_came.store(true);
    mailbox->interrupt();
  } else {  // put back by somebody after its run() had ended
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
    if (::sigaction(SIGINT, nullptr, &before) != 0 || (before.sa_flags & SA_SIGINFO) != 0 ||
        before.sa_handler != SIG_DFL)
      return;
    Mailbox* nobody = nullptr;
    if (!interrupt_mailbox.compare_exchange_strong(nobody, &mailbox)) return;
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
    if (!installed_) return;
    struct sigaction now = {};
    if (::sigaction(SIGINT, nullptr, &now) == 0 && now.sa_handler == &on_sigint) {
      now.sa_handler = SIG_DFL;
      now.sa_flags = 0;
      ::sigaction(SIGINT, &now, nullptr);
    }
    interrupt_mailbox.store(nullptr);
    while (interrupt_handlers.load() != 0) {  // on other threads, for some instructions
    }
  }

  bool came() const noexcept { return installed_ && interrupt_came.load(); }

 private:
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
  return interrupted;
}

}  // namespace heddle::detail
