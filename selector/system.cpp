// KernelSystem: the real kernel, one system call each.
// SPDX-License-Identifier: MIT
#include "system.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#ifdef __linux__
#include <sys/sendfile.h>
#include <sys/syscall.h>
#endif

#include "immortal.hpp"

namespace heddle {

namespace {

template <class Number>
Number or_errno(Number result) noexcept {
  return result < 0 ? static_cast<Number>(-errno) : result;
}

#ifdef MSG_NOSIGNAL
constexpr int no_signal = MSG_NOSIGNAL;
#else
constexpr int no_signal = 0;  // SO_NOSIGPIPE is set instead
#endif

// recv(), send() and recvmsg() are made for every message, so on x86-64 Linux they enter the kernel without
// libc: its wrappers, errno and cancellation points are half of their user-mode cost. With HEDDLE_LIBC_IO
// they go through libc, for those who interpose its functions, and under a sanitizer, which has to see the
// buffers.
#if defined(__linux__) && defined(__x86_64__) && !defined(HEDDLE_LIBC_IO) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define HEDDLE_DIRECT_IO 1
#endif
#if defined(HEDDLE_DIRECT_IO) && defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#undef HEDDLE_DIRECT_IO
#endif
#endif

#ifdef HEDDLE_DIRECT_IO
// recvfrom(2) and sendto(2) without an address, and recvmsg(2), which has `flags` third; x86-64's convention
// (syscall(2)), by which errors come negated.
template <long number>
std::ptrdiff_t transfer_bytes(int fd, const void* data, std::size_t size, int flags) noexcept {
  long result;
  register long r10 __asm__("r10") = flags;
  register long r8 __asm__("r8") = 0;
  register long r9 __asm__("r9") = 0;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "0"(number), "D"(fd), "S"(data), "d"(size), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}
#endif

#ifdef MSG_CMSG_CLOEXEC
constexpr int close_on_exec = MSG_CMSG_CLOEXEC;
#else
constexpr int close_on_exec = 0;
#endif

// While it lives, SIGPIPE is blocked on this thread, and one that the call inside has raised is consumed at
// the end: for system calls without a flag like MSG_NOSIGNAL.
class NoSigpipe {
 public:
  NoSigpipe() noexcept {
    sigemptyset(&sigpipe_);
    sigaddset(&sigpipe_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &sigpipe_, &before_);
    sigset_t pending;
    was_pending_ = sigismember(&before_, SIGPIPE) == 1 && ::sigpending(&pending) == 0 &&
                   sigismember(&pending, SIGPIPE) == 1;
  }
  NoSigpipe(const NoSigpipe&) = delete;
  ~NoSigpipe() {
    sigset_t pending;
    int signal = 0;
    if (raised_ && !was_pending_ && ::sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1)
      ::sigwait(&sigpipe_, &signal);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

  // Notes from the result of a call that was to write `count` bytes whether it may have raised SIGPIPE, and
  // returns that result. A call that has written a part when it finds the reader gone raises the signal, too,
  // and returns the size of that part.
  std::ptrdiff_t watch(std::ptrdiff_t result, std::size_t count) noexcept {
    raised_ = result == -EPIPE || (result >= 0 && static_cast<std::size_t>(result) < count);
    return result;
  }

 private:
  sigset_t sigpipe_;
  sigset_t before_;
  bool was_pending_ = false;
  bool raised_ = false;  // possibly
};

#ifndef __linux__
// Sets the flags afterwards, where accept4() and SOCK_NONBLOCK don't exist.
int prepared(int fd) noexcept {
  if (fd < 0) return -errno;
  const int flags = ::fcntl(fd, F_GETFL, 0);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || ::fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
    const int error = errno;
    ::close(fd);
    return -error;
  }
#ifdef SO_NOSIGPIPE
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
  return fd;
}
#endif

#ifdef __linux__
#ifdef RWF_NOSIGNAL
constexpr int write_no_signal = RWF_NOSIGNAL;
#else
constexpr int write_no_signal = 0x100;
#endif

// Whether pwritev2(2) has the flag RWF_NOSIGNAL, as it does since Linux 6.18.
bool can_write_without_signal() noexcept {
  static constinit std::atomic<int> known{-1};
  int can = known.load(std::memory_order_relaxed);
  if (can >= 0) return can != 0;
  const int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (null < 0) {
    if (errno != EMFILE && errno != ENFILE && errno != EINTR) known.store(0, std::memory_order_relaxed);
    return false;
  }
  char byte = 0;
  const iovec data{&byte, 1};
  can = ::pwritev2(null, &data, 1, -1, write_no_signal) == 1 ? 1 : 0;
  ::close(null);
  known.store(can, std::memory_order_relaxed);
  return can != 0;
}
#endif

}  // namespace

System::~System() = default;

int System::pipe(int*) noexcept { return -ENOSYS; }
int System::pidfd_open(int) noexcept { return -ENOSYS; }
int System::open(const char*, int, unsigned) noexcept { return -ENOSYS; }
std::ptrdiff_t System::pread(int, void*, std::size_t, std::int64_t) noexcept { return -ENOSYS; }
std::ptrdiff_t System::pread_now(int, void*, std::size_t, std::int64_t) noexcept { return -ENOSYS; }
std::ptrdiff_t System::pwrite(int, const void*, std::size_t, std::int64_t) noexcept { return -ENOSYS; }
int System::sync(int, bool) noexcept { return -ENOSYS; }
int System::ftruncate(int, std::int64_t) noexcept { return -ENOSYS; }
std::int64_t System::file_size(int) noexcept { return -ENOSYS; }
std::size_t System::unread(int) noexcept { return 0; }
std::ptrdiff_t System::take_unread(int, void*, std::size_t) noexcept { return 0; }
int System::release(int) noexcept { return 0; }

TimePoint KernelSystem::now() noexcept {
  return std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now());
}

