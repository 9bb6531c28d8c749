// Mailbox: the stack and its wake-up descriptor (an eventfd on Linux, a pipe elsewhere).
// SPDX-License-Identifier: MIT
#include "mailbox.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <utility>

#ifdef __linux__
#include <sys/eventfd.h>
#endif

#include "../../selector/errors.hpp"

namespace heddle::detail {

namespace {

// What the head points to once the loop has closed.
void never_runs(Runnable&) noexcept {}
struct Closed final : Runnable {
  Closed() noexcept : Runnable(&never_runs) {}
};
Closed closed;

}  // namespace

Mailbox::Mailbox() {
#ifdef __linux__
  read_fd_ = write_fd_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (read_fd_ < 0) throw_errno(errno, "eventfd", -1);
#else
  int ends[2];
  if (::pipe(ends) != 0) throw_errno(errno, "pipe", -1);
  read_fd_ = ends[0];
  write_fd_ = ends[1];
  prepare(read_fd_);
  prepare(write_fd_);
#endif
}

void Mailbox::prepare(int fd) noexcept {
  ::fcntl(fd, F_SETFL, O_NONBLOCK);
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

void Mailbox::renew() {
  const Mailbox fresh;
  for (const auto& [from, to] :
       {std::pair(fresh.read_fd_, read_fd_), std::pair(fresh.write_fd_, write_fd_)}) {
    if (::dup2(from, to) < 0) throw_errno(errno, "dup2", to);
    prepare(to);
  }
  interrupted_.store(false, std::memory_order_relaxed);  // that was the parent's
  lost_.store(false, std::memory_order_relaxed);
  process_.move_here();
}

Mailbox::~Mailbox() {
  if (is_lost()) return;
  ::close(read_fd_);
  if (write_fd_ != read_fd_) ::close(write_fd_);
}

bool Mailbox::post(Runnable& runnable) noexcept {
  Runnable* head = head_.load(std::memory_order_relaxed);
  do {
    if (head == &closed) return false;
    runnable.next = head;
  } while (!head_.compare_exchange_weak(head, &runnable, std::memory_order_seq_cst));
  // The first to find the loop asleep wakes it for all.
  if (asleep_.load(std::memory_order_seq_cst) && asleep_.exchange(false)) wake();
  return true;
}

void Mailbox::wake() const noexcept {
  if (!process_.is_here() || is_lost()) return;
  const int saved = errno;
  const std::uint64_t one = 1;
  // Full means readable already.
  [[maybe_unused]] const auto written = ::write(write_fd_, &one, sizeof one);
  errno = saved;
}

bool Mailbox::fall_asleep() noexcept {
  asleep_.store(true, std::memory_order_seq_cst);
  if (head_.load(std::memory_order_seq_cst) == nullptr) return true;
  awake();
  return false;
}

int Mailbox::drain() noexcept {
  std::uint64_t bytes[8];
  std::ptrdiff_t size = 0;
  do size = ::read(read_fd_, bytes, sizeof bytes);
  while (size == sizeof bytes || (size < 0 && errno == EINTR));
  if (size >= 0 || errno == EAGAIN) return 0;
  lost_.store(true, std::memory_order_relaxed);
  return errno;
}

Runnable* Mailbox::oldest_first(Runnable* newest) noexcept {
  Runnable* list = nullptr;
  while (newest != nullptr && newest != &closed) {
    Runnable* const older = std::exchange(newest->next, list);
    list = std::exchange(newest, older);
  }
  return list;
}

Runnable* Mailbox::take() noexcept {
  return oldest_first(head_.exchange(nullptr, std::memory_order_acquire));
}

Runnable* Mailbox::close() noexcept {
  return oldest_first(head_.exchange(&closed, std::memory_order_acquire));
}

}  // namespace heddle::detail
