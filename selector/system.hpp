// System: the clock, and every system call that moves bytes or makes descriptors.
// SPDX-License-Identifier: MIT
#pragma once

#include "export.hpp"  // first

#include <chrono>
#include <cstddef>
#include <cstdint>

struct iovec;
struct mmsghdr;
struct msghdr;
struct sockaddr;
struct stat;

HEDDLE_HEADER_BEGIN

namespace heddle {

/// A point on the monotonic clock of a System.
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;

/// The system calls that heddle makes. An event loop is constructed with one (a KernelSystem by default), and
/// what moves bytes above the loop reaches the kernel through it alone, so a test can put failing, slow or
/// simulated calls in its place. (io/README.md lists the calls that bypass it.)
///
/// Every call has the arguments and the meaning of the POSIX function of its name, and returns what that
/// returns, but a failure is the errno negated (-EAGAIN), never -1. Descriptors that are made here are
/// non-blocking and close-on-exec; those that recvmsg() receives are close-on-exec. No write raises SIGPIPE.
/// A call that the platform doesn't have is -ENOSYS, and so is what a System that derives from this one
/// directly doesn't override.
class HEDDLE_EXPORT System {
 public:
  virtual ~System();

  virtual TimePoint now() noexcept = 0;
  /// now() is the kernel's CLOCK_MONOTONIC, which goes on by itself and which no poll of a selector moves: so
  /// a loop may spare polls, and let timers share a wake-up. (kernel_system() needn't say so.)
  virtual bool has_kernel_clock() const noexcept { return false; }

  virtual int socket(int domain, int type, int protocol) noexcept = 0;
  virtual int socketpair(int domain, int type, int protocol, int fds[2]) noexcept = 0;
  virtual int bind(int fd, const sockaddr* address, unsigned length) noexcept = 0;
  virtual int listen(int fd, int backlog) noexcept = 0;
  virtual int accept(int fd, sockaddr* address, unsigned* length) noexcept = 0;
  virtual int connect(int fd, const sockaddr* address, unsigned length) noexcept = 0;
  virtual int shutdown(int fd, int how) noexcept = 0;
  virtual int close(int fd) noexcept = 0;

  virtual std::ptrdiff_t recv(int fd, void* data, std::size_t size, int flags) noexcept = 0;
  virtual std::ptrdiff_t send(int fd, const void* data, std::size_t size, int flags) noexcept = 0;
  virtual std::ptrdiff_t recvmsg(int fd, msghdr* message, int flags) noexcept = 0;
  virtual std::ptrdiff_t sendmsg(int fd, const msghdr* message, int flags) noexcept = 0;
  /// recvmmsg(2) without a timeout, sendmmsg(2).
  virtual int recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags) noexcept = 0;
  virtual int sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) noexcept = 0;
  /// sendfile(2): `offset` moves on by what was sent. Like send(), neither this nor splice() raises SIGPIPE.
  virtual std::ptrdiff_t sendfile(int to, int from, std::int64_t* offset, std::size_t count) noexcept = 0;
  /// splice(2) at the descriptors' own positions, without waiting.
  virtual std::ptrdiff_t splice(int from, int to, std::size_t count) noexcept = 0;
  virtual std::ptrdiff_t read(int fd, void* data, std::size_t size) noexcept = 0;
  virtual std::ptrdiff_t write(int fd, const void* data, std::size_t size) noexcept = 0;

  virtual int getsockname(int fd, sockaddr* address, unsigned* length) noexcept = 0;
  virtual int getpeername(int fd, sockaddr* address, unsigned* length) noexcept = 0;
  virtual int getsockopt(int fd, int level, int name, void* value, unsigned* length) noexcept = 0;
  virtual int setsockopt(int fd, int level, int name, const void* value, unsigned length) noexcept = 0;

  virtual int lstat(const char* path, struct stat* result) noexcept = 0;
  virtual int unlink(const char* path) noexcept = 0;

  /// What of `events` (poll(2) bits) holds for `fd` now, without waiting: the bits, 0 for none, or the errno
  /// negated.
  virtual int poll_now(int fd, short events) noexcept = 0;

  /// A pipe: what is written to ends[1] is read from ends[0].
  virtual int pipe(int* ends) noexcept;
  /// A descriptor that is readable when the child process `pid` has ended; -ENOSYS where the kernel has none.
  virtual int pidfd_open(int pid) noexcept;

  // Files, which block: these calls, and read(), write() and poll_now() of a file, are made on other threads,
  // several at once.

  virtual int open(const char* path, int flags, unsigned mode) noexcept;
  virtual std::ptrdiff_t pread(int fd, void* data, std::size_t size, std::int64_t offset) noexcept;
  /// The same without waiting for a disk, and so on the loop's thread: -EAGAIN, or fewer bytes, where they
  /// aren't in memory; -EOPNOTSUPP where the file system can't tell.
  virtual std::ptrdiff_t pread_now(int fd, void* data, std::size_t size, std::int64_t offset) noexcept;
  virtual std::ptrdiff_t pwrite(int fd, const void* data, std::size_t size, std::int64_t offset) noexcept;
  /// fsync(2), or fdatasync(2).
  virtual int sync(int fd, bool data_only) noexcept;
  virtual int ftruncate(int fd, std::int64_t size) noexcept;
  /// The size of a file in bytes.
  virtual std::int64_t file_size(int fd) noexcept;

  // A System that receives in the background, before anybody reads, such as that of a loop on io_uring.

  /// How many bytes were received of `fd` and not read yet.
  virtual std::size_t unread(int fd) noexcept;
  /// Takes such bytes, as recv() would, and receives no more in the background.
  virtual std::ptrdiff_t take_unread(int fd, void* data, std::size_t size) noexcept;
  /// `fd` is used without this System from now on. Returns 0, or -EBUSY, and nothing has changed, when
  /// something is unread or unsent.
  virtual int release(int fd) noexcept;

  /// A description of `fd` for people: "TCP 127.0.0.1:7000 <- 127.0.0.1:43210". Writes at most `size`
  /// characters, the final 0 among them; false, and nothing is written, if nothing is known of it.
  virtual bool describe(int fd, char* text, std::size_t size) noexcept;

 protected:
  System() = default;
  System(const System&) = default;
  System& operator=(const System&) = default;
};

