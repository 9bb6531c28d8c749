// SendFileOperation, splice: bytes that go from descriptor to descriptor without passing through the process.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstdint>
#include <string_view>

#include "../../runtime/core/task.hpp"
#include "socket_operation.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

/// Sends `head`, which leaves together with the beginning of the file, and then the file. Yields how many
/// bytes of a file were sent: all that were asked for, or as many as there are up to its end. The file's own
/// position stays as it is. Each turn of the task sends most_per_turn bytes; but the kernel reads the file
/// within the call, so a slow disk blocks the loop. Not cancel-safe: cancelled or failed, it may have sent a
/// part. Throws std::system_error: EINVAL for what isn't a file of a file system, ENOSYS where there is no
/// sendfile(2).
class HEDDLE_EXPORT SendFileOperation final
    : public SocketOperationOf<SendFileOperation, Direction::WRITE, SteppedOperation> {
 public:
  SendFileOperation(Fd& socket, int file, std::uint64_t offset, std::uint64_t count,
                    std::string_view head = {})
      : SocketOperationOf(socket), file_(file), offset_(offset), count_(count), head_(head) {}

  bool await_ready() {
    sent_ = 0;
    head_sent_ = 0;
    return count_ == 0 && head_.empty() && done_at_once();
  }

  // For the base classes.

  static constexpr const char* name = "sendfile";
  std::uint64_t value() const noexcept { return sent_; }
  bool attempt(int fd, FdWatch* watch) noexcept;

 private:
  bool attempt_head(int fd, FdWatch* watch) noexcept;

  int file_;
  std::uint64_t offset_;
  std::uint64_t count_;
  std::uint64_t sent_ = 0;
  std::string_view head_;
  std::size_t head_sent_ = 0;
};

}  // namespace detail

/// Moves some bytes, at most `most` and 256 KB, from one descriptor to another, one of which is a pipe, by
/// splice(2): waits until there are some and there is room for them, and yields how many; 0: `from` is at its
/// end. Both must be non-blocking. While it runs, nobody else should read from `from` or write to `to`.
/// Cancel-safe. Throws std::system_error: EINVAL when neither is a pipe, ENOSYS where there is no splice(2).
HEDDLE_EXPORT Task<std::size_t> splice(Fd& from, Fd& to, std::size_t most);

}  // namespace heddle

HEDDLE_HEADER_END
