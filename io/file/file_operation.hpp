// FileOperation: one call on a file, made on a thread of the pool, because files block.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <cstdint>
#include <span>

#include "../../runtime/threads/to_thread.hpp"
#include "../../selector/system.hpp"
#include "../operation/result.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// An open file, shared by its owner and the calls on it that other threads make: the last reference closes
/// the descriptor. References are counted on the loop's thread.
class HEDDLE_EXPORT FileDescription {
 public:
  FileDescription(int fd, System& system) noexcept : fd_(fd), system_(system) {}
  FileDescription(const FileDescription&) = delete;
  FileDescription& operator=(const FileDescription&) = delete;

  int fileno() const noexcept { return fd_; }
  System& system() const noexcept { return system_; }
  void add_reference() noexcept { ++references_; }
  void release() noexcept;
  bool shared() const noexcept { return references_ > 1; }
  /// The caller owns the descriptor from now on.
  int forget() noexcept { return std::exchange(fd_, -1); }

 private:
  ~FileDescription() = default;

  int fd_;
  System& system_;
  unsigned references_ = 1;
};

/// Whether read(2), which has yielded 0, has met no end: `fd` is a FIFO that no process has opened for
/// writing yet.
bool awaits_writer(System& system, int fd) noexcept;

/// Which call to make.
enum class FileCall : std::uint8_t {
  READ,      ///< read(2): once, at the descriptor's own position
  WRITE,     ///< write(2): all, at the descriptor's own position
  READ_AT,   ///< pread(2), until the buffer is full or the file ends
  WRITE_AT,  ///< pwrite(2), all
  SIZE,
  SYNC,
  SYNC_DATA,
  RESIZE,
  CLOSE,
};

/// A call on a file. The buffer is the caller's and must live until the co_await returns. Cancelled before a
/// thread has begun with it, the call isn't made and Cancelled is thrown. One that has begun is waited for,
/// because the thread uses the buffer: its result is delivered, and the request to stop comes out of the next
/// co_await. (So a file system that hangs blocks the task, though it was cancelled.)
class HEDDLE_EXPORT FileOperation : public ThreadJobWaiter {
 public:
  /// `file` is null when it is closed. `name` names the operation in errors and has static storage.
  FileOperation(FileDescription* file, FileCall call, const char* name, void* data, std::size_t size,
                std::int64_t offset) noexcept;
  /// `other` must not be awaited yet.
  FileOperation(const FileOperation& other) noexcept;
  FileOperation& operator=(const FileOperation&) = delete;
  ~FileOperation();

  /// Throws std::system_error (EBADF) when the file is closed.
  bool await_ready();
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) {
    make_job();
    ThreadJobWaiter::await_suspend(coroutine);
  }

  WaitInfo describe() const noexcept final;
  int fileno() const noexcept;

 protected:
  /// What the call returned. Throws Cancelled and, where it failed, std::system_error.
  std::int64_t result() {
    const std::int64_t result = outcome();
    if (result < 0) [[unlikely]]
      failure(result).raise();
    return result;
  }
  /// The same, a negative errno where it failed. Throws Cancelled.
  std::int64_t outcome();
  Failure failure(std::int64_t result) const noexcept;

 private:
  void make_job();

  FileDescription* file_;
  const char* name_;
  void* data_;
  std::size_t size_;
  std::int64_t offset_;
  FileCall call_;
};

/// A read or write: yields how many bytes were moved.
class HEDDLE_EXPORT FileTransfer final : public FileOperation {
 public:
  using FileOperation::FileOperation;

  std::size_t await_resume() { return static_cast<std::size_t>(result()); }
  Result<std::size_t> take_result() {
    const std::int64_t result = outcome();
    if (result < 0) return failure(result);
    return static_cast<std::size_t>(result);
  }
};

/// A file that somebody else has opened and closes, for reading by its number. It must stay open as long as
/// this lives, and this until its reads have ended.
class HEDDLE_EXPORT BorrowedFile {
 public:
  /// Its calls go by the running loop's System. Throws std::bad_alloc.
  explicit BorrowedFile(int fd);
  BorrowedFile(const BorrowedFile&) = delete;
  BorrowedFile& operator=(const BorrowedFile&) = delete;
  ~BorrowedFile() {
    file_->forget();
    file_->release();
  }

  /// Fills the whole buffer if that needs no disk (RWF_NOWAIT, Linux); otherwise it is false, and read_at()
  /// is to be awaited.
  bool try_read_at(std::span<std::byte> buffer, std::uint64_t offset) const noexcept;
  /// As File::read_at(); `name` is the operation in errors.
  FileTransfer read_at(std::span<std::byte> buffer, std::uint64_t offset, const char* name) const {
    return {file_, FileCall::READ_AT, name, buffer.data(), buffer.size(), static_cast<std::int64_t>(offset)};
  }

 private:
  FileDescription* file_;
};

/// SIZE: yields a number of bytes.
class HEDDLE_EXPORT FileQuestion final : public FileOperation {
 public:
  using FileOperation::FileOperation;

  std::uint64_t await_resume() { return static_cast<std::uint64_t>(result()); }
};

/// Any other call: yields nothing.
class HEDDLE_EXPORT FileCommand final : public FileOperation {
 public:
  using FileOperation::FileOperation;

  void await_resume() { static_cast<void>(result()); }
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
