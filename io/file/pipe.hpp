// ReadPipe, WritePipe: pipes, terminals, the standard streams, whatever read(2) and write(2) work on.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <concepts>
#include <cstddef>
#include <span>
#include <string_view>

#include "../operation/fd.hpp"
#include "pipe_operation.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

/// What both ends have in common: a descriptor that can be waited for, or a file, whose calls threads make.
class HEDDLE_EXPORT PipeEnd {
 public:
  PipeEnd() noexcept = default;
  PipeEnd(PipeEnd&& other) noexcept;
  PipeEnd& operator=(PipeEnd&& other) noexcept;
  ~PipeEnd() { close(); }

  int fileno() const noexcept { return file_ != nullptr ? file_->fileno() : fd_.fileno(); }
  bool is_open() const noexcept { return fileno() >= 0; }
  /// It is a regular file or a block device: its operations are calls on other threads.
  bool is_file() const noexcept { return file_ != nullptr; }
  /// Operations that wait end with ECANCELED; a call on a file that is under way is completed first.
  /// O_NONBLOCK is cleared where connect_read_pipe() or its like has set it. Idempotent.
  void close() noexcept;
  /// The same without closing: the caller owns the descriptor now. Not while a call on a file is under way.
  int release() noexcept;

 protected:
  explicit PipeEnd(Fd fd) noexcept : fd_(std::move(fd)) {}

  Fd fd_;
  FileDescription* file_ = nullptr;

 private:
  friend PipeEnd connect_pipe_end(Fd fd, Direction direction, const char* operation);
  void restore() noexcept;

  bool restores_ = false;  // close() and release() have to clear O_NONBLOCK
};

}  // namespace detail

/// The end of a pipe that is read from. Owns its descriptor; move-only. Operations complete in the order in
/// which they were started; buffers must live until the co_await returns. They throw std::system_error
/// (ECANCELED when it is closed under them, EBADF when it was closed before) and Cancelled. `co_await
/// operation.as_result()` yields a Result instead of a system_error.
class HEDDLE_EXPORT ReadPipe : public detail::PipeEnd {
 public:
  ReadPipe() noexcept = default;
  /// Takes over a non-blocking descriptor that can be waited for: no regular file.
  explicit ReadPipe(Fd fd) noexcept : detail::PipeEnd(std::move(fd)) {}
  explicit ReadPipe(detail::PipeEnd&& end) noexcept : detail::PipeEnd(std::move(end)) {}

  /// Reads what is there, at least one byte: yields how many. 0: all writers have closed their ends, or the
  /// file ends here. Cancel-safe: no byte is lost. (A read of a file that has begun is completed first:
  /// see FileOperation.)
  detail::PipeRead read_some(std::span<std::byte> buffer) {
    return {detail::DescriptorRead(fd_, buffer),
            {file_, detail::FileCall::READ, "read", buffer.data(), buffer.size(), 0},
            file_ != nullptr};
  }
  template <class Buffer>
    requires std::convertible_to<Buffer&, std::span<std::byte>>
  detail::PipeRead read_some(Buffer& buffer) {
    return read_some(std::span<std::byte>(buffer));
  }
  detail::PipeRead read_some(std::span<char> buffer) { return read_some(std::as_writable_bytes(buffer)); }

  /// Suspends until there is something to read. Not for files, which epoll refuses (EPERM). Cancel-safe.
  [[nodiscard]] detail::ReadinessOperation readable() { return fd_.readable(); }
};

/// The end of a pipe that is written to; otherwise as ReadPipe. When the reading end is closed: EPIPE, and
/// never SIGPIPE.
class HEDDLE_EXPORT WritePipe : public detail::PipeEnd {
 public:
  WritePipe() noexcept = default;
  explicit WritePipe(Fd fd) noexcept : detail::PipeEnd(std::move(fd)) {}
  explicit WritePipe(detail::PipeEnd&& end) noexcept : detail::PipeEnd(std::move(end)) {}

  /// Writes what there is room for, at least one byte: yields how many. A file takes all. Cancel-safe:
  /// cancelled, nothing was written.
  detail::PipeWrite write_some(std::span<const std::byte> buffer) { return operation(buffer, false); }
  detail::PipeWrite write_some(std::string_view text) { return write_some(std::as_bytes(std::span(text))); }
  /// Writes the whole buffer and yields its size; those of several tasks don't mix. Not cancel-safe: a part
  /// of it may be written then.
  detail::PipeWrite write_all(std::span<const std::byte> buffer) { return operation(buffer, true); }
  detail::PipeWrite write_all(std::string_view text) { return write_all(std::as_bytes(std::span(text))); }

  /// Suspends until there is room. Not for files. Cancel-safe.
  [[nodiscard]] detail::ReadinessOperation writable() { return fd_.writable(); }

 private:
  detail::PipeWrite operation(std::span<const std::byte> buffer, bool all) {
    return {
        detail::DescriptorWrite(fd_, buffer, all),
        {file_, detail::FileCall::WRITE, "write", const_cast<std::byte*>(buffer.data()), buffer.size(), 0},
        file_ != nullptr};
  }
};

/// Both ends of a pipe.
struct Pipe {
  Pipe(ReadPipe read_end, WritePipe write_end) noexcept
      : read(std::move(read_end)), write(std::move(write_end)) {}

  ReadPipe read;
  WritePipe write;
};

/// A new pipe (pipe(2)); both ends are close-on-exec. Throws std::system_error.
HEDDLE_EXPORT Pipe make_pipe();

/// Takes over an existing descriptor: a pipe, a FIFO, a terminal, a socket, a file. It is made non-blocking,
/// for everybody who shares it (O_NONBLOCK belongs to the open file description, not to the descriptor:
/// fcntl(2)), and is put back when the ReadPipe closes; a program that is killed leaves it set. Throws
/// std::system_error: EBADF when it is not open, or not for reading.
HEDDLE_EXPORT ReadPipe connect_read_pipe(Fd fd);
/// The same for writing.
HEDDLE_EXPORT WritePipe connect_write_pipe(Fd fd);

/// The standard streams of the process, which stay open when what is returned here closes. Where the system
/// allows, the pipe or terminal is opened a second time (/proc/self/fd), so that O_NONBLOCK is set for no
/// other process; otherwise as connect_read_pipe(), on a duplicate. A file is read and written by threads.
/// Not to be mixed with <cstdio>'s buffers without flushing these. Throws std::system_error.
HEDDLE_EXPORT ReadPipe stdin_stream();
HEDDLE_EXPORT WritePipe stdout_stream();
HEDDLE_EXPORT WritePipe stderr_stream();

}  // namespace heddle

HEDDLE_HEADER_END