int KernelSystem::socket(int domain, int type, int protocol) noexcept {
#ifdef __linux__
  return or_errno(::socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
#else
  return prepared(::socket(domain, type, protocol));
#endif
}

int KernelSystem::socketpair(int domain, int type, int protocol, int fds[2]) noexcept {
#ifdef __linux__
  return or_errno(::socketpair(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol, fds));
#else
  if (::socketpair(domain, type, protocol, fds) < 0) return -errno;
  for (const int i : {0, 1}) {
    const int result = prepared(fds[i]);
    if (result < 0) {
      ::close(fds[1 - i]);
      return result;
    }
  }
  return 0;
#endif
}

int KernelSystem::bind(int fd, const sockaddr* address, unsigned length) noexcept {
  return or_errno(::bind(fd, address, length));
}

int KernelSystem::listen(int fd, int backlog) noexcept { return or_errno(::listen(fd, backlog)); }

int KernelSystem::accept(int fd, sockaddr* address, unsigned* length) noexcept {
#ifdef __linux__
  return or_errno(::accept4(fd, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC));
#else
  return prepared(::accept(fd, address, length));
#endif
}

int KernelSystem::connect(int fd, const sockaddr* address, unsigned length) noexcept {
  return or_errno(::connect(fd, address, length));
}

int KernelSystem::shutdown(int fd, int how) noexcept { return or_errno(::shutdown(fd, how)); }

int KernelSystem::close(int fd) noexcept { return or_errno(::close(fd)); }

std::ptrdiff_t KernelSystem::recv(int fd, void* data, std::size_t size, int flags) noexcept {
#ifdef HEDDLE_DIRECT_IO
  return transfer_bytes<SYS_recvfrom>(fd, data, size, flags);
#else
  return or_errno(::recv(fd, data, size, flags));
#endif
}

std::ptrdiff_t KernelSystem::send(int fd, const void* data, std::size_t size, int flags) noexcept {
#ifdef HEDDLE_DIRECT_IO
  return transfer_bytes<SYS_sendto>(fd, data, size, flags | no_signal);
#else
  return or_errno(::send(fd, data, size, flags | no_signal));
#endif
}

std::ptrdiff_t KernelSystem::recvmsg(int fd, msghdr* message, int flags) noexcept {
#ifdef HEDDLE_DIRECT_IO
  return transfer_bytes<SYS_recvmsg>(fd, message, static_cast<unsigned>(flags | close_on_exec), 0);
#else
  return or_errno(::recvmsg(fd, message, flags | close_on_exec));
#endif
}

std::ptrdiff_t KernelSystem::sendmsg(int fd, const msghdr* message, int flags) noexcept {
  return or_errno(::sendmsg(fd, message, flags | no_signal));
}

#ifdef __linux__
int KernelSystem::recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags) noexcept {
  return or_errno(::recvmmsg(fd, messages, count, flags | close_on_exec, nullptr));
}

int KernelSystem::sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) noexcept {
  return or_errno(::sendmmsg(fd, messages, count, flags | no_signal));
}

std::ptrdiff_t KernelSystem::sendfile(int to, int from, std::int64_t* offset, std::size_t count) noexcept {
  off64_t position = *offset;
  NoSigpipe guard;
  const std::ptrdiff_t result = guard.watch(or_errno(::sendfile64(to, from, &position, count)), count);
  *offset = position;
  return result;
}