/// The real kernel. Stateless; derive from it to change single calls.
class HEDDLE_EXPORT KernelSystem : public System {
 public:
  TimePoint now() noexcept override;
  int socket(int domain, int type, int protocol) noexcept override;
  int socketpair(int domain, int type, int protocol, int fds[2]) noexcept override;
  int bind(int fd, const sockaddr* address, unsigned length) noexcept override;
  int listen(int fd, int backlog) noexcept override;
  int accept(int fd, sockaddr* address, unsigned* length) noexcept override;
  int connect(int fd, const sockaddr* address, unsigned length) noexcept override;
  int shutdown(int fd, int how) noexcept override;
  int close(int fd) noexcept override;
  std::ptrdiff_t recv(int fd, void* data, std::size_t size, int flags) noexcept override;
  std::ptrdiff_t send(int fd, const void* data, std::size_t size, int flags) noexcept override;
  std::ptrdiff_t recvmsg(int fd, msghdr* message, int flags) noexcept override;
  std::ptrdiff_t sendmsg(int fd, const msghdr* message, int flags) noexcept override;
  int recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags) noexcept override;
  int sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) noexcept override;
  std::ptrdiff_t sendfile(int to, int from, std::int64_t* offset, std::size_t count) noexcept override;
  std::ptrdiff_t splice(int from, int to, std::size_t count) noexcept override;
  std::ptrdiff_t read(int fd, void* data, std::size_t size) noexcept override;
  std::ptrdiff_t write(int fd, const void* data, std::size_t size) noexcept override;
  int getsockname(int fd, sockaddr* address, unsigned* length) noexcept override;
  int getpeername(int fd, sockaddr* address, unsigned* length) noexcept override;
  int getsockopt(int fd, int level, int name, void* value, unsigned* length) noexcept override;
  int setsockopt(int fd, int level, int name, const void* value, unsigned length) noexcept override;
  int lstat(const char* path, struct stat* result) noexcept override;
  int unlink(const char* path) noexcept override;
  int poll_now(int fd, short events) noexcept override;
  int pipe(int* ends) noexcept override;
  int pidfd_open(int pid) noexcept override;
  int open(const char* path, int flags, unsigned mode) noexcept override;
  std::ptrdiff_t pread(int fd, void* data, std::size_t size, std::int64_t offset) noexcept override;
  std::ptrdiff_t pread_now(int fd, void* data, std::size_t size, std::int64_t offset) noexcept override;
  std::ptrdiff_t pwrite(int fd, const void* data, std::size_t size, std::int64_t offset) noexcept override;
  int sync(int fd, bool data_only) noexcept override;
  int ftruncate(int fd, std::int64_t size) noexcept override;
  std::int64_t file_size(int fd) noexcept override;
  bool describe(int fd, char* text, std::size_t size) noexcept override;
};

/// The KernelSystem that is used by default. It is never destroyed.
HEDDLE_EXPORT System& kernel_system() noexcept;

}  // namespace heddle

HEDDLE_HEADER_END
