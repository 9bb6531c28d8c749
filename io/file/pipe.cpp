// Pipes: making them, taking over existing descriptors, and restoring O_NONBLOCK.
// SPDX-License-Identifier: MIT
#include "pipe.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>

namespace heddle {

using namespace detail;

PipeEnd::PipeEnd(PipeEnd&& other) noexcept
    : fd_(std::move(other.fd_)),
      file_(std::exchange(other.file_, nullptr)),
      restores_(std::exchange(other.restores_, false)) {}

PipeEnd& PipeEnd::operator=(PipeEnd&& other) noexcept {
  if (this == &other) return *this;
  close();
  fd_ = std::move(other.fd_);
  file_ = std::exchange(other.file_, nullptr);
  restores_ = std::exchange(other.restores_, false);
  return *this;
}

void PipeEnd::restore() noexcept {
  if (!std::exchange(restores_, false)) return;
  const int flags = ::fcntl(fd_.fileno(), F_GETFL);
  if (flags >= 0) ::fcntl(fd_.fileno(), F_SETFL, flags & ~O_NONBLOCK);
}

void PipeEnd::close() noexcept {
  restore();
  if (file_ != nullptr) std::exchange(file_, nullptr)->release();
  fd_.close();
}

int PipeEnd::release() noexcept {
  restore();
  if (file_ == nullptr) return fd_.release();
  const int fd = file_->forget();
  std::exchange(file_, nullptr)->release();
  return fd;
}

Pipe make_pipe() {
  System& system = current_system();
  int ends[2];
  if (const int result = system.pipe(ends); result < 0) throw_errno(-result, "pipe", -1);
  return {ReadPipe(Fd(ends[0], system)), WritePipe(Fd(ends[1], system))};
}

namespace detail {

PipeEnd connect_pipe_end(Fd fd, Direction direction, const char* operation) {
  const int number = fd.fileno();
  if (number < 0)
    throw std::system_error(EBADF, std::generic_category(),
                            std::string(operation) + " on a closed descriptor");
  const int flags = ::fcntl(number, F_GETFL);
  struct stat status;
  if (flags < 0 || ::fstat(number, &status) < 0) {
    const int error = errno;
    fd.release();
    throw_errno(error, operation, number);
  }
  const int access = flags & O_ACCMODE;
  if (access != O_RDWR && access != (direction == Direction::READ ? O_RDONLY : O_WRONLY)) {
    const char* const lack =
        direction == Direction::READ ? " (not open for reading)" : " (not open for writing)";
    throw std::system_error(EBADF, std::generic_category(),
                            std::string(operation) + " on fd " + std::to_string(number) + lack);
  }
  PipeEnd end;
  if (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode)) {
    System& system = fd.system();
    end.file_ = new FileDescription(number, system);
    fd.release();
    return end;
  }
  if ((flags & O_NONBLOCK) == 0 && ::fcntl(number, F_SETFL, flags | O_NONBLOCK) < 0)
    throw_errno(errno, operation, number);
  end.fd_ = std::move(fd);
  end.restores_ = (flags & O_NONBLOCK) == 0;
  return end;
}

}  // namespace detail

namespace {

// A second, non-blocking open file description of the same pipe or terminal; -1 where that can't be opened.
int reopened([[maybe_unused]] int fd, [[maybe_unused]] int access) noexcept {
#ifdef __linux__
  struct stat status;
  if (::fstat(fd, &status) == 0 && (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode))) {
    char path[32];
    std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return ::open(path, access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  }
#endif
  return -1;
}

PipeEnd standard_stream(int number, Direction direction, const char* operation) {
  int fd = reopened(number, direction == Direction::READ ? O_RDONLY : O_WRONLY);
  if (fd < 0) fd = ::fcntl(number, F_DUPFD_CLOEXEC, 3);
  if (fd < 0) throw_errno(errno, operation, number);
  return connect_pipe_end(Fd(fd), direction, operation);
}

}  // namespace

ReadPipe connect_read_pipe(Fd fd) {
  return ReadPipe(connect_pipe_end(std::move(fd), Direction::READ, "connect_read_pipe"));
}

WritePipe connect_write_pipe(Fd fd) {
  return WritePipe(connect_pipe_end(std::move(fd), Direction::WRITE, "connect_write_pipe"));
}

ReadPipe stdin_stream() { return ReadPipe(standard_stream(STDIN_FILENO, Direction::READ, "stdin_stream")); }
WritePipe stdout_stream() {
  return WritePipe(standard_stream(STDOUT_FILENO, Direction::WRITE, "stdout_stream"));
}
WritePipe stderr_stream() {
  return WritePipe(standard_stream(STDERR_FILENO, Direction::WRITE, "stderr_stream"));
}

}  // namespace heddle
