// File: opening and closing; read_file() and write_file().
// SPDX-License-Identifier: MIT
#include "file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "../../runtime/threads/to_thread.hpp"
#include "../../selector/errors.hpp"
#include "../operation/byte_block.hpp"

namespace heddle {

using namespace detail;

namespace {

bool has(FileMode mode, FileMode flag) noexcept {
  return (static_cast<unsigned>(mode) & static_cast<unsigned>(flag)) != 0;
}

int flags_of(FileMode mode, const std::string& path) {
  const bool writes = has(mode, FileMode::WRITE);
  if (!writes && mode != FileMode::READ)
    throw ValueError("open \"" + path + "\": this mode needs FileMode::WRITE, or FileMode::READ alone");
  if (path.find('\0') != std::string::npos) throw ValueError("open: a zero byte in the path");
  // O_NONBLOCK has no effect on a file, and keeps open(2) of a FIFO from blocking a thread until its other
  // end is opened.
  int flags = O_NONBLOCK | O_NOCTTY;
  flags |= !writes ? O_RDONLY : has(mode, FileMode::READ) ? O_RDWR : O_WRONLY;
  if (has(mode, FileMode::APPEND)) flags |= O_APPEND;
  if (has(mode, FileMode::CREATE | FileMode::EXCLUSIVE)) flags |= O_CREAT;
  if (has(mode, FileMode::EXCLUSIVE)) flags |= O_EXCL;
  if (has(mode, FileMode::TRUNCATE)) flags |= O_TRUNC;
  return flags;
}

// The functions that run on threads take a StopToken and ignore it: so to_thread() waits for their end even
// when the task is cancelled, and they may refer to the coroutine's variables.

// Yields a descriptor or a negative errno.
int open_path(System& system, const std::string& path, int flags, unsigned permissions) noexcept {
  int fd;
  do fd = system.open(path.c_str(), flags, permissions);
  while (fd == -EINTR);
  return fd;
}

[[noreturn]] void throw_for(int error, const char* operation, const std::string& path) {
  throw std::system_error(error, std::generic_category(), std::string(operation) + " \"" + path + '"');
}

// Reads to the end; yields 0 or a negative errno.
int read_whole(System& system, int fd, std::string& bytes) {
  // Piece by piece, because a string can't grow without being cleared.
  const std::size_t expected = static_cast<std::size_t>(std::max(system.file_size(fd), std::int64_t{0}));
  const ByteBlock piece(std::clamp(expected, std::size_t{4096}, std::size_t{131'072}));
  bytes.reserve(expected);
  for (;;) {
    const std::ptrdiff_t n = system.read(fd, piece.data(), piece.size());
    if (n == -EINTR) continue;
    if (n < 0) return static_cast<int>(n);
    if (n == 0 && awaits_writer(system, fd)) return -EAGAIN;
    if (n == 0) return 0;
    bytes.append(piece.chars().data(), static_cast<std::size_t>(n));
  }
}

int write_whole(System& system, int fd, const std::string& bytes) noexcept {
  for (std::size_t written = 0; written < bytes.size();) {
    const std::ptrdiff_t n = system.write(fd, bytes.data() + written, bytes.size() - written);
    if (n == -EINTR) continue;
    if (n <= 0) return n < 0 ? static_cast<int>(n) : -EIO;
    written += static_cast<std::size_t>(n);
  }
  return 0;
}

}  // namespace

File::File(Fd fd) : file_(new FileDescription(fd.fileno(), fd.system())) { fd.release(); }

Task<File> File::open(std::string path, FileMode mode, unsigned permissions) {
  const int flags = flags_of(mode, path);
  System& system = current_system();
  int fd = -1;
  auto call = [&](StopToken) { fd = open_path(system, path, flags, permissions); };
  auto opening = to_thread(call);
  co_await opening;
  if (fd < 0) throw_for(-fd, "open", path);
  co_return File(Fd(fd, system));
}

void File::seek(std::uint64_t offset) {
  if (file_ == nullptr) throw std::system_error(EBADF, std::generic_category(), "seek on a closed file");
  if (::lseek(file_->fileno(), static_cast<off_t>(offset), SEEK_SET) < 0)
    throw_errno(errno, "seek", file_->fileno());
}

Task<void> File::close() {
  if (file_ == nullptr) co_return;
  FileDescription& file = *file_;
  const File owner = std::move(*this);
  if (file.shared()) co_return;
  FileCommand closing(&file, FileCall::CLOSE, "close", nullptr, 0, 0);
  try {
    co_await closing;
  } catch (const std::system_error&) {
    file.forget();
    throw;
  }
  file.forget();
}

Task<std::string> read_file(std::string path) {
  const int flags = flags_of(FileMode::READ, path);
  System& system = current_system();
  std::string bytes;
  int error = 0;
  const char* failed = "open";
  auto call = [&](StopToken) {
    const int fd = open_path(system, path, flags, 0);
    if (fd < 0) {
      error = -fd;
      return;
    }
    const Fd owner(fd, system);
    failed = "read";
    error = -read_whole(system, fd, bytes);
  };
  auto reading = to_thread(call);
  co_await reading;
  if (error != 0) throw_for(error, failed, path);
  co_return bytes;
}

Task<void> write_file(std::string path, std::string data, FileMode mode) {
  const int flags = flags_of(mode | FileMode::WRITE, path);
  System& system = current_system();
  int error = 0;
  const char* failed = "open";
  auto call = [&](StopToken) {
    const int fd = open_path(system, path, flags, 0666);
    if (fd < 0) {
      error = -fd;
      return;
    }
    failed = "write";
    error = -write_whole(system, fd, data);
    const int closed = system.close(fd);
    if (error == 0 && closed < 0 && closed != -EINTR) error = -closed;
  };
  auto writing = to_thread(call);
  co_await writing;
  if (error != 0) throw_for(error, failed, path);
}

}  // namespace heddle