std::ptrdiff_t KernelSystem::splice(int from, int to, std::size_t count) noexcept {
  NoSigpipe guard;
  return guard.watch(or_errno(::splice(from, nullptr, to, nullptr, count, SPLICE_F_MOVE | SPLICE_F_NONBLOCK)),
                     count);
}
#else
int KernelSystem::recvmmsg(int, mmsghdr*, unsigned, int) noexcept { return -ENOSYS; }
int KernelSystem::sendmmsg(int, mmsghdr*, unsigned, int) noexcept { return -ENOSYS; }
std::ptrdiff_t KernelSystem::sendfile(int, int, std::int64_t*, std::size_t) noexcept { return -ENOSYS; }
std::ptrdiff_t KernelSystem::splice(int, int, std::size_t) noexcept { return -ENOSYS; }
#endif

std::ptrdiff_t KernelSystem::read(int fd, void* data, std::size_t size) noexcept {
  return or_errno(::read(fd, data, size));
}

std::ptrdiff_t KernelSystem::write(int fd, const void* data, std::size_t size) noexcept {
#ifdef __linux__
  if (can_write_without_signal()) [[likely]] {
    const iovec buffer{const_cast<void*>(data), size};
    const std::ptrdiff_t result = or_errno(::pwritev2(fd, &buffer, 1, -1, write_no_signal));
    // Some drivers take no flags (EOPNOTSUPP), and a sandbox may allow write(2) only (EPERM).
    if (result != -EOPNOTSUPP && result != -EPERM) return result;
  }
#endif
  NoSigpipe guard;
  return guard.watch(or_errno(::write(fd, data, size)), size);
}

int KernelSystem::getsockname(int fd, sockaddr* address, unsigned* length) noexcept {
  return or_errno(::getsockname(fd, address, length));
}

int KernelSystem::getpeername(int fd, sockaddr* address, unsigned* length) noexcept {
  return or_errno(::getpeername(fd, address, length));
}

int KernelSystem::getsockopt(int fd, int level, int name, void* value, unsigned* length) noexcept {
  return or_errno(::getsockopt(fd, level, name, value, length));
}

int KernelSystem::setsockopt(int fd, int level, int name, const void* value, unsigned length) noexcept {
  return or_errno(::setsockopt(fd, level, name, value, length));
}

int KernelSystem::lstat(const char* path, struct stat* result) noexcept {
  return or_errno(::lstat(path, result));
}

int KernelSystem::unlink(const char* path) noexcept { return or_errno(::unlink(path)); }

int KernelSystem::poll_now(int fd, short events) noexcept {
  pollfd entry{fd, events, 0};
  const int count = ::poll(&entry, 1, 0);
  return count < 0 ? -errno : entry.revents;
}

int KernelSystem::pipe(int* ends) noexcept {
#ifdef __linux__
  return or_errno(::pipe2(ends, O_NONBLOCK | O_CLOEXEC));
#else
  if (::pipe(ends) < 0) return -errno;
  const int first = prepared(ends[0]);  // which closes it where it fails
  if (first < 0) {
    ::close(ends[1]);
    return first;
  }
  const int second = prepared(ends[1]);
  if (second < 0) ::close(ends[0]);
  return second < 0 ? second : 0;
#endif
}

int KernelSystem::pidfd_open([[maybe_unused]] int pid) noexcept {
#ifdef SYS_pidfd_open
  return or_errno(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
#else
  return -ENOSYS;
#endif
}

int KernelSystem::open(const char* path, int flags, unsigned mode) noexcept {
  return or_errno(::open(path, flags | O_CLOEXEC, mode));
}

std::ptrdiff_t KernelSystem::pread(int fd, void* data, std::size_t size, std::int64_t offset) noexcept {
  return or_errno(::pread(fd, data, size, offset));
}

std::ptrdiff_t KernelSystem::pread_now(int fd, void* data, std::size_t size, std::int64_t offset) noexcept {
#ifdef RWF_NOWAIT
  const iovec piece{data, size};
  return or_errno(::preadv2(fd, &piece, 1, offset, RWF_NOWAIT));
#else
  return System::pread_now(fd, data, size, offset);
#endif
}

std::ptrdiff_t KernelSystem::pwrite(int fd, const void* data, std::size_t size,
                                    std::int64_t offset) noexcept {
  return or_errno(::pwrite(fd, data, size, offset));
}

int KernelSystem::sync(int fd, bool data_only) noexcept {
#ifdef __APPLE__
  data_only = false;
#else
  if (data_only) return or_errno(::fdatasync(fd));
#endif
  return or_errno(::fsync(fd));
}

int KernelSystem::ftruncate(int fd, std::int64_t size) noexcept { return or_errno(::ftruncate(fd, size)); }

std::int64_t KernelSystem::file_size(int fd) noexcept {
  struct stat status;
  return ::fstat(fd, &status) < 0 ? -errno : static_cast<std::int64_t>(status.st_size);
}

namespace {

constinit detail::Immortal<KernelSystem> the_kernel;  // descriptors may be closed during exit

}  // namespace

System& kernel_system() noexcept { return the_kernel.value; }

}  // namespace heddle
