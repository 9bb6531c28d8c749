// File: a file on disk, read and written by threads of the pool so that the loop doesn't wait for the disk.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "../../runtime/core/task.hpp"
#include "../operation/fd.hpp"
#include "file_operation.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// How to open a file, by open(2)'s flags: READ and WRITE may be combined, the others need WRITE.
enum class FileMode : unsigned {
  READ = 1,
  WRITE = 2,
  APPEND = 4,      ///< every write goes to the end (O_APPEND)
  CREATE = 8,      ///< if there is none (O_CREAT)
  EXCLUSIVE = 16,  ///< CREATE, and fail with EEXIST if there is one (O_EXCL)
  TRUNCATE = 32,   ///< to nothing (O_TRUNC)
};

constexpr FileMode operator|(FileMode a, FileMode b) noexcept {
  return static_cast<FileMode>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}

/// A regular file or a block device. Move-only. Each operation is a call on a thread of the pool that the
/// process shares (io_uring may take its place one day, under the same contract). Any number may be under way
/// at once, in no particular order. Buffers are the caller's and must live until the co_await returns:
/// cancelled before a thread has begun with it, an operation isn't made; later it is waited for, its result
/// is delivered, and the request to stop comes out of the next co_await. All throw std::system_error, EBADF
/// once the file is closed. A FIFO or a terminal is opened without waiting (to write to a FIFO that nobody
/// reads: ENXIO), and where an operation would have to wait, also for a FIFO's first writer, it fails with
/// EAGAIN; these have no offsets, either (ESPIPE): use ReadPipe and WritePipe for them.
class HEDDLE_EXPORT File {
 public:
  File() noexcept = default;
  /// Takes over a descriptor of a file.
  explicit File(Fd fd);
  File(File&& other) noexcept : file_(std::exchange(other.file_, nullptr)) {}
  File& operator=(File&& other) noexcept {
    std::swap(file_, other.file_);
    return *this;
  }
  ~File() {
    if (file_ != nullptr) file_->release();
  }

  /// Throws std::system_error that names the path, ValueError for a mode that makes no sense.
  /// `permissions`, less the umask, are those of a file that is created.
  static Task<File> open(std::string path, FileMode mode = FileMode::READ, unsigned permissions = 0666);

  int fileno() const noexcept { return file_ != nullptr ? file_->fileno() : -1; }
  bool is_open() const noexcept { return file_ != nullptr; }

  /// Reads from `offset`, in bytes, until the buffer is full or the file ends: yields how many bytes.
  detail::FileTransfer read_at(std::span<std::byte> buffer, std::uint64_t offset) {
    return transfer(detail::FileCall::READ_AT, "read_at", buffer.data(), buffer.size(), offset);
  }
  detail::FileTransfer read_at(std::span<char> buffer, std::uint64_t offset) {
    return read_at(std::as_writable_bytes(buffer), offset);
  }
  /// Writes the whole buffer at `offset`, and yields its size. Where it throws, a part may be written.
  detail::FileTransfer write_at(std::span<const std::byte> buffer, std::uint64_t offset) {
    return transfer(detail::FileCall::WRITE_AT, "write_at", const_cast<std::byte*>(buffer.data()),
                    buffer.size(), offset);
  }
  detail::FileTransfer write_at(std::string_view text, std::uint64_t offset) {
    return write_at(std::as_bytes(std::span(text)), offset);
  }

  // As a stream: at the descriptor's own position, which each of these advances. One at a time.

  /// Yields how many bytes came; 0: the file ends here.
  detail::FileTransfer read_some(std::span<std::byte> buffer) {
    return transfer(detail::FileCall::READ, "read", buffer.data(), buffer.size(), 0);
  }
  template <class Buffer>
    requires std::convertible_to<Buffer&, std::span<std::byte>>
  detail::FileTransfer read_some(Buffer& buffer) {
    return read_some(std::span<std::byte>(buffer));
  }
  detail::FileTransfer read_some(std::span<char> buffer) { return read_some(std::as_writable_bytes(buffer)); }
  /// Both write the whole buffer and yield its size.
  detail::FileTransfer write_some(std::span<const std::byte> buffer) { return write_all(buffer); }
  detail::FileTransfer write_some(std::string_view text) { return write_all(text); }
  detail::FileTransfer write_all(std::span<const std::byte> buffer) {
    return transfer(detail::FileCall::WRITE, "write", const_cast<std::byte*>(buffer.data()), buffer.size(),
                    0);
  }
  detail::FileTransfer write_all(std::string_view text) { return write_all(std::as_bytes(std::span(text))); }
  /// Sets that position, without waiting. Throws std::system_error.
  void seek(std::uint64_t offset);

  /// Yields how many bytes it has.
  detail::FileQuestion size() { return {file_, detail::FileCall::SIZE, "size", nullptr, 0, 0}; }
  /// Sets its size: it is extended by zeros, or truncated (ftruncate(2)).
  detail::FileCommand resize(std::uint64_t size) {
    return {file_, detail::FileCall::RESIZE, "resize", nullptr, 0, static_cast<std::int64_t>(size)};
  }
  /// Waits until all that was written is on the disk: fsync(2), with `data_only` fdatasync(2).
  detail::FileCommand sync(bool data_only = false) {
    return {file_, data_only ? detail::FileCall::SYNC_DATA : detail::FileCall::SYNC, "sync", nullptr, 0, 0};
  }
  /// Closes it, on a thread as well, and throws the error of an earlier write that close(2) reports. The
  /// destructor closes it on this thread, and ignores errors. While other operations are under way, the last
  /// of them closes it. Idempotent.
  Task<void> close();

 private:
  detail::FileTransfer transfer(detail::FileCall call, const char* name, void* data, std::size_t size,
                                std::uint64_t offset) {
    return {file_, call, name, data, size, static_cast<std::int64_t>(offset)};
  }

  detail::FileDescription* file_ = nullptr;
};

/// All bytes of a file. Cancelled, it waits for a read that has begun. Throws std::system_error: EISDIR for a
/// directory, ENXIO for a socket, EAGAIN for a FIFO or terminal that has no end yet.
HEDDLE_EXPORT Task<std::string> read_file(std::string path);

/// Makes `data` the content of a file, which is created if there is none; with FileMode::APPEND it is
/// appended. Cancelled before a thread has begun with it, it does nothing; afterwards it is done to its end.
/// Throws std::system_error; a part may be written then.
HEDDLE_EXPORT Task<void> write_file(std::string path, std::string data,
                                    FileMode mode = FileMode::CREATE | FileMode::TRUNCATE);

}  // namespace heddle

HEDDLE_HEADER_END
